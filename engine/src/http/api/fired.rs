//! A user's alerts that fire, for his stream of events.
//!
//! Alerts have no journal: what Redis publishes is all there is, and who was not listening has missed it. So the stream says
//! when it hears of alerts, and from then on none is missed that it does not say so of.

use futures_util::stream::Stream;
use futures_util::{FutureExt as _, StreamExt as _};
use std::pin::Pin;
use std::time::Duration;
use strat_client::{Config, EventStream, Notice};
use strat_core::EventType;
use strat_core::event::Event;
use tokio::time::sleep;

/// Pause between two attempts to subscribe.
const PAUSE: Duration = Duration::from_secs(2);

/// What is heard of alerts.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// From here on all of them; those before may have been missed, and can be read.
    Listening,
    /// One has fired.
    Fired(Event),
}

/// Alerts of a user, or nothing for everybody's: alerts are read of one user at a time.
pub(super) type Fired = Pin<Box<dyn Stream<Item = Heard> + Send>>;

/// Listens over a connection of its own, as soon as Redis is there.
pub(super) fn fired(config: Config, user: Option<String>) -> Fired {
    let Some(user) = user else { return Box::pin(futures_util::stream::pending()) };
    let notices = async move {
        loop {
            match EventStream::subscribe(&config, &user).await {
                Ok(stream) => return stream,
                Err(error) => tracing::debug!(%error, "cannot hear of alerts yet"),
            }
            sleep(PAUSE).await;
        }
    };
    let begun = futures_util::stream::once(async { Some(Heard::Listening) });
    let heard = notices.map(move |stream| begun.chain(stream.map(|notice| heard(notice.ok()?)))).flatten_stream();
    Box::pin(heard.filter_map(|heard| async { heard }))
}

fn heard(notice: Notice) -> Option<Heard> {
    match notice {
        Notice::Event(event) => {
            (EventType::parse(&event.kind) == Some(EventType::PriceAlert)).then_some(Heard::Fired(event))
        }
        Notice::Reconnected => Some(Heard::Listening),
        // It was slow: what follows comes, what was dropped can be read.
        Notice::Gap { listening: true, .. } => Some(Heard::Listening),
        // Whoever armed an alert now would not hear it fire. That it listens again is told when it does.
        Notice::Gap { listening: false, .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_published_only_alerts_are_heard_and_gaps_are_said() {
        let event = |kind: EventType| Event::new(kind, 0, "a1", serde_json::Map::new());
        assert_eq!(heard(Notice::Event(event(EventType::SlTriggered))), None);
        let alert = event(EventType::PriceAlert);
        assert_eq!(heard(Notice::Event(alert.clone())), Some(Heard::Fired(alert)));
        assert_eq!(heard(Notice::Reconnected), Some(Heard::Listening));
        let gap = |listening| heard(Notice::Gap { reason: String::new(), listening });
        assert_eq!((gap(true), gap(false)), (Some(Heard::Listening), None));
    }
}
