//! The broker at work: the books, and what happens by itself as time goes by.

use crate::args::{Args, Class, Span};
use crate::book::{Book, Later, Placed};
use crate::ledger::{Event, Line};
use crate::lies::Lie;
use crate::order::{Order, line_of};
use crate::wire::Request;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strat_core::{ExecType, Quantity};
use tokio::sync::Notify;
use tokio::time::sleep;

pub(crate) struct Broker {
    pub(crate) args: Args,
    book: Mutex<Book>,
    /// Rings whenever there may be news.
    pub(crate) changed: Notify,
}

impl Broker {
    /// Opens the books and goes on with everything that was under way.
    pub(crate) fn start(args: Args) -> Result<Arc<Self>, String> {
        let book = Book::open(&args)?;
        let open: Vec<_> = book.orders().iter().filter(|order| order.is_open()).map(|order| order.no).collect();
        let later = book.later.clone();
        let broker = Arc::new(Self { args, book: Mutex::new(book), changed: Notify::new() });
        for no in open {
            broker.work(no);
        }
        for later in later {
            broker.happen_later(later);
        }
        Ok(broker)
    }

    /// Works on the books; waiting for the disk holds up nobody else's thread.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        let done = tokio::task::block_in_place(|| work(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner)));
        self.changed.notify_waiters();
        done
    }

    /// Looks, or draws: what wakes nobody.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        look(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A draw within a span.
    pub(crate) fn draw(&self, span: Span) -> Duration {
        let ms = self.peek(|book| book.rng.between(span.low as i64, span.high as i64));
        Duration::from_millis(ms as u64)
    }

    /// Fills an order, or whatever its plan says.
    pub(crate) fn work(self: &Arc<Self>, no: u64) {
        let broker = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                sleep(broker.draw(broker.args.fill_ms)).await;
                if !broker.with(|book| book.step(no, now_ms())) {
                    return;
                }
            }
        });
    }

    /// Something that is in the ledger already, and comes to pass in a while.
    pub(crate) fn happen_later(self: &Arc<Self>, later: Later) {
        let broker = Arc::clone(self);
        let mut span = broker.args.late_ms;
        if broker.args.class == Class::B && matches!(later, Later::Request(_)) {
            // Later than it may deny an order, and nobody could ever send one again.
            span = Span { low: span.low.min(broker.args.not_found_ms), high: span.high.min(broker.args.not_found_ms) };
        }
        tokio::spawn(async move {
            sleep(broker.draw(span)).await;
            match later {
                Later::Request(request) => broker.place_late(&request),
                Later::Fill(no) => broker.with(|book| book.fill_late(no, now_ms())),
            }
        });
    }

    fn place_late(self: &Arc<Self>, request: &Request) {
        let reason = Lie::TimeoutLate.name();
        let placed = self.with(|book| {
            let placed = book.place(request, Vec::new(), Some(reason), now_ms());
            book.settle_request(&request.client_order_id);
            placed
        });
        if let Placed::New(no) = placed {
            self.work(no);
        }
    }
}

impl Book {
    /// The fill that comes in after the cancellation.
    fn fill_late(&mut self, no: u64, now: i64) {
        self.settle_fill(no);
        if let Some(order) = self.order(no).cloned() {
            let half = Quantity::from_units((order.rest().units() + 1) / 2);
            let quantity = if self.rng.chance(50) { order.rest() } else { half };
            self.fill(&order, quantity, Some(Lie::LateFill.name()), now);
        }
    }

    /// Cancels the open orders of an id. Answers the fills that will come in all the same.
    pub(crate) fn cancel(&mut self, asked: Line, told: Option<Lie>, now: i64) -> Vec<Later> {
        let open: Vec<Order> =
            self.open_of(&asked.client_order_id).into_iter().filter_map(|no| self.order(no).cloned()).collect();
        let mut lines = vec![asked.clone()];
        lines.extend(told.map(|lie| Line { event: Event::Lie, ..asked.reason(lie.name()) }));
        let mut later = Vec::new();
        for order in &open {
            lines.push(order.line(Event::Cancel, now).reason("request"));
            if self.tells(Lie::LateFill) {
                lines.push(order.line(Event::Lie, now).reason(Lie::LateFill.name()));
                later.push(Later::Fill(order.no));
            }
        }
        self.append(&lines);
        self.later.extend(later.iter().cloned());
        for order in open {
            self.end(order.no, ExecType::Canceled, "cancelled on request", now);
        }
        later
    }

    /// Writes down a request whose only trace this is, and perhaps that it will be carried out later.
    pub(crate) fn swallow(&mut self, request: &Request, lie: Lie, now: i64) {
        self.append(&[line_of(request, Event::Submit, now), line_of(request, Event::Lie, now).reason(lie.name())]);
        if lie == Lie::TimeoutLate {
            self.later.push(Later::Request(request.clone()));
        }
    }
}

/// Epoch ms.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
