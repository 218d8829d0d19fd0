//! Servers of a few lines that can be told to misbehave.

use crate::config::Config;
use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the server does with a command.
pub(crate) enum Does {
    Say(Cow<'static, str>),
    /// The first text, and the second once it is rung for.
    SayTwice(Cow<'static, str>, Arc<Notify>, Cow<'static, str>),
    Nothing,
    HangUp,
}

pub(crate) fn say(reply: impl Into<Cow<'static, str>>) -> Does {
    Does::Say(reply.into())
}

/// An array of bulk strings, as RESP2 has it.
pub(crate) fn bulks(words: &[&str]) -> Does {
    let bulks: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    say(format!("*{}\r\n{bulks}", words.len()))
}

type Script = dyn Fn(usize, &str) -> Does + Send + Sync;

#[derive(Default)]
struct Log {
    /// Which connection sent which command, greetings left out.
    seen: Vec<(usize, String)>,
    accepted: usize,
    open: usize,
}

pub(crate) struct Server {
    pub(crate) address: std::net::SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Server {
    /// `script` gets the connection's number, from 1, and the command.
    pub(crate) async fn start(script: impl Fn(usize, &str) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let script: Arc<Script> = Arc::new(script);
        let shared = log.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = {
                    let mut log = shared.lock().unwrap();
                    log.accepted += 1;
                    log.open += 1;
                    log.accepted
                };
                let (script, log) = (script.clone(), shared.clone());
                tokio::spawn(async move {
                    serve(socket, number, &*script, &log).await;
                    log.lock().unwrap().open -= 1;
                });
            }
        });
        Self { address, log }
    }

    /// Settings of an impatient client.
    pub(crate) fn config(&self) -> Config {
        impatient(&format!("redis://{}/?protocol=resp2", self.address))
    }

    pub(crate) fn seen(&self) -> Vec<(usize, String)> {
        self.log.lock().unwrap().seen.clone()
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.log.lock().unwrap().accepted
    }

    /// Connections that stand.
    pub(crate) fn open(&self) -> usize {
        self.log.lock().unwrap().open
    }
}

pub(crate) fn impatient(url: &str) -> Config {
    Config::from_url(url)
        .unwrap()
        .with_response_timeout(Duration::from_millis(200))
        .with_backoff(Duration::from_millis(1), Duration::from_millis(20))
}

/// An address with nobody behind it: a port that was just free.
pub(crate) async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn serve(socket: TcpStream, number: usize, script: &Script, log: &Mutex<Log>) {
    let mut socket = BufReader::new(socket);
    while let Some(words) = read_command(&mut socket).await {
        let command = words.join(" ");
        let does = if words[0] == "CLIENT" {
            say("+OK\r\n")
        } else {
            log.lock().unwrap().seen.push((number, command.clone()));
            script(number, &command)
        };
        match does {
            Does::Say(reply) => socket.write_all(reply.as_bytes()).await.unwrap_or_default(),
            Does::SayTwice(first, rung, second) => {
                socket.write_all(first.as_bytes()).await.unwrap_or_default();
                rung.notified().await;
                socket.write_all(second.as_bytes()).await.unwrap_or_default();
            }
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
