//! Looks at the engines' health all the time: which life of which engine is known to have watched stops, and when.

use super::market::{Life, MarketView};
use crate::servers::engine::http;
use crate::support::now_ms;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_millis(150);
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// Of a life of an engine: when it was last seen to watch stops, epoch ms.
pub(super) type Seen = BTreeMap<(usize, Life), i64>;

/// The looks.
pub(super) struct Pulse {
    seen: Arc<Mutex<Seen>>,
    ended: Arc<AtomicBool>,
    work: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Looks at the engines that listen on these ports.
    pub(super) fn start(ports: Vec<u16>, market: MarketView) -> Self {
        let (seen, ended) = (Arc::new(Mutex::new(Seen::new())), Arc::new(AtomicBool::new(false)));
        let (shared, over) = (Arc::clone(&seen), Arc::clone(&ended));
        let work = Some(thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                for (engine, &port) in ports.iter().enumerate() {
                    // Before the question: what is answered was true after that.
                    let (life, at_ms) = (market.life(engine), now_ms());
                    if watches_stops(port) && market.life(engine) == life {
                        shared.lock().unwrap_or_else(PoisonError::into_inner).insert((engine, life), at_ms);
                    }
                }
                thread::sleep(LOOK_EVERY);
            }
        }));
        Self { seen, ended, work }
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(work) = self.work.take() {
            let _ = work.join();
        }
    }
}

/// Whether an engine says that its gate is open and that Redis takes its prices.
pub(super) fn watches_stops(port: u16) -> bool {
    let Some((_, body)) = http(port, "GET", "/health", "", ANSWER_LIMIT) else { return false };
    let Ok(body) = serde_json::from_str::<Json>(&body) else { return false };
    body["reconciled"] == true && ["redis", "market"].iter().all(|part| body[part]["status"] == "ok")
}
