//! The wire that an engine speaks.

use crate::args::Class;
use crate::book::Placed;
use crate::broker::{Broker, now_ms};
use crate::ledger::{Event, Line};
use crate::lies::Lie;
use crate::order::{Order, line_of};
use crate::wire::{GARBAGE_KINDS, ORDER_GARBAGE_KINDS, Request, Submission, garbage, refusal};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strat_core::Quantity;
use tokio::time::{Instant, sleep, timeout_at};

type Shared = State<Arc<Broker>>;

/// Orders that ended longer ago are not listed.
const LISTED_MS: i64 = 24 * 3_600_000;
/// Longest wait of a poll.
const WAIT_MS_MAX: u64 = 60_000;
/// What can be told about the answer to a submission, the first that is drawn.
const SUBMIT_LIES: &[Lie] = &[
    Lie::RateLimit,
    Lie::Refuse,
    Lie::TimeoutLost,
    Lie::ErrorLost,
    Lie::TimeoutLate,
    Lie::TimeoutPlaced,
    Lie::ErrorPlaced,
    Lie::GarbagePlaced,
    Lie::Slow,
];

#[derive(Deserialize)]
struct Account {
    user: String,
    symbol: String,
}

#[derive(Deserialize)]
struct Poll {
    after: i64,
    #[serde(default)]
    wait_ms: u64,
}

pub(crate) fn router() -> Router<Arc<Broker>> {
    Router::new()
        .route("/v1/orders", routing::post(submit).get(orders))
        .route("/v1/orders/{id}", routing::get(lookup).delete(cancel))
        .route("/v1/positions", routing::get(positions))
        .route("/v1/reports", routing::get(reports))
}

async fn submit(State(broker): Shared, Json(submission): Json<Submission>) -> Response {
    let request = match Request::try_from(submission) {
        Ok(request) => request,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why),
    };
    let lie = broker.peek(|book| SUBMIT_LIES.iter().copied().find(|lie| book.tells(*lie)));
    match lie {
        Some(Lie::RateLimit) => {
            broker.with(|book| book.swallow(&request, Lie::RateLimit, now_ms()));
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "slow down").into_response()
        }
        Some(Lie::Refuse) => {
            let reason = "insufficient margin (simulated)";
            broker.with(|book| {
                let now = now_ms();
                let rejected = line_of(&request, Event::Reject, now).reason(reason);
                book.append(&[line_of(&request, Event::Submit, now), rejected]);
            });
            refusal(StatusCode::UNPROCESSABLE_ENTITY, reason)
        }
        Some(lie @ (Lie::TimeoutLost | Lie::ErrorLost)) => {
            broker.with(|book| book.swallow(&request, lie, now_ms()));
            if lie == Lie::ErrorLost { error() } else { hang(&broker).await }
        }
        Some(Lie::TimeoutLate) => {
            broker.with(|book| book.swallow(&request, Lie::TimeoutLate, now_ms()));
            broker.happen_later(crate::book::Later::Request(request));
            hang(&broker).await
        }
        lie => place(&broker, &request, lie).await,
    }
}

/// The order is placed; how that is answered is another matter.
async fn place(broker: &Arc<Broker>, request: &Request, lie: Option<Lie>) -> Response {
    let now = now_ms();
    let mut first = vec![line_of(request, Event::Submit, now)];
    first.extend(lie.map(|lie| line_of(request, Event::Lie, now).reason(lie.name())));
    let (placed, order) = broker.with(|book| {
        let placed = book.place(request, first, None, now);
        let order = match placed {
            Placed::New(no) | Placed::Repeat(no) => book.order(no).map(Order::json),
            Placed::Refused => None,
        };
        (placed, order)
    });
    if let Placed::New(no) = placed {
        broker.work(no);
    }
    let good = || match &order {
        Some(order) => Json(order).into_response(),
        None => refusal(StatusCode::UNPROCESSABLE_ENTITY, "duplicate order"),
    };
    match lie {
        Some(Lie::TimeoutPlaced) => hang(broker).await,
        Some(Lie::ErrorPlaced) => error(),
        Some(Lie::GarbagePlaced) => {
            let kind = broker.peek(|book| book.rng.below(ORDER_GARBAGE_KINDS));
            garbage(kind, &order.unwrap_or_else(|| json!({ "error": "duplicate order" })))
        }
        Some(Lie::Slow) => {
            sleep(broker.draw(broker.args.slow_ms)).await;
            good()
        }
        _ => good(),
    }
}

fn asked(event: Event, id: &str, account: &Account, now: i64) -> Line {
    let (user, symbol) = (account.user.clone(), account.symbol.clone());
    Line { client_order_id: id.to_owned(), user, symbol, ..Line::new(now, event) }
}

async fn lookup(State(broker): Shared, Path(id): Path<String>, Query(account): Query<Account>) -> Response {
    let known = broker.with(|book| {
        let now = now_ms();
        let line = asked(Event::Lookup, &id, &account, now);
        let order = book.latest(&id).filter(|order| order.request.user == account.user);
        let denied = order.is_some_and(|order| order.plan.denied_until > now);
        let answer = order.map(|order| (order.no, order.json())).filter(|_| !denied);
        let reason = match (&answer, denied) {
            (Some(_), _) => "found",
            (None, true) => Lie::NotFound.name(),
            (None, false) => "absent",
        };
        let order_no = answer.as_ref().map(|(no, _)| *no);
        book.append(&[Line { order_no, ..line.reason(reason) }]);
        answer.map(|(_, order)| order)
    });
    match known {
        Some(order) => answer(&broker, order, ORDER_GARBAGE_KINDS).await,
        None => refusal(StatusCode::NOT_FOUND, "no such order"),
    }
}

async fn cancel(State(broker): Shared, Path(id): Path<String>, Query(account): Query<Account>) -> Response {
    let (lie, known) = broker.with(|book| {
        let now = now_ms();
        let line = asked(Event::CancelRequest, &id, &account, now);
        let order = book.latest(&id).filter(|order| order.request.user == account.user);
        let Some(order) = order.filter(|order| order.plan.denied_until <= now) else {
            book.append(&[line.reason("absent")]);
            return (None, None);
        };
        let line = Line { order_no: Some(order.no), ..line };
        let lie = [Lie::CancelLost, Lie::CancelUnanswered, Lie::Slow].into_iter().find(|lie| book.tells(*lie));
        if lie == Some(Lie::CancelLost) {
            book.append(&[line.clone(), Line { event: Event::Lie, ..line.reason(Lie::CancelLost.name()) }]);
            return (lie, None);
        }
        let later = book.cancel(line, lie, now);
        (lie, Some((later, book.latest(&id).map(Order::json))))
    });
    let order = known.and_then(|(later, order)| {
        later.into_iter().for_each(|later| broker.happen_later(later));
        order
    });
    match (lie, order) {
        (Some(Lie::CancelLost | Lie::CancelUnanswered), _) => {
            if broker.peek(|book| book.rng.chance(50)) {
                error()
            } else {
                hang(&broker).await
            }
        }
        (lie, Some(order)) => {
            if lie == Some(Lie::Slow) {
                sleep(broker.draw(broker.args.slow_ms)).await;
            }
            Json(order).into_response()
        }
        (_, None) => refusal(StatusCode::NOT_FOUND, "no such order"),
    }
}

async fn orders(State(broker): Shared) -> Response {
    let now = now_ms();
    let listed = broker.with(|book| book.listed(now - LISTED_MS, now));
    answer(&broker, json!({ "orders": listed }), GARBAGE_KINDS).await
}

async fn positions(State(broker): Shared) -> Response {
    let positions = broker.with(|book| book.positions());
    let position = |((user, symbol), units): ((String, String), i64)| json!({ "user": user, "symbol": symbol, "quantity": Quantity::from_units(units).to_string() });
    let positions: Vec<Value> = positions.into_iter().map(position).collect();
    answer(&broker, json!({ "positions": positions }), GARBAGE_KINDS).await
}

async fn reports(State(broker): Shared, Query(poll): Query<Poll>) -> Response {
    let until = Instant::now() + Duration::from_millis(poll.wait_ms.min(WAIT_MS_MAX));
    let news = loop {
        let changed = broker.changed.notified();
        tokio::pin!(changed);
        // Before looking, so that nothing can happen in between.
        changed.as_mut().enable();
        let (news, answer) = broker.peek(|book| (book.feed.has_news(poll.after), book.feed.answer(poll.after)));
        if news || poll.after < 0 || timeout_at(until, changed).await.is_err() {
            break answer;
        }
    };
    answer(&broker, news, GARBAGE_KINDS).await
}

/// A good answer, unless a lie is drawn.
async fn answer(broker: &Broker, good: Value, garbage_kinds: usize) -> Response {
    let (lie, kind) = broker.peek(|book| {
        let lie = [Lie::ReadError, Lie::Slow].into_iter().find(|lie| book.tells(*lie));
        (lie, book.rng.below(garbage_kinds + 2))
    });
    match lie {
        Some(Lie::ReadError) if kind == garbage_kinds => error(),
        Some(Lie::ReadError) if kind > garbage_kinds => hang(broker).await,
        Some(Lie::ReadError) => garbage(kind, &good),
        Some(_) => {
            sleep(broker.draw(broker.args.slow_ms)).await;
            Json(good).into_response()
        }
        None => Json(good).into_response(),
    }
}

fn error() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/html")], "<h1>503</h1>").into_response()
}

/// Keeps the connection and says nothing.
async fn hang(broker: &Broker) -> Response {
    sleep(Duration::from_millis(broker.args.hang_ms)).await;
    StatusCode::GATEWAY_TIMEOUT.into_response()
}

/// The class's word in the settings of the engine, for whoever starts both.
pub(crate) const fn class_word(class: Class) -> &'static str {
    match class {
        Class::A => "dedupes",
        Class::B => "queryable",
        Class::C => "none",
    }
}
