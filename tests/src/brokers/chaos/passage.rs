//! One strategy's way from its start to its stop, past one point at which its engine dies.

use super::Venue;
use crate::brokers::Desk;
use crate::chaos::Class;
use crate::chaos::points::{CrashPoint, Stage, died_at};
use crate::servers::Database;
use crate::servers::process::temp_dir;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use strat_core::Leg;
use strat_fakes::Fills;
use tempfile::TempDir;

/// Longest wait for anything: whoever takes over at Binance needs more than half a minute on an idle machine.
const LIMIT: Duration = Duration::from_secs(150);
/// Between two looks. Before each the market trades once: an engine that was away has missed what was before.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Where the market is when the strategy buys, and below its stop.
const PRICES: (&str, &str) = ("100", "94.80");

/// What dies where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    pub(super) venue: &'static Venue,
    pub(super) point: &'static CrashPoint,
    /// On the way of the entry, or of the exit.
    pub(super) leg: Leg,
}

/// How one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The strategy bought once and sold once.
    Traded,
    /// Nobody can know whether the order was sent: it was not sent again, and a person was called.
    Alarmed,
}

/// A passage under way.
pub(super) struct Trip {
    pub(super) passage: Passage,
    pub(super) desk: Desk,
    price: &'static str,
    /// Holds the name of the point at which the engine is to die.
    crash_at: PathBuf,
    _folder: TempDir,
}

impl Passage {
    pub(super) fn name(&self) -> String {
        format!("{} {} {}", self.venue.name, self.leg, self.point.name)
    }

    /// What may become of it. Only a broker of class C cannot tell whether it was sent what an engine had in hand.
    fn may_end(&self) -> &'static [End] {
        match (self.venue.class, self.point.stage) {
            (Class::None, Stage::InHand) => &[End::Alarmed],
            (Class::None, Stage::Enqueued) => &[End::Traded, End::Alarmed],
            _ => &[End::Traded],
        }
    }

    pub(super) fn go(self, books: Database) -> End {
        let mut trip = Trip::begin(self, books);
        if self.leg == Leg::Exit {
            trip.ask_for(Leg::Entry);
            trip.wait_bought();
        }
        trip.die();
        trip.desk.engine.start_again();
        let ends = self.may_end();
        if self.leg == Leg::Entry && ends.contains(&End::Traded) {
            trip.wait_bought();
            trip.ask_for(Leg::Exit);
        }
        let end = trip.wait_end();
        assert!(ends.contains(&end), "{end:?}: {}", trip.shown());
        match end {
            End::Traded => trip.check_end(),
            End::Alarmed => trip.check_alarm(),
        }
        end
    }
}

impl Trip {
    fn begin(passage: Passage, books: Database) -> Self {
        let folder = temp_dir();
        let crash_at = folder.path().join("crash_at");
        let asks = [("STRAT_CRASH_AT", format!("@{}", crash_at.display()))];
        let desk = Desk::open((passage.venue.house)(), books, &asks);
        Self { passage, desk, price: PRICES.0, crash_at, _folder: folder }
    }

    /// The entry is asked for by its time, the exit by the market, which falls below the stop.
    fn ask_for(&mut self, leg: Leg) {
        match leg {
            Leg::Entry => self.desk.order_entry(),
            Leg::Exit => self.price = PRICES.1,
        }
    }

    /// Has the engine die, and sees that it was at the point, and that the broker has the order as the point's stage says.
    fn die(&mut self) {
        let Passage { point, leg, .. } = self.passage;
        match point.stage {
            Stage::Crossed | Stage::Enqueued | Stage::InHand | Stage::Sent => {
                self.crash_at(point.name);
                self.ask_for(leg);
            }
            Stage::Recorded => {
                let id = self.have_it_work(leg);
                self.crash_at(point.name);
                self.fill(&id);
            }
            Stage::Recovery => {
                let id = self.have_it_work(leg);
                self.desk.engine.kill_9();
                self.fill(&id);
                self.crash_at(point.name);
                self.desk.engine.start_again();
            }
        }
        self.wait("the engine has died", |desk| desk.engine.has_ended().then_some(()));
        assert!(died_at(&mut self.desk.engine, point.name), "it ended elsewhere:\n{}", self.desk.engine.log());
        self.crash_at("");
        self.desk.fake.set_fills(Fills::AtOnce);
        let sent = self.desk.orders() - usize::from(leg == Leg::Exit);
        assert!(may_be_sent(point.stage).contains(&sent), "{sent} orders when it died: {}", self.shown());
    }

    /// The engine is to die at this point from now on, or at none.
    fn crash_at(&self, point: &str) {
        std::fs::write(&self.crash_at, point).unwrap();
    }

    /// The order of this leg is sent and does not fill; Postgres has heard of it. Answers its id.
    fn have_it_work(&mut self, leg: Leg) -> String {
        self.desk.fake.set_fills(Fills::ByHand);
        self.ask_for(leg);
        let nth = usize::from(leg == Leg::Exit);
        let id = |desk: &mut Desk| desk.fake.book(|book| book.orders().get(nth).map(|order| order.asked.id.clone()));
        let id = self.wait("the order is at the broker", id);
        self.wait_row(leg, "NEW");
        id
    }

    fn fill(&self, id: &str) {
        self.desk.fake.fill(id, "10", self.price);
    }

    /// Bought, and Postgres knows, so that nothing is under way any more.
    fn wait_bought(&mut self) {
        self.wait_field("filled_quantity", "10");
        self.wait_field("working", "");
        self.wait_row(Leg::Entry, "FILL");
    }

    fn wait_row(&mut self, leg: Leg, status: &str) {
        let row = format!("SELECT 1 FROM orders WHERE leg = '{leg}' AND status = '{status}'");
        self.wait(&row, |desk| (!desk.books.sql(&row).is_empty()).then_some(()));
    }

    fn wait_field(&mut self, field: &str, wanted: &str) {
        let is = |desk: &mut Desk| (desk.fields().get(field).map_or("", String::as_str) == wanted).then_some(());
        self.wait(&format!("{field} is '{wanted}'"), is);
    }

    /// The strategy has completed, or a person was called twice, with everything looked at again in between.
    fn wait_end(&mut self) -> End {
        self.wait("the strategy has completed, or a person is called", |desk| {
            let completed = desk.fields().get("status").is_some_and(|status| status == "COMPLETED");
            let alarmed = || desk.engine.log().matches("ORDER NOT SENT").count() >= 2;
            if completed { Some(End::Traded) } else { alarmed().then_some(End::Alarmed) }
        })
    }

    pub(super) fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Desk) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            self.desk.fake.set_price(self.desk.symbol, self.price);
            if let Some(found) = look(&mut self.desk) {
                return found;
            }
            assert!(started.elapsed() < LIMIT, "after {LIMIT:?} still not: {what}\n{}", self.shown());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The strategy, the broker's orders, and what the engines said last.
    pub(super) fn shown(&self) -> String {
        let (fields, log) = (self.desk.fields(), self.desk.engine.log());
        let orders = self.desk.fake.book(|book| format!("{:#?}", book.orders()));
        let last: Vec<_> = log.lines().rev().take(40).collect::<Vec<_>>().into_iter().rev().collect();
        format!("{}: {fields:?}\n{orders}\n{}", self.passage.name(), last.join("\n"))
    }
}

/// Orders that the broker may have got for the leg when the engine dies at such a point.
fn may_be_sent(stage: Stage) -> &'static [usize] {
    match stage {
        Stage::Crossed | Stage::InHand => &[0],
        // Exits have a thread of their own, which may be quick.
        Stage::Enqueued => &[0, 1],
        Stage::Sent | Stage::Recorded | Stage::Recovery => &[1],
    }
}
