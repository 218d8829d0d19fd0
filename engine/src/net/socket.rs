//! A WebSocket session with a bound on everything: the handshake, each write, the size of a message, silence.
//!
//! Silence is told from a quiet market by pings: whoever hears nothing for a while asks, and a server that does not
//! answer either is gone, whatever TCP says.

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use hyper::http::{HeaderName, HeaderValue};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Bounds of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketBounds {
    /// Longest wait for the connection and its handshakes, and for one write.
    pub connect: Duration,
    /// Nothing heard for so long, answers to pings included, ends the session.
    pub silence: Duration,
    /// Nothing heard for so long is reason to ping; zero for never. Shorter than `silence`.
    pub ping: Duration,
    /// Largest message, bytes.
    pub message_bytes: usize,
}

/// Why a session ended, or never began.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The server answered the handshake with another status than 101.
    #[error("the handshake was refused with HTTP {status}")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// The server has closed the session.
    #[error("the other side closed the session: {0}")]
    Closed(String),
    /// Nothing was heard for as long as is allowed.
    #[error("nothing was heard for {} ms", .0.as_millis())]
    Silent(Duration),
    /// Not connected, or not written, in time.
    #[error("it took longer than {} ms", .0.as_millis())]
    Slow(Duration),
    /// Anything else: no connection, a cut in the middle of a frame, a message that is too large or no WebSocket.
    #[error(transparent)]
    Broken(#[from] Box<WsError>),
}

impl From<WsError> for SocketError {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Http(answer) => Self::Refused { status: answer.status().as_u16() },
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::Closed("without a reason".to_owned()),
            other => Self::Broken(Box::new(other)),
        }
    }
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text, valid UTF-8.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Frame {
    /// The bytes of either.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// A session.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    bounds: SocketBounds,
    /// When something was last heard.
    heard: Instant,
    /// When a ping was last sent since.
    pinged: Option<Instant>,
}

impl Socket {
    /// Connects to `ws://` or `wss://` ([`super::check_socket`] says which are allowed), with further headers.
    ///
    /// # Errors
    /// [`SocketError`].
    pub async fn connect(
        url: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        bounds: SocketBounds,
    ) -> Result<Self, SocketError> {
        let mut request = url.into_client_request()?;
        request.headers_mut().extend(headers);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_message_size(Some(bounds.message_bytes))
            .max_frame_size(Some(bounds.message_bytes));
        let connecting = connect_async_with_config(request, Some(config), true);
        let connected = timeout(bounds.connect, connecting).await;
        let (stream, _) = connected.map_err(|_| SocketError::Slow(bounds.connect))??;
        Ok(Self { stream, bounds, heard: Instant::now(), pinged: None })
    }

    /// The next message; pings are answered on the way. Cancel safe.
    ///
    /// # Errors
    /// [`SocketError`]; the session is over then.
    pub async fn next(&mut self) -> Result<Frame, SocketError> {
        loop {
            let Ok(heard) = timeout_at(self.wake_at(), self.stream.next()).await else {
                self.not_heard().await?;
                continue;
            };
            let message = heard.ok_or_else(|| SocketError::Closed("without a word".to_owned()))??;
            (self.heard, self.pinged) = (Instant::now(), None);
            match message {
                Message::Text(text) => return Ok(Frame::Text(text)),
                Message::Binary(bytes) => return Ok(Frame::Binary(bytes)),
                Message::Close(reason) => return Err(SocketError::Closed(in_words(reason))),
                // A ping was answered by the reading itself; flushed with it.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// [`SocketError`]; the session is over then.
    pub async fn send(&mut self, text: String) -> Result<(), SocketError> {
        self.write(Message::text(text)).await
    }

    /// When to look whether something was heard: at the next ping or at the end of patience.
    fn wake_at(&self) -> Instant {
        let SocketBounds { ping, silence, .. } = self.bounds;
        let wait = if ping.is_zero() || self.pinged.is_some() { silence } else { ping.min(silence) };
        self.heard + wait
    }

    async fn not_heard(&mut self) -> Result<(), SocketError> {
        if self.heard.elapsed() >= self.bounds.silence {
            return Err(SocketError::Silent(self.bounds.silence));
        }
        if self.pinged.is_none() {
            self.pinged = Some(Instant::now());
            self.write(Message::Ping(Bytes::new())).await?;
        }
        Ok(())
    }

    async fn write(&mut self, message: Message) -> Result<(), SocketError> {
        let sent = timeout(self.bounds.connect, self.stream.send(message)).await;
        Ok(sent.map_err(|_| SocketError::Slow(self.bounds.connect))??)
    }
}

/// What a server says when it closes, for messages.
fn in_words(reason: Option<tokio_tungstenite::tungstenite::protocol::CloseFrame>) -> String {
    reason.map_or_else(
        || "without a reason".to_owned(),
        |frame| crate::failure::one_line(&format!("{} {}", u16::from(frame.code), frame.reason)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    const BOUNDS: SocketBounds = SocketBounds {
        connect: Duration::from_secs(2),
        silence: Duration::from_millis(400),
        ping: Duration::from_millis(100),
        message_bytes: 1_000,
    };

    type Server = WebSocketStream<TcpStream>;

    /// A session with a server that does `what`.
    async fn session<F: Future<Output = ()> + Send + 'static>(
        what: impl FnOnce(Server) -> F + Send + 'static,
    ) -> Socket {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/stream", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            what(accept_async(stream).await.unwrap()).await;
        });
        Socket::connect(&url, Vec::new(), BOUNDS).await.unwrap()
    }

    #[tokio::test]
    async fn it_says_and_hears_both_kinds_of_messages() {
        let mut socket = session(async |mut server| {
            let heard = server.next().await.unwrap().unwrap();
            server.send(heard).await.unwrap();
            server.send(Message::binary(vec![1, 2])).await.unwrap();
            server.close(None).await.unwrap();
        })
        .await;
        socket.send("hello".to_owned()).await.unwrap();
        assert_eq!(socket.next().await.unwrap(), Frame::Text("hello".into()));
        assert_eq!(socket.next().await.unwrap().bytes(), [1, 2]);
        assert!(matches!(socket.next().await, Err(SocketError::Closed(_))));
    }

    #[tokio::test]
    async fn a_quiet_server_that_answers_pings_is_alive() {
        let mut socket = session(async |mut server| {
            let mut pings = 0;
            // Reading answers them.
            while let Some(Ok(message)) = server.next().await {
                pings += usize::from(message.is_ping());
                if pings == 8 {
                    server.send(Message::text("at last")).await.unwrap();
                }
            }
        })
        .await;
        assert_eq!(socket.next().await.unwrap(), Frame::Text("at last".into()));
    }

    #[tokio::test]
    async fn a_server_that_answers_nothing_is_gone() {
        let mut socket = session(async |server| {
            let _kept = server;
            std::future::pending::<()>().await;
        })
        .await;
        assert!(matches!(socket.next().await, Err(SocketError::Silent(_))));
    }

    #[tokio::test]
    async fn a_cut_in_the_middle_of_a_frame_and_an_endless_one_end_the_session() {
        // The head announces 16 bytes of text.
        let mut cut = session(async |mut server| server.get_mut().write_all(b"\x81\x10{\"stre").await.unwrap()).await;
        assert!(matches!(cut.next().await, Err(SocketError::Broken(_))));
        let mut large = session(async |mut server| {
            server.send(Message::text("x".repeat(1_001))).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        assert!(matches!(large.next().await, Err(SocketError::Broken(_))));
    }

    #[tokio::test]
    async fn a_refused_handshake_tells_its_status() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1_000]).await.unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        });
        let refused = Socket::connect(&url, Vec::new(), BOUNDS).await;
        assert!(matches!(refused, Err(SocketError::Refused { status: 403 })), "{refused:?}");
    }
}
