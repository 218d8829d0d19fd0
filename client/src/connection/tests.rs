//! Against a server of a few lines that can be told to misbehave.

use super::*;
use crate::error::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// What the server does with a command.
enum Does {
    Say(&'static str),
    Nothing,
    HangUp,
}

struct Server {
    config: Config,
    /// Which connection sent which command, greetings left out.
    seen: Arc<Mutex<Vec<(usize, String)>>>,
    accepted: Arc<Mutex<usize>>,
}

impl Server {
    /// `script` gets the connection's number, from 1, and the command.
    async fn start(script: fn(usize, &str) -> Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/?protocol=resp2", listener.local_addr().unwrap());
        let config = Config::from_url(&url)
            .unwrap()
            .with_response_timeout(Duration::from_millis(200))
            .with_backoff(Duration::from_millis(1), Duration::from_millis(20));
        let (seen, accepted) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (log, count) = (seen.clone(), accepted.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    *count
                };
                tokio::spawn(serve(socket, number, script, log.clone()));
            }
        });
        Self { config, seen, accepted }
    }

    fn seen(&self) -> Vec<(usize, String)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    socket: TcpStream,
    number: usize,
    script: fn(usize, &str) -> Does,
    log: Arc<Mutex<Vec<(usize, String)>>>,
) {
    let mut socket = BufReader::new(socket);
    while let Some(words) = read_command(&mut socket).await {
        let command = words.join(" ");
        let does = if words[0] == "CLIENT" {
            Does::Say("+OK\r\n")
        } else {
            log.lock().unwrap().push((number, command.clone()));
            script(number, &command)
        };
        match does {
            Does::Say(reply) => socket.write_all(reply.as_bytes()).await.unwrap_or_default(),
            Does::Nothing => {}
            Does::HangUp => return,
        }
    }
}

/// An array of bulk strings.
async fn read_command(socket: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..read_length(socket).await? {
        let mut word = vec![0; read_length(socket).await? + 2];
        socket.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    Some(words)
}

async fn read_length(socket: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    socket.read_line(&mut line).await.ok()?;
    line.trim_end().get(1..)?.parse().ok()
}

async fn ask(connection: &mut Connection, what: &str) -> Result<Value> {
    Ok(redis::cmd(what).query_async(connection).await?)
}

#[tokio::test]
async fn a_request_that_dies_with_its_connection_is_not_repeated_and_the_next_one_works() {
    let server = Server::start(|number, _| if number == 1 { Does::HangUp } else { Does::Say(":1\r\n") }).await;
    let mut connection = Connection::open(&server.config).await.unwrap();
    let error = ask(&mut connection, "WRITE").await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(ask(&mut connection, "NEXT").await.unwrap(), Value::Int(1));
    assert_eq!(server.seen(), [(1, "WRITE".to_owned()), (2, "NEXT".to_owned())]);
}

#[tokio::test]
async fn a_connection_that_has_gone_mute_is_left() {
    let server = Server::start(|number, _| if number == 1 { Does::Nothing } else { Does::Say(":1\r\n") }).await;
    let mut connection = Connection::open(&server.config).await.unwrap();
    let error = ask(&mut connection, "WRITE").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(ask(&mut connection, "NEXT").await.unwrap(), Value::Int(1));
    assert_eq!(server.seen(), [(1, "WRITE".to_owned()), (2, "NEXT".to_owned())]);
}

#[tokio::test]
async fn a_demoted_primary_is_left() {
    let server = Server::start(|number, _| match number {
        1 => Does::Say("-READONLY You can't write against a read only replica.\r\n"),
        _ => Does::Say(":1\r\n"),
    })
    .await;
    let mut connection = Connection::open(&server.config).await.unwrap();
    let error = ask(&mut connection, "WRITE").await.unwrap_err();
    assert!(error.is_retryable() && !error.outcome_unknown(), "{error:?}");
    assert_eq!(ask(&mut connection, "WRITE").await.unwrap(), Value::Int(1));
}

#[tokio::test]
async fn other_refusals_leave_the_connection_alone() {
    let server = Server::start(|_, command| match command {
        "BAD" => Does::Say("-BADFIELD quantity '0' must be above 0\r\n"),
        _ => Does::Say(":1\r\n"),
    })
    .await;
    let mut connection = Connection::open(&server.config).await.unwrap();
    assert!(ask(&mut connection, "BAD").await.is_err());
    ask(&mut connection, "GOOD").await.unwrap();
    assert_eq!(*server.accepted.lock().unwrap(), 1);
}

#[tokio::test]
async fn many_requests_at_once_share_one_new_connection() {
    let server = Server::start(|_, _| Does::Say(":1\r\n")).await;
    let connection = Connection::lazy(&server.config).unwrap();
    let asks = (0..50).map(|_| {
        let mut connection = connection.clone();
        async move { ask(&mut connection, "GET").await }
    });
    assert!(futures_util::future::join_all(asks).await.iter().all(std::result::Result::is_ok));
    assert_eq!(*server.accepted.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_then_the_request_fails_unsent() {
    // A port that was just free has nobody behind it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
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
