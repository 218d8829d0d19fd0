//! A fake as a running server: its addresses, and the guard that stops it.

use crate::world::World;
use crate::{Venue, hub};
use axum::serve::ListenerExt as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Name of the thread that a fake runs on.
pub const THREAD: &str = "fake";

/// A broker's fake on the loopback. It has a thread and a runtime of its own, so that plain and async tests use it
/// alike; it ends with this guard.
pub struct Fake {
    world: Arc<World>,
    rest: SocketAddr,
    sockets: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts it on free ports.
    #[must_use]
    pub fn start(venue: impl Venue) -> Self {
        let world = World::new(Box::new(venue));
        let stop = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name(THREAD.to_owned()).spawn({
            let (world, stop) = (Arc::clone(&world), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let [rest, sockets] = [listener().await, listener().await];
                    tell.send((rest.local_addr().unwrap(), sockets.local_addr().unwrap())).unwrap();
                    let routes = world.routes();
                    let rest = rest.tap_io(|stream| stream.set_nodelay(true).unwrap());
                    tokio::select! {
                        () = stop.cancelled() => {}
                        served = axum::serve(rest, routes) => served.unwrap(),
                        () = hub::serve(world, sockets) => {}
                    }
                });
            }
        });
        let thread = thread.unwrap();
        let (rest, sockets) = told.recv().unwrap();
        Self { world, rest, sockets, stop, thread: Some(thread) }
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.rest)
    }

    /// `ws://127.0.0.1:port`.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("ws://{}", self.sockets)
    }
}

impl std::ops::Deref for Fake {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the fake's server panicked");
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}
