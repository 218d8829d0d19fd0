//! Against a server of a few lines that can be told to misbehave.

use super::*;
use crate::error::Error;
use crate::fake::{Does, Server, nobody, say};
use tokio::time::Instant;

async fn ask(connection: &mut Connection, what: &str) -> Result<Value> {
    Ok(redis::cmd(what).query_async(connection).await?)
}

#[tokio::test]
async fn a_request_that_dies_with_its_connection_is_not_repeated_and_the_next_one_works() {
    let server = Server::start(|number, _| if number == 1 { Does::HangUp } else { say(":1\r\n") }).await;
    let mut connection = Connection::open(&server.config()).await.unwrap();
    let error = ask(&mut connection, "WRITE").await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(ask(&mut connection, "NEXT").await.unwrap(), Value::Int(1));
    assert_eq!(server.seen(), [(1, "WRITE".to_owned()), (2, "NEXT".to_owned())]);
}

#[tokio::test]
async fn a_connection_that_has_gone_mute_is_left() {
    let server = Server::start(|number, _| if number == 1 { Does::Nothing } else { say(":1\r\n") }).await;
    let mut connection = Connection::open(&server.config()).await.unwrap();
    let error = ask(&mut connection, "WRITE").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(ask(&mut connection, "NEXT").await.unwrap(), Value::Int(1));
    assert_eq!(server.seen(), [(1, "WRITE".to_owned()), (2, "NEXT".to_owned())]);
}

#[tokio::test]
async fn a_demoted_primary_is_left() {
    let server = Server::start(|number, _| match number {
        1 => say("-READONLY You can't write against a read only replica.\r\n"),
        _ => say(":1\r\n"),
    })
    .await;
    let mut connection = Connection::open(&server.config()).await.unwrap();
    let error = ask(&mut connection, "WRITE").await.unwrap_err();
    assert!(error.is_retryable() && !error.outcome_unknown(), "{error:?}");
    assert_eq!(ask(&mut connection, "WRITE").await.unwrap(), Value::Int(1));
}

#[tokio::test]
async fn a_demoted_primary_is_left_also_where_its_refusal_stands_among_replies() {
    const REFUSED: &str = "-READONLY You can't write against a read only replica.\r\n";
    let server = Server::start(|number, command| match (number, command) {
        (1, "SECOND") => say(REFUSED),
        (2, "MULTI") => say("+OK\r\n"),
        (2, "EXEC") => say("-EXECABORT Transaction discarded because of previous errors.\r\n"),
        (2, _) => say(REFUSED),
        _ => say(":1\r\n"),
    })
    .await;
    let mut connection = Connection::open(&server.config()).await.unwrap();
    let mut pipeline = redis::pipe();
    pipeline.cmd("FIRST").cmd("SECOND");
    assert!(pipeline.exec_async(&mut connection).await.is_err());
    let mut transaction = redis::pipe();
    transaction.atomic().cmd("THIRD");
    assert!(transaction.exec_async(&mut connection).await.is_err());
    assert_eq!(ask(&mut connection, "FOURTH").await.unwrap(), Value::Int(1));
    assert_eq!(server.seen().last().unwrap(), &(3, "FOURTH".to_owned()));
}

#[tokio::test]
async fn other_refusals_leave_the_connection_alone() {
    let server = Server::start(|_, command| match command {
        "BAD" => say("-BADFIELD quantity '0' must be above 0\r\n"),
        _ => say(":1\r\n"),
    })
    .await;
    let mut connection = Connection::open(&server.config()).await.unwrap();
    assert!(ask(&mut connection, "BAD").await.is_err());
    ask(&mut connection, "GOOD").await.unwrap();
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn many_requests_at_once_share_one_new_connection() {
    let server = Server::start(|_, _| say(":1\r\n")).await;
    let connection = Connection::lazy(&server.config()).unwrap();
    let asks = (0..50).map(|_| {
        let mut connection = connection.clone();
        async move { ask(&mut connection, "GET").await }
    });
    assert!(futures_util::future::join_all(asks).await.iter().all(std::result::Result::is_ok));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_then_the_request_fails_unsent() {
    let address = nobody().await;
    let config = Config::from_url(&format!("redis://{address}/"))
        .unwrap()
        .with_backoff(Duration::from_millis(10), Duration::from_millis(50))
        .with_reconnect_wait(Duration::from_millis(300));
    let mut connection = Connection::lazy(&config).unwrap();
    let begun = Instant::now();
    let error = ask(&mut connection, "WRITE").await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { address: found, .. } if *found == address.to_string()), "{error:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(Connection::open(&config).await.is_err());
}

#[tokio::test]
async fn an_observer_is_told_what_became_of_each_request() {
    #[derive(Default)]
    struct Told(Mutex<Vec<(String, Outcome)>>);
    impl crate::Observer for Told {
        fn ended(&self, command: &str, _took: Duration, outcome: Outcome) {
            self.0.lock().unwrap().push((command.to_owned(), outcome));
        }
    }
    let server = Server::start(|_, command| match command {
        "BAD" => say("-BADFIELD no\r\n"),
        "MUTE" => Does::HangUp,
        _ => say(":1\r\n"),
    })
    .await;
    let told = Arc::new(Told::default());
    let mut connection = Connection::open(&server.config().with_observer(told.clone())).await.unwrap();
    for command in ["GOOD", "BAD"] {
        let _ = ask(&mut connection, command).await;
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("GOOD").cmd("BAD");
    let _ = pipeline.exec_async(&mut connection).await;
    let _ = ask(&mut connection, "MUTE").await;
    let expected =
        [("GOOD", Outcome::Answered), ("BAD", Outcome::Refused), ("GOOD", Outcome::Refused), ("MUTE", Outcome::Failed)];
    assert_eq!(*told.0.lock().unwrap(), expected.map(|(command, outcome)| (command.to_owned(), outcome)));
}
