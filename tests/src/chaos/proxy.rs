//! A proxy on the link between two processes, which does to it what networks do.
//!
//! One listener, two threads per connection. A server that is started again keeps the proxy's address.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Time between two portions of a throttled link.
const PORTION_EVERY: Duration = Duration::from_millis(20);

/// Where connections go.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A port of the loopback.
    Tcp(u16),
    /// A socket file.
    Unix(PathBuf),
}

/// What the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything goes through.
    Pass,
    /// Closes what is open, and every new connection at once.
    Refuse,
    /// Each piece of data arrives so much later.
    Delay(Duration),
    /// Accepts and reads, passes nothing on and answers nothing: the far end has gone without a word.
    HalfOpen,
    /// Requests are delivered; the answer is lost and the connection with it.
    DropReplies,
    /// So many bytes a second.
    Throttle(usize),
}

/// A running proxy.
pub(super) struct Proxy {
    name: &'static str,
    port: u16,
    link: Arc<Link>,
}

/// What the threads of a proxy share.
struct Link {
    target: Target,
    state: Mutex<State>,
    next_id: AtomicU64,
    ended: AtomicBool,
}

struct State {
    mode: Mode,
    open: HashMap<u64, Pair>,
}

/// The two ends of a connection.
#[derive(Clone)]
struct Pair {
    near: Arc<Stream>,
    /// None behind a half-open link.
    far: Option<Arc<Stream>>,
    /// Something was swallowed: nothing goes through any more.
    mute: Arc<AtomicBool>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Reply,
}

impl Proxy {
    /// Listens on a free port of the loopback.
    pub(super) fn start(name: &'static str, target: Target) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Mutex::new(State { mode: Mode::Pass, open: HashMap::new() });
        let link = Arc::new(Link { target, state, next_id: AtomicU64::new(0), ended: AtomicBool::new(false) });
        let shared = Arc::clone(&link);
        thread::spawn(move || shared.listen(&listener));
        Self { name, port, link }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on the link does this.
    pub(super) fn set(&self, mode: Mode) {
        let mut state = self.link.state();
        state.mode = mode;
        // What was swallowed never comes: the far end that is back answers old connections with a reset.
        state.open.retain(|_, pair| {
            let stays = mode != Mode::Refuse && (mode == Mode::HalfOpen || !pair.mute.load(Ordering::Relaxed));
            if !stays {
                pair.close();
            }
            stays
        });
    }

    /// Closes every connection now.
    pub(super) fn cut(&self) {
        self.link.state().open.drain().for_each(|(_, pair)| pair.close());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.link.ended.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the listener up, so that it ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mode(&self) -> Mode {
        self.state().mode
    }

    fn listen(self: Arc<Self>, listener: &TcpListener) {
        while let Ok((near, _)) = listener.accept() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let _ = near.set_nodelay(true);
            self.connect(Stream::Tcp(near));
        }
    }

    fn connect(self: &Arc<Self>, near: Stream) {
        let mode = self.mode();
        let far = match mode {
            Mode::Refuse => return,
            Mode::HalfOpen => None,
            _ => match self.target.open() {
                Ok(far) => Some(Arc::new(far)),
                // Nobody is there: the near end sees its connection closed.
                Err(_) => return,
            },
        };
        let mute = Arc::new(AtomicBool::new(far.is_none()));
        let pair = Pair { near: Arc::new(near), far, mute };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.state().open.insert(id, pair.clone());
        for direction in [Direction::Request, Direction::Reply] {
            if direction == Direction::Request || pair.far.is_some() {
                let (link, pair) = (Arc::clone(self), pair.clone());
                thread::spawn(move || {
                    let _ = link.pump(&pair, direction);
                    pair.close();
                    link.state().open.remove(&id);
                });
            }
        }
    }

    /// Carries one direction of a connection until it ends.
    fn pump(&self, pair: &Pair, direction: Direction) -> io::Result<()> {
        let (from, to) = match direction {
            Direction::Request => (Some(&pair.near), pair.far.as_ref()),
            Direction::Reply => (pair.far.as_ref(), Some(&pair.near)),
        };
        let Some(from) = from else { return Ok(()) };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = from.receive(&mut buffer)?;
            let data = &buffer[..length];
            let mode = self.mode();
            match (mode, to) {
                _ if length == 0 => return Ok(()),
                _ if pair.mute.load(Ordering::Relaxed) => {}
                (Mode::HalfOpen, _) | (_, None) => pair.mute.store(true, Ordering::Relaxed),
                (Mode::Refuse, _) => return Ok(()),
                (Mode::DropReplies, _) if direction == Direction::Reply => return Ok(()),
                (Mode::Pass | Mode::DropReplies, Some(to)) => to.send(data)?,
                (Mode::Delay(delay), Some(to)) => {
                    thread::sleep(delay);
                    to.send(data)?;
                }
                (Mode::Throttle(bytes_per_second), Some(to)) => {
                    let portion = bytes_per_second * PORTION_EVERY.as_millis() as usize / 1_000;
                    for part in data.chunks(portion.max(1)) {
                        to.send(part)?;
                        thread::sleep(PORTION_EVERY);
                    }
                }
            }
        }
    }
}

impl Target {
    fn open(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }
}

impl Pair {
    fn close(&self) {
        self.near.close();
        if let Some(far) = &self.far {
            far.close();
        }
    }
}

impl Stream {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&*stream).read(buffer),
            Self::Unix(stream) => (&*stream).read(buffer),
        }
    }

    fn send(&self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&*stream).write_all(data),
            Self::Unix(stream) => (&*stream).write_all(data),
        }
    }

    /// Ends both directions, whoever waits in them.
    fn close(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

#[cfg(test)]
mod tests;
