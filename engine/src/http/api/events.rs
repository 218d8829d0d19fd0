//! Changes of strategies as server-sent events, which go on where a client left off.

use super::Api;
use super::fired::{Fired, Heard, fired};
use crate::http::answer::Problem;
use crate::http::auth::{Caller, Who};
use crate::http::extract::Params;
use crate::http::tail::Listening;
use crate::store::EventRow;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strat_core::EventType;
use strat_core::time::rfc3339;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use utoipa::IntoParams;

/// Time between two comments, and between two looks whether the token is still good.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client is to wait before it connects again.
const RETRY: Duration = Duration::from_secs(2);
/// Events that are read at once.
const SLICE: i64 = 256;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// Whose; an admin who says nothing hears of everybody.
    user_id: Option<String>,
    /// Goes on behind this event, as the header `Last-Event-ID`.
    last_event_id: Option<i64>,
}

/// Streams that are open, and how many may be.
pub(super) struct Streams {
    all: Arc<Semaphore>,
    per_user_max: usize,
    per_user: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place among them, until dropped.
struct Place {
    _one: OwnedSemaphorePermit,
    name: String,
    per_user: Arc<Mutex<HashMap<String, usize>>>,
}

impl Streams {
    pub(super) fn new(max: usize, per_user_max: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(max)), per_user_max, per_user: Arc::default() }
    }

    fn take(&self, name: String) -> Result<Place, Problem> {
        let too_many = || {
            let detail =
                "as many streams of events are open as may be: close one (http.streams_max, http.streams_per_user)";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_STREAMS", detail)
        };
        let one = Arc::clone(&self.all).try_acquire_owned().map_err(|_| too_many())?;
        let mut open = self.per_user.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(name.clone()).or_default();
        if *count >= self.per_user_max {
            return Err(too_many());
        }
        *count += 1;
        Ok(Place { _one: one, name, per_user: Arc::clone(&self.per_user) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.per_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.name);
            }
        }
    }
}

/// Changes of strategies as they reach Postgres, in order, behind the last one that the client has.
#[utoipa::path(get, path = "/events", tag = "events", params(From, ("Last-Event-ID" = Option<i64>, Header, description = "goes on behind this event")),
    responses((status = 200, description = "a stream of events", content_type = "text/event-stream", body = String), (status = 429, description = "TOO_MANY_STREAMS")))]
pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    caller: Caller,
    Params(from): Params<From>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let user = caller.tenants(from.user_id.as_deref())?;
    let place = api.streams.take(format!("{} {}", caller.kind(), caller.name()))?;
    let last = match headers.get("last-event-id") {
        Some(given) => {
            let number = given.to_str().ok().and_then(|text| text.trim().parse().ok());
            Some(number.ok_or_else(|| Problem::bad_request("Last-Event-ID is not the id of an event"))?)
        }
        None => from.last_event_id,
    };
    let listening = api.tail.listen().await?;
    let mut waiting = VecDeque::new();
    let (cursor, word) = match last {
        None => (listening.from, "ready"),
        Some(last) if (0..=listening.from).contains(&last) => (last, "ready"),
        // Another engine may have told what this one has not seen yet.
        Some(last) if last >= 0 && last <= api.store.last_event().await? => (last, "ready"),
        // Postgres has never counted so far: it was restored, or the id is of another one.
        Some(_) => (listening.from, "reset"),
    };
    waiting.push_back(
        Event::default()
            .event(word)
            .id(cursor.to_string())
            .retry(RETRY)
            .data(json!({ "last_event_id": cursor }).to_string()),
    );
    let reader = Reader {
        alerts: fired(api.watched.link.config().clone(), user.clone()),
        api,
        who: caller.who().clone(),
        user,
        cursor,
        listening,
        waiting,
        check_at: Instant::now() + HEARTBEAT,
        _place: place,
    };
    let events = stream::unfold(reader, |mut reader| async move { Some((Ok(reader.next().await?), reader)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// One client's way through the events.
struct Reader {
    api: Arc<Api>,
    who: Who,
    user: Option<String>,
    /// The last event that the client has, or that is not his.
    cursor: i64,
    listening: Listening,
    alerts: Fired,
    waiting: VecDeque<Event>,
    check_at: Instant,
    _place: Place,
}

impl Reader {
    /// The next event; `None` where the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.cursor < self.listening.from {
                self.read().await?;
                continue;
            }
            let heard = tokio::select! {
                () = self.api.cancel.cancelled() => return None,
                () = sleep_until(self.check_at) => {
                    self.check().await?;
                    continue;
                }
                Some(heard) = self.alerts.next() => {
                    self.waiting.push_back(alert(self.user.as_deref().unwrap_or_default(), heard));
                    continue;
                }
                heard = self.listening.feed.recv() => heard,
            };
            match heard {
                Ok(row) => self.take(&row),
                // It fell behind: what it missed it reads.
                Err(RecvError::Lagged(_)) => self.listening = self.api.tail.listen().await.ok()?,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Reads what came before it listened.
    async fn read(&mut self) -> Option<()> {
        let (user, up_to) = (self.user.as_deref(), self.listening.from);
        let rows = match self.api.store.events(user, self.cursor, up_to, SLICE).await {
            Ok(rows) => rows,
            Err(error) => {
                // The client comes again, and goes on where it is.
                tracing::debug!(%error, "a stream of events ends: they cannot be read");
                return None;
            }
        };
        let is_last = (rows.len() as i64) < SLICE;
        for row in rows {
            self.take(&row);
        }
        if is_last {
            self.cursor = self.cursor.max(up_to);
        }
        Some(())
    }

    fn take(&mut self, row: &EventRow) {
        if row.seq <= self.cursor {
            return;
        }
        self.cursor = row.seq;
        if self.user.as_deref().is_none_or(|user| user == row.user) {
            self.waiting.push_back(event(row));
        }
    }

    /// A token may have run out or been revoked since the stream began; where nobody can say, it ends as well.
    async fn check(&mut self) -> Option<()> {
        self.check_at = Instant::now() + HEARTBEAT;
        if let Who::Token { claims, .. } = &self.who
            && i64::try_from(claims.exp).unwrap_or(i64::MAX) < self.api.now_ms() / 1_000
        {
            return None;
        }
        self.api.access.check_revoked(&self.who).await.ok()
    }
}

/// Without an id: alerts have no place among the events that a client goes on behind.
fn alert(user: &str, heard: Heard) -> Event {
    match heard {
        Heard::Listening => Event::default().event("alerts").data(json!({ "user_id": user }).to_string()),
        Heard::Fired(fired) => {
            let body = json!({
                "type": fired.kind,
                "timestamp": fired.timestamp,
                "user_id": user,
                "alert_id": fired.strategy_id,
                "data": fired.data,
            });
            Event::default().event(EventType::PriceAlert.as_str()).data(body.to_string())
        }
    }
}

fn event(row: &EventRow) -> Event {
    let body = json!({
        "type": row.kind,
        "timestamp": rfc3339(row.ts_ms),
        "user_id": row.user,
        "strategy_id": row.strategy,
        "version": row.version,
        "data": row.data,
    });
    let event = Event::default().id(row.seq.to_string()).data(body.to_string());
    // Somebody may have written other words into the journal.
    if EventType::parse(&row.kind).is_some() { event.event(&row.kind) } else { event }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let streams = Streams::new(3, 2);
        let first = streams.take("user alice".to_owned()).unwrap();
        let _second = streams.take("user alice".to_owned()).unwrap();
        assert!(streams.take("user alice".to_owned()).is_err());
        let third = streams.take("user bob".to_owned()).unwrap();
        assert!(streams.take("user carol".to_owned()).is_err());
        drop((first, third));
        assert!(streams.take("user alice".to_owned()).is_ok());
        assert_eq!(streams.per_user.lock().unwrap().len(), 1, "who has none is forgotten");
    }
}
