use super::*;
use crate::clock::ReplayClock;
use strat_core::Action;

/// Notes what it is handed.
#[derive(Default)]
struct Notes(Mutex<Vec<(String, Action)>>);

impl ExitTaker for Notes {
    fn take(&self, exit: Unclaimed) {
        lock(&self.0).push((exit.key, exit.action));
    }

    fn knows(&self, key: &str, _: u64, _: u64) -> bool {
        key.ends_with("known")
    }
}

struct World {
    guard: Guard,
    notes: Arc<Notes>,
    gate: EpochGate,
    clock: Arc<ReplayClock>,
}

const PATIENCE: Duration = Duration::from_secs(1);

fn world(lease: Lease, enabled: bool) -> World {
    let (notes, gate, clock) = (Arc::new(Notes::default()), EpochGate::new(), Arc::new(ReplayClock::at(1_000)));
    let settings = GuardSettings { enabled, notice: Duration::from_millis(100), patience: PATIENCE };
    let guard = Guard::new(settings, gate.clone(), Arc::clone(&clock) as _, Arc::clone(&notes) as _, lease);
    {
        let mut shadow = lock(&guard.shadow);
        for (name, more) in [
            ("s", ("note", "")),
            ("known", ("note", "")),
            ("timed", ("sell_at", "2000")),
            ("queued", ("pending", "SELL")),
        ] {
            let key = format!("user:a:strategy:{name}");
            let fields = [("symbol", "IBM"), ("quantity", "10"), ("position", "BOUGHT"), ("stop_loss", "95"), more];
            let fields = fields.into_iter().filter(|(field, _)| name != "timed" || *field != "stop_loss");
            shadow.put_hash(&key, Some(&strat_client::Strategy::new(key.clone(), fields)));
        }
    }
    lock(&guard.state).fresh = Some(Instant::now());
    gate.open("e1");
    World { guard, notes, gate, clock }
}

impl World {
    fn tick(&self, price: &str) {
        self.guard.check("IBM", [(price.parse().unwrap(), price)], 1);
    }

    fn taken(&self) -> Vec<String> {
        lock(&self.notes.0)
            .iter()
            .map(|(key, action)| format!("{} {action}", key.rsplit(':').next().unwrap()))
            .collect()
    }
}

#[tokio::test]
async fn it_acts_from_the_loss_to_the_return_and_no_longer() {
    let world = world(Lease::not_needed(), true);
    assert!(world.guard.taken("e1") && !world.guard.is_acting());
    assert_eq!(world.guard.status().watching, Watcher::Redis);
    assert!(world.guard.lost("gone", false) && world.guard.is_acting());
    assert!(!world.guard.lost("still gone", false), "only the first is news");
    assert_eq!(world.guard.status().watching, Watcher::Engine);
    world.tick("94");
    world.tick("93");
    // What the executor has in hand already is not sent again.
    assert_eq!(world.taken(), ["s STOPLOSS"]);
    assert!(world.guard.taken("e1") && !world.guard.is_acting());
    let status = world.guard.status();
    assert_eq!((status.watching, status.outages, status.exits, status.alarms), (Watcher::Redis, 1, 1, 0));
}

#[tokio::test]
async fn prices_taken_in_an_epoch_that_is_not_reconciled_count_for_nothing() {
    let world = world(Lease::not_needed(), true);
    assert!(!world.guard.taken("e2"));
    assert!(world.guard.lost("unsynced", true) && world.guard.is_acting());
    world.gate.invalidate("e1");
    assert!(!world.guard.taken("e2") && world.guard.is_acting());
    world.gate.open("e2");
    assert!(world.guard.taken("e2") && !world.guard.is_acting());
    // At the start nothing is known that Redis does not know.
    lock(&world.guard.state).fresh = None;
    assert!(world.guard.taken("e3"));
}

#[tokio::test]
async fn times_and_queues_wait_for_patience() {
    let world = world(Lease::not_needed(), true);
    world.clock.set(3_000);
    world.guard.look(Instant::now() + PATIENCE);
    assert_eq!(world.taken(), Vec::<String>::new(), "Redis is there");
    world.guard.lost("gone", false);
    world.guard.look(Instant::now());
    assert_eq!(world.taken(), Vec::<String>::new(), "not for a blink");
    for _ in 0..2 {
        world.guard.look(Instant::now() + PATIENCE);
        assert_eq!(world.taken(), ["timed SELL", "queued SELL"]);
    }
}

#[tokio::test]
async fn without_the_right_to_act_it_cries_and_sends_when_the_right_comes() {
    let lease = Lease::needed(Duration::ZERO);
    let world = world(lease.clone(), true);
    world.guard.lost("gone", false);
    world.tick("94");
    assert_eq!((world.taken(), world.guard.status().alarms), (vec![], 1));
    assert_eq!(world.guard.status().watching, Watcher::Nobody);
    world.guard.look(Instant::now());
    assert_eq!(world.taken(), Vec::<String>::new());
    lease.grant();
    world.guard.look(Instant::now());
    assert_eq!(world.taken(), ["s STOPLOSS"]);
    // Redis came first: it fires the stop itself.
    let late = self::world(Lease::needed(Duration::ZERO), true);
    late.guard.lost("gone", false);
    late.tick("94");
    late.guard.taken("e1");
    late.guard.lease.grant();
    late.guard.lost("gone again", false);
    late.guard.look(Instant::now());
    assert_eq!(late.taken(), Vec::<String>::new());
}

#[tokio::test]
async fn switched_off_it_only_says_that_nobody_watches() {
    let world = world(Lease::not_needed(), false);
    assert!(!world.guard.lost("gone", false) && !world.guard.is_acting());
    assert_eq!((world.guard.status().watching, world.guard.status().outages), (Watcher::Nobody, 1));
}
