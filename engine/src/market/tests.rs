use super::*;
use crate::executor::Unclaimed;
use crate::feed::Stamp;
use crate::gate::EpochGate;
use crate::guard::{ExitTaker, GuardSettings};
use crate::lease::Lease;
use async_trait::async_trait;
use tokio::time::timeout;

struct Nobody;

impl ExitTaker for Nobody {
    fn take(&self, _: Unclaimed) {}

    fn knows(&self, _: &str, _: u64, _: u64) -> bool {
        false
    }
}

fn market() -> Market {
    // Never reached.
    let config = strat_client::Config::from_url("redis://127.0.0.1:1/").unwrap();
    let redis = Connection::lazy(&config.with_reconnect_wait(Duration::from_millis(10))).unwrap();
    let settings = GuardSettings { enabled: true, notice: Duration::from_millis(50), patience: Duration::from_secs(1) };
    let guard = Guard::new(settings, EpochGate::new(), Arc::new(LiveClock), Arc::new(Nobody), Lease::not_needed());
    let settings = FilterSettings { max_jump_percent: 0, max_ahead: Duration::from_secs(10) };
    Market::new(redis, None, Arc::new(guard), settings, "")
}

fn tick(text: &str, ts_ms: i64) -> Tick {
    let (price, price_text) = (text.parse().unwrap(), text.to_owned());
    Tick { ts_ms, stamp: Stamp::Market, symbol: "IBM".into(), price, price_text, size: None, id: None }
}

#[tokio::test]
async fn a_feed_that_can_wait_waits_for_the_symbol_s_last_tick() {
    let market = market();
    assert_eq!((market.stats().watching, market.stats().last_sent_ms), (false, None));
    market.take(tick("100", 1));
    market.room_for("TCS").await;
    let waits = market.room_for("IBM");
    tokio::pin!(waits);
    assert!(timeout(Duration::from_millis(20), &mut waits).await.is_err());
    lock(&market.waiting).clear();
    market.taken.notify_one();
    assert!(timeout(Duration::from_secs(5), waits).await.is_ok());
    market.sent(2);
    assert!(market.stats().watching && market.stats().last_sent_ms.is_some() && market.stats().fired == 2);
}

/// Messages of so many ticks, the last first, each tick of a symbol of its own.
struct Messages {
    messages: Vec<usize>,
    left: usize,
}

#[async_trait]
impl Feed for Messages {
    async fn next(&mut self) -> Option<Result<Tick, FeedError>> {
        if self.left == 0 {
            self.left = self.messages.pop()?;
        }
        self.left -= 1;
        Some(Ok(Tick { symbol: format!("S{}", self.left).into(), ..tick("100", 1) }))
    }

    fn has_more(&self) -> bool {
        self.left > 0
    }

    /// Its ticks repeat themselves.
    fn is_live(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn ticks_of_one_message_go_together_and_a_flood_of_them_in_parts() {
    let market = market();
    let mut feed = Messages { messages: vec![450, 25, 1], left: 0 };
    let mut batches = Vec::new();
    let taking = async {
        loop {
            market.arrived.notified().await;
            let batch = std::mem::take(&mut *lock(&market.waiting));
            // It was rung for while it was being taken.
            batches.extend(Some(batch.len()).filter(|ticks| *ticks > 0));
        }
    };
    tokio::select! {
        biased;
        () = taking => {}
        outcome = market.listen(&mut feed) => outcome.unwrap(),
    }
    assert_eq!(batches, [1, 25, 200, 200, 50]);
}

#[tokio::test]
async fn what_redis_does_not_take_is_kept_and_the_guard_acts_from_then_on() {
    let market = market();
    for (ts_ms, price) in [(1, "100"), (2, "110"), (3, "103"), (4, "108")] {
        market.take(tick(price, ts_ms));
    }
    assert!(!market.guard.is_acting());
    let batch = std::mem::take(&mut *lock(&market.waiting));
    market.take(tick("109", 5));
    market.take(tick("90", 6));
    assert!(market.send_batch(batch).await.is_err());
    assert!(market.guard.is_acting() && !market.stats().watching);
    let kept: Vec<_> = lock(&market.waiting)["IBM"].prices().map(|(_, text)| text.to_owned()).collect();
    assert_eq!(kept, ["100", "110", "103", "109", "90"]);
    assert_eq!(market.guard.status().outages, 1);
}
