//! Execution reports: a long poll that never ends. Whatever may have been missed is made good by the list of orders.

use super::{Bridge, LIST_BYTES_MAX, get, unclear, wire};
use crate::broker::wire::http::{Bounds, escaped};
use crate::broker::{Broker as _, BrokerError, BrokerHealth, Line};
use hyper::StatusCode;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long the bridge may hold a poll that has nothing to say. Short, because a dead connection looks the same.
const WAIT: Duration = Duration::from_secs(2);
/// First pause after a poll failed; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Least time between two lists of all orders.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(500);
/// A bridge that answers at once without news shall not be asked in a tight loop.
const EMPTY_PAUSE: Duration = Duration::from_millis(20);

/// Where the loop is in the stream of reports.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Number of the last report; `None` before the first answer.
    after: Option<i64>,
    /// Reports may have been missed.
    missed: bool,
}

/// What an answer to a poll says.
#[derive(Debug)]
struct News {
    states: Vec<crate::broker::OrderState>,
    place: Place,
}

impl Bridge {
    /// Passes reports on until `cancel`; `health` hears whether the bridge answers.
    pub async fn poll_reports(&self, health: &BrokerHealth, cancel: CancellationToken) {
        // What happened before this process is not in the reports that follow.
        let mut place = Place { after: None, missed: true };
        let mut catch_up_at = Instant::now();
        let mut pause = PAUSE;
        while !cancel.is_cancelled() {
            let turn = tokio::select! {
                () = cancel.cancelled() => return,
                turn = self.turn(&mut place, &mut catch_up_at) => turn,
            };
            health.note(Line::Reports, &turn);
            let wait = match turn {
                Ok(wait) => {
                    pause = PAUSE;
                    wait
                }
                Err(error) => {
                    tracing::warn!(%error, again_in_ms = pause.as_millis(), "no execution reports from the broker");
                    // A bridge that was started anew counts from the beginning.
                    place.missed = true;
                    pause = (pause * 2).min(PAUSE_MAX);
                    pause
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// One poll; first, what may have been missed. Answers how long to wait before the next.
    async fn turn(&self, place: &mut Place, catch_up_at: &mut Instant) -> Result<Duration, BrokerError> {
        if place.missed && place.after.is_some() && Instant::now() >= *catch_up_at {
            // Reports go on even where the list is broken.
            match self.catch_up().await {
                Ok(()) => place.missed = false,
                Err(error) => tracing::warn!(%error, "cannot list the broker's orders yet"),
            }
            *catch_up_at = Instant::now() + CATCH_UP_PAUSE;
        }
        let started = Instant::now();
        // What is missing shall not wait behind a poll without news.
        let wait = if place.missed { catch_up_at.saturating_duration_since(started).min(WAIT) } else { WAIT };
        let news = self.poll(place, wait).await?;
        let idle = news.states.is_empty() && started.elapsed() < EMPTY_PAUSE;
        for state in news.states {
            self.reports.push(state);
        }
        *place = news.place;
        Ok(if idle && !place.missed { EMPTY_PAUSE } else { Duration::ZERO })
    }

    async fn poll(&self, place: &Place, wait: Duration) -> Result<News, BrokerError> {
        let after = place.after.unwrap_or(-1);
        let path = format!("/v1/reports?after={}&wait_ms={}", escaped(&after.to_string()), wait.as_millis());
        let bounds = Bounds { time: wait + self.settings.timeout, body_bytes: LIST_BYTES_MAX };
        let answer = self.http.send(get(&path), bounds).await?;
        if answer.status != StatusCode::OK {
            return Err(unclear(&answer));
        }
        Ok(read(place, wire::reports(&answer.body).map_err(BrokerError::Unknown)?))
    }

    async fn catch_up(&self) -> Result<(), BrokerError> {
        let orders = self.orders().await?;
        tracing::info!(orders = orders.len(), "took the state of the broker's orders instead of missed reports");
        for order in orders {
            self.reports.push(order.state);
        }
        Ok(())
    }
}

/// Takes what can be read and notices what is missing.
fn read(place: &Place, answer: wire::Reports) -> News {
    let (mut missed, mut broken) = (place.missed, false);
    let mut states = Vec::with_capacity(answer.reports.len());
    let mut reached = place.after;
    if let Some(after) = place.after.filter(|after| answer.last < *after) {
        tracing::warn!(after, last = answer.last, "the broker's reports were started anew");
        (missed, reached) = (true, None);
    }
    for value in answer.reports {
        match wire::report(value) {
            Ok((seq, state)) => {
                if let Some(before) = reached.filter(|before| seq > before.saturating_add(1)) {
                    tracing::warn!(after = before, seq, "execution reports are missing");
                    missed = true;
                }
                reached = Some(reached.map_or(seq, |before| before.max(seq)));
                // A repeat is pushed all the same: what is old changes nothing.
                states.push(state);
            }
            Err(error) => {
                tracing::warn!(error, "an execution report cannot be read");
                (missed, broken) = (true, true);
            }
        }
    }
    // An answer may be cut at its largest size: then what follows comes next. Without any report, or with one that
    // cannot be read, the only way on is past it.
    if states.is_empty() || broken {
        if reached.is_some_and(|reached| answer.last > reached) && !broken {
            tracing::warn!(reached, last = answer.last, "execution reports are missing");
            missed = true;
        }
        reached = Some(reached.map_or(answer.last, |reached| reached.max(answer.last)));
    }
    News { states, place: Place { after: reached, missed } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report(seq: i64) -> Value {
        json!({"seq": seq, "client_order_id": format!("o{seq}"), "user": "alice", "symbol": "IBM", "side": "BUY",
            "quantity": "10", "status": "FILL", "cum_qty": "10", "avg_px": "99.5", "text": "", "ts_ms": 1})
    }

    fn after(place: Option<i64>, last: i64, reports: Vec<Value>) -> (usize, Option<i64>, bool) {
        let news = read(&Place { after: place, missed: false }, wire::Reports { last, reports });
        (news.states.len(), news.place.after, news.place.missed)
    }

    #[test]
    fn gaps_restarts_and_garbage_are_noticed() {
        assert_eq!(after(Some(4), 6, vec![report(5), report(6)]), (2, Some(6), false));
        assert_eq!(after(Some(4), 4, vec![]), (0, Some(4), false));
        assert_eq!(after(None, 9, vec![]), (0, Some(9), false), "only new ones are asked for at first");
        assert_eq!(after(Some(4), 7, vec![report(6), report(7)]), (2, Some(7), true), "a gap");
        assert_eq!(after(Some(4), 7, vec![]), (0, Some(7), true), "nothing, but there was something");
        assert_eq!(after(Some(4), 7, vec![report(5)]), (1, Some(5), false), "the rest comes with the next answer");
        assert_eq!(after(Some(4), 5, vec![report(5), report(5), report(3)]), (3, Some(5), false), "repeats");
        assert_eq!(after(Some(40), 2, vec![report(1), report(2)]), (2, Some(2), true), "a restart");
        assert_eq!(after(Some(4), 6, vec![json!({"seq": 5}), report(6)]), (1, Some(6), true), "one is broken");
        assert_eq!(after(Some(4), 5, vec![json!("x")]), (0, Some(5), true));
    }

    #[test]
    fn a_restart_leads_back_to_the_beginning() {
        let place = Place { after: Some(40), missed: false };
        let news = read(&place, wire::Reports { last: 2, reports: vec![] });
        assert_eq!(news.place, Place { after: Some(2), missed: true });
    }
}
