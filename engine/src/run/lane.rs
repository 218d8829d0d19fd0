//! A thread for one thing alone: nothing else of the engine comes before a price, or before an exit that has just fired.
//!
//! On the threads that all share, a price wakes a second one before it is on its way, and an exit waits behind the journal, which
//! tells of it in the same moment. A lane's thread is woken by its own connections and hands nothing over.

use std::io;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The thread; it ends, and drops what is left on it, when this is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    handle: Handle,
    _ends: DropGuard,
}

impl Lane {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives none.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let ends = end.clone().drop_guard();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(end.cancelled()))?;
        Ok(Self { handle, _ends: ends })
    }

    /// Where to spawn what shall run on it.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}
