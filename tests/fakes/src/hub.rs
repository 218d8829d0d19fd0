//! WebSocket connections: who listens to what, and what becomes of their sockets.

use crate::kite::Player;
use crate::world::World;
use futures_util::{SinkExt as _, StreamExt as _};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// The topic of news of orders.
pub const ORDERS: &str = "orders";

/// What a connection hears from its client.
#[derive(Debug)]
pub enum Heard {
    /// The handshake is done.
    Opened,
    /// A message, text or binary.
    Said(Message),
}

/// A connection, as its venue sees it.
#[derive(Debug, Default)]
pub struct Line {
    /// Path and query of the handshake.
    pub uri: String,
    /// Whether the client has proved who it is.
    pub known: bool,
    /// What it listens to: symbols, and [`ORDERS`].
    pub topics: BTreeSet<String>,
    /// Whatever else the venue wants to remember of it.
    pub note: String,
    /// Prices that this connection is told by the clock.
    pub play: Option<Player>,
}

/// What a connection is told to do.
#[derive(Debug, Clone)]
enum Order {
    /// Send this, if the topic is listened to.
    Tell(String, Message),
    /// Send this in any case.
    Say(Message),
    /// Send half a frame and go.
    Cut,
    /// Close properly.
    Close,
    /// Say nothing any more and answer no ping, but keep the connection.
    Mute,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Hub {
    lines: Mutex<Vec<UnboundedSender<Order>>>,
    opened: std::sync::atomic::AtomicUsize,
}

impl Hub {
    /// Sends a message to those that listen to a topic.
    pub fn tell(&self, topic: &str, message: &Message) {
        self.order(&Order::Tell(topic.to_owned(), message.clone()));
    }

    /// Sends a message to everybody.
    pub fn say(&self, message: &Message) {
        self.order(&Order::Say(message.clone()));
    }

    /// Every connection of this moment ends in the middle of a frame.
    pub fn cut(&self) {
        self.order(&Order::Cut);
    }

    /// Every connection of this moment is closed.
    pub fn close(&self) {
        self.order(&Order::Close);
    }

    /// Every connection of this moment falls silent; new ones speak.
    pub fn mute(&self) {
        self.order(&Order::Mute);
    }

    /// Connections that were ever opened.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.opened.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn order(&self, order: &Order) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).retain(|line| line.send(order.clone()).is_ok());
    }
}

/// Accepts connections for ever.
pub(crate) async fn serve(world: Arc<World>, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        // A message must not wait in the kernel for the acknowledgement of the one before.
        stream.set_nodelay(true).unwrap();
        tokio::spawn(connection(Arc::clone(&world), stream));
    }
}

async fn connection(world: Arc<World>, stream: TcpStream) {
    let mut line = Line::default();
    let hello = |request: &Request, response: Response| {
        line.uri = request.uri().path_and_query().map_or("/", |uri| uri.as_str()).to_owned();
        world.venue.admits(&world, &line.uri).map(|()| response).map_err(|status| {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = axum::http::StatusCode::from_u16(status).unwrap();
            refusal
        })
    };
    let Ok(mut socket) = accept_hdr_async(stream, hello).await else { return };
    let (orders, mut inbox) = unbounded_channel();
    world.hub.lines.lock().unwrap_or_else(PoisonError::into_inner).push(orders);
    world.hub.opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let _ = talk(&world, &mut socket, &mut line, &mut inbox).await;
}

type Socket = WebSocketStream<TcpStream>;
type Done = Result<(), tokio_tungstenite::tungstenite::Error>;

async fn talk(world: &World, socket: &mut Socket, line: &mut Line, inbox: &mut UnboundedReceiver<Order>) -> Done {
    for message in world.venue.talk(world, line, Heard::Opened) {
        socket.send(message).await?;
    }
    loop {
        tokio::select! {
            heard = socket.next() => match heard {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    for answer in world.venue.talk(world, line, Heard::Said(message)) {
                        socket.send(answer).await?;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
            order = inbox.recv() => match order {
                Some(Order::Tell(topic, message)) if line.topics.contains(&topic) => socket.send(message).await?,
                Some(Order::Say(message)) => socket.send(message).await?,
                Some(Order::Tell(..)) => {}
                Some(Order::Cut) => {
                    // A text of 100 bytes is announced, and a few come.
                    socket.get_mut().write_all(b"\x81\x64{\"T\":").await?;
                    return Ok(socket.get_mut().shutdown().await?);
                }
                Some(Order::Close) => socket.close(None).await?,
                Some(Order::Mute) => std::future::pending().await,
                None => return Ok(()),
            },
            message = played(&mut line.play) => {
                let at = Instant::now();
                socket.send(message).await?;
                line.play.iter_mut().for_each(|player| player.told(at));
            }
        }
    }
}

/// What is due next of what is played. Cancel safe.
async fn played(player: &mut Option<Player>) -> Message {
    match player {
        Some(player) => player.next().await,
        None => std::future::pending().await,
    }
}
