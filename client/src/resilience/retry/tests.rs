use super::*;
use crate::error::NotSent;
use std::cell::Cell;

fn away() -> Error {
    RedisError::from(NotSent { address: "h:1".into(), reason: "refused".into() }).into()
}

fn io(kind: io::ErrorKind) -> Error {
    RedisError::from(io::Error::from(kind)).into()
}

fn server(code: &str) -> Error {
    Error::Server { code: code.to_owned(), detail: String::new() }
}

/// Attempts until it succeeded or was given up.
async fn attempts(write: bool, error: &Error) -> usize {
    let made = Cell::new(0);
    let call = async || {
        made.set(made.get() + 1);
        Err::<(), _>(error.clone())
    };
    let retry = Retry { attempts: 4, ..Retry::default() };
    let outcome = if write { retry.write(call).await } else { retry.idempotent(call).await };
    assert_eq!(outcome.unwrap_err().to_string(), error.to_string());
    made.get()
}

#[tokio::test(start_paused = true)]
async fn a_write_is_repeated_only_where_it_was_not_carried_out() {
    for (error, of_write, of_read) in [
        (away(), 4, 4),
        (server("BUSY"), 4, 4),
        (io(io::ErrorKind::BrokenPipe), 1, 4),
        (io(io::ErrorKind::TimedOut), 1, 4),
        (Error::BadReply("?".to_owned()), 1, 1),
        (server("NOPERM"), 1, 1),
        (Error::Config("?".to_owned()), 1, 1),
    ] {
        assert_eq!(attempts(true, &error).await, of_write, "write, {error}");
        assert_eq!(attempts(false, &error).await, of_read, "read, {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_first_success() {
    let made = Cell::new(0);
    let call = async || {
        made.set(made.get() + 1);
        if made.get() < 3 { Err(away()) } else { Ok(made.get()) }
    };
    assert_eq!(Retry::default().write(call).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn all_attempts_together_end_in_time() {
    let retry = Retry { attempts: usize::MAX, ..Retry::default() };
    let total = retry.total.unwrap();
    let started = Instant::now();
    let error = retry.idempotent(async || Err::<(), _>(away())).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "the last attempt's error: {error}");
    assert!(started.elapsed() <= total);
    let error = retry.write(async || std::future::pending::<Result<()>>().await).await.unwrap_err();
    assert!(error.outcome_unknown(), "a write that was cut off may have been carried out: {error}");
    assert!(started.elapsed() <= total * 2 + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn waits_beyond_reason_are_an_hour() {
    let retry = Retry { attempts: 9, pause: Duration::MAX, pause_max: Duration::MAX, total: Some(Duration::MAX) };
    let started = Instant::now();
    retry.write(async || Err::<(), _>(away())).await.unwrap_err();
    assert!(started.elapsed() <= WAIT_MAX);
}

#[tokio::test]
async fn what_is_not_known_to_read_is_not_sent() {
    let server = crate::fake::Server::start(|_, _| crate::fake::say(":1\r\n")).await;
    let connection = crate::Connection::open(&server.config()).await.unwrap();
    let retry = Retry::default();
    let error = retry.read::<i64>(&connection, redis::cmd("INCR").arg("n")).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
    assert_eq!(retry.read::<i64>(&connection, redis::cmd("GET").arg("n")).await.unwrap(), 1);
    assert_eq!(server.seen(), [(1, "GET n".to_owned())]);
}
