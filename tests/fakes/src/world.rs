//! A fake's state, and what a test does to it.

use crate::book::{Book, NewOrder, Order, Status};
use crate::hub::{Hub, ORDERS};
use crate::lies::{Fills, Lie, Refusal, Updates};
use crate::{Message, Venue};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strat_core::{Price, Quantity};
use tokio::time::sleep;

/// Requests that are remembered; a test that makes more has gone mad.
const REQUESTS_MAX: usize = 100_000;

/// What a fake knows.
pub struct World {
    pub(crate) venue: Box<dyn Venue>,
    /// The sockets.
    pub hub: Hub,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    book: Book,
    lies: VecDeque<Lie>,
    fills: Fills,
    updates: Updates,
    kept: Vec<Message>,
    /// Requests that are answered with a limit, and what it says.
    limited: (usize, Duration),
    expired: bool,
    /// Whether it does not list orders; everything else it does.
    lists_nothing: bool,
    asked: Vec<String>,
}

impl World {
    pub(crate) fn new(venue: Box<dyn Venue>) -> Arc<Self> {
        Arc::new(Self { venue, hub: Hub::default(), state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next placement that meets none yet meets this.
    pub fn lie(&self, lie: Lie) {
        self.state().lies.push_back(lie);
    }

    /// When orders fill from now on.
    pub fn set_fills(&self, fills: Fills) {
        self.state().fills = fills;
    }

    /// How news of orders is told from now on.
    pub fn set_updates(&self, updates: Updates) {
        self.state().updates = updates;
    }

    /// Tells the kept news, the last first; from now on they are told again.
    pub fn tell_kept_backwards(&self) {
        let mut state = self.state();
        state.updates = Updates::Once;
        for message in state.kept.drain(..).rev() {
            self.hub.tell(ORDERS, &message);
        }
    }

    /// The next so many requests are answered with the limit.
    pub fn limit(&self, requests: usize, retry_after: Duration) {
        self.state().limited = (requests, retry_after);
    }

    /// Whether lists of orders are refused, as from a service that is overloaded, and everything else is answered.
    pub fn set_lists_nothing(&self, refuses: bool) {
        self.state().lists_nothing = refuses;
    }

    /// See [`World::set_lists_nothing`].
    #[must_use]
    pub fn lists_nothing(&self) -> bool {
        self.state().lists_nothing
    }

    /// Whether the token, or key, is taken. Sockets that are open are not touched: see [`Hub::close`].
    pub fn set_expired(&self, expired: bool) {
        self.state().expired = expired;
    }

    /// See [`World::set_expired`].
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.state().expired
    }

    /// Sets a price and tells it to those that listen to the symbol.
    pub fn set_price(&self, symbol: &str, price: &str) {
        let price: Price = price.parse().unwrap();
        self.state().book.set_price(symbol, price);
        if let Some(message) = self.venue.tick(self, symbol, price) {
            self.hub.tell(symbol, &message);
        }
    }

    /// What is offered from now on, until the next price.
    pub fn set_quote(&self, symbol: &str, price: &str) {
        self.state().book.set_quote(symbol, price.parse().unwrap());
    }

    /// Looks at the book.
    pub fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.state().book)
    }

    /// Orders that ever existed under an id.
    #[must_use]
    pub fn placed(&self, id: &str) -> usize {
        self.book(|book| book.orders().iter().filter(|order| order.asked.id == id).count())
    }

    /// Requests so far that begin so, as `METHOD /path?query`.
    #[must_use]
    pub fn asked(&self, beginning: &str) -> usize {
        self.state().asked.iter().filter(|request| request.starts_with(beginning)).count()
    }

    /// Everything that was asked, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// The refusals that can be asked for with [`Lie::Refuse`].
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.venue.refusals()
    }

    /// Takes an order that came by another way: made by hand, or by another client.
    pub fn take(&self, asked: NewOrder) {
        let _ = self.carry_out(asked, |_| None);
    }

    /// An order to buy that came by another way.
    pub fn add(&self, symbol: &str, id: &str, quantity: &str) {
        let (id, symbol, quantity) = (id.to_owned(), symbol.to_owned(), quantity.parse().unwrap());
        self.take(NewOrder { id, symbol, buy: true, quantity, limit: None });
    }

    /// Fills a part of the newest order of an id.
    pub fn fill(&self, id: &str, quantity: &str, price: &str) {
        let (quantity, price): (Quantity, Price) = (quantity.parse().unwrap(), price.parse().unwrap());
        self.change(|book| {
            let no = book.by_id(id).unwrap_or_else(|| panic!("no order {id}")).no;
            book.fill(no, quantity, price)
        });
    }

    /// Ends the order of a number, if it is open; tells it.
    pub fn end(&self, no: u64, status: Status) -> Option<Order> {
        self.change(|book| book.end(no, status))
    }

    /// Changes an order and tells it.
    fn change(&self, work: impl FnOnce(&mut Book) -> Option<Order>) -> Option<Order> {
        let mut state = self.state();
        let order = work(&mut state.book)?;
        self.news(&mut state, &order);
        Some(order)
    }

    fn news(&self, state: &mut State, order: &Order) {
        let message = self.venue.news(order);
        match state.updates {
            Updates::Once => self.hub.tell(ORDERS, &message),
            Updates::Twice => [(); 2].iter().for_each(|()| self.hub.tell(ORDERS, &message)),
            Updates::Kept => state.kept.push(message),
            Updates::Dropped => {}
        }
    }

    /// A placement: `check` may refuse it by what is in the book; then the next lie is told, if there is one.
    pub async fn place(
        self: &Arc<Self>,
        asked: NewOrder,
        check: impl FnOnce(&Book) -> Option<Response>,
        answer: impl FnOnce(&Order) -> Response,
    ) -> Response {
        let lie = self.state().lies.pop_front();
        match lie {
            Some(Lie::Refuse(code)) => return self.venue.refuse(code),
            Some(Lie::PlaceLate(after)) => {
                let world = Arc::clone(self);
                tokio::spawn(async move {
                    sleep(after).await;
                    world.carry_out(asked, |_| None)
                });
                std::future::pending::<()>().await;
                unreachable!("nobody answers");
            }
            _ => {}
        }
        let order = match self.carry_out(asked, check) {
            Ok(order) => order,
            Err(refusal) => return refusal,
        };
        match lie {
            Some(Lie::AnswerLate(after)) => sleep(after).await,
            Some(Lie::AnswerLost) => return broken(),
            _ => {}
        }
        answer(&order)
    }

    /// Takes an order, and fills it if that is how it goes; answers it as it was when it was taken.
    fn carry_out(&self, asked: NewOrder, check: impl FnOnce(&Book) -> Option<Response>) -> Result<Order, Response> {
        let mut state = self.state();
        if let Some(refusal) = check(&state.book) {
            return Err(refusal);
        }
        let order = state.book.add(asked);
        self.news(&mut state, &order);
        if state.fills == Fills::AtOnce {
            let price = state.book.offered(&order.asked);
            if let Some(filled) = price.and_then(|price| state.book.fill(order.no, order.asked.quantity, price)) {
                self.news(&mut state, &filled);
            }
        }
        Ok(order)
    }

    pub(crate) fn routes(self: &Arc<Self>) -> Router {
        self.venue.routes(Arc::clone(self)).layer(from_fn_with_state(Arc::clone(self), doorman))
    }
}

/// Counts every request, and turns those away that meet a limit or come with a token that is not taken.
async fn doorman(Shared(world): Shared<Arc<World>>, request: Request, next: Next) -> Response {
    let turned_away = {
        let mut state = world.state();
        assert!(state.asked.len() < REQUESTS_MAX, "more than {REQUESTS_MAX} requests");
        let uri = request.uri().path_and_query().map_or("/", |uri| uri.as_str());
        let line = format!("{} {uri}", request.method());
        state.asked.push(line);
        let (left, retry_after) = state.limited;
        if left > 0 {
            state.limited.0 -= 1;
            Some(world.venue.limited(retry_after))
        } else {
            state.expired.then(|| world.venue.expired())
        }
    };
    match turned_away {
        Some(answer) => answer,
        None => next.run(request).await,
    }
}

/// An answer that breaks off: the head announces more than comes.
fn broken() -> Response {
    let part = futures_util::stream::iter([Ok("{\"id\":"), Err(std::io::Error::other("the fake breaks off here"))]);
    Response::builder().header("content-type", "application/json").body(Body::from_stream(part)).unwrap()
}
