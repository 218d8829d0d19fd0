//! The parts that watch while others cannot: the guard, and the watch for silence.

use super::{Base, Crew};
use crate::broker::Broker;
use crate::executor::Executor;
use crate::failure::OrFail as _;
use crate::guard::{ByExecutor, Guard};
use crate::lease::Lease;
use crate::market::{FilterSettings, Market, SessionRule, SessionWatch, SilenceLimits, SilenceWatch};
use crate::positions::CalmKeeper;
use crate::risk::{RiskDesk, RiskWatch};
use crate::store::Store;
use crate::strategies::Desk;
use crate::sync::SyncHandle;
use crate::upkeep::Keeper;
use color_eyre::Result;
use std::sync::Arc;

impl Base {
    /// Where the broker would take an order twice, only one engine may act. `crew` has to outlive whatever trades.
    pub(super) fn spawn_lease(&self, lease: Lease, crew: &mut Crew) {
        let (store, engine, cancel) = (self.store.clone(), self.settings.engine_name.clone(), crew.cancel.clone());
        crew.spawn("right to trade", async move {
            lease.hold(&store, &engine, &cancel).await;
            Ok(())
        });
    }

    /// Whoever hears that entries were halted at another engine.
    pub(super) fn spawn_halt(&self, crew: &mut Crew) {
        let (halt, cancel) = (self.halt.clone(), crew.cancel.clone());
        crew.spawn("halt of entries", async move {
            halt.follow(cancel).await;
            Ok(())
        });
    }

    /// What entries are held against, over a connection of its own.
    pub(super) fn risk_desk(&self, store: &Store) -> Result<RiskDesk> {
        let (settings, clock) = (self.settings.risk.settings(), Arc::clone(&self.clock));
        Ok(RiskDesk::new(settings, store.clone(), self.link.own()?, clock))
    }

    /// The same for what trades, and whoever watches the day's losses.
    pub(super) fn spawn_risk(&self, sync: &SyncHandle, crew: &mut Crew) -> Result<RiskDesk> {
        let desk = self.risk_desk(&self.store)?;
        let exits = Desk { redis: self.link.own()?, store: self.store.clone(), calendars: self.calendars()? };
        let (watch, cancel) = (RiskWatch::new(desk.clone(), exits, sync.clone()), crew.cancel.clone());
        crew.spawn("watch over losses", async move {
            watch.run(cancel).await;
            Ok(())
        });
        Ok(desk)
    }

    /// Whoever watches stops while Redis is away.
    pub(super) fn spawn_guard(&self, executor: &Arc<Executor>, broker: Arc<dyn Broker>, crew: &mut Crew) -> Arc<Guard> {
        let lease = executor.settings().lease.clone();
        let exits = Arc::new(ByExecutor(Arc::clone(executor)));
        let (gate, clock) = (self.gate.clone(), Arc::clone(&self.clock));
        let guard = Arc::new(Guard::new(self.settings.guard, gate, clock, exits, lease));
        let (link, cancel, follower) = (self.link.clone(), crew.cancel.clone(), Arc::clone(&guard));
        crew.spawn("guard's view of the journal", async move { follower.follow(&link, cancel).await });
        let (cancel, watch) = (crew.cancel.clone(), Arc::clone(&guard));
        crew.spawn("guard", async move {
            tokio::join!(watch.run(cancel.clone()), watch.ask_of_entries(&*broker, cancel));
            Ok(())
        });
        guard
    }

    /// Whoever keeps Redis in order, and calm mode up, where that is wanted.
    pub(super) fn spawn_upkeep(&self, sync: &SyncHandle, crew: &mut Crew) -> Result<()> {
        let config = &self.settings.upkeep;
        if !config.interval.is_zero() {
            let keeper = Keeper::new(self.link.own()?, config, sync.clone(), Arc::clone(&self.clock))?;
            let cancel = crew.cancel.clone();
            crew.spawn("upkeep", async move {
                keeper.run(cancel).await;
                Ok(())
            });
        }
        if !config.calm_interval.is_zero() {
            let keeper = CalmKeeper::new(self.link.own()?, config.calm_interval, sync.clone());
            let cancel = crew.cancel.clone();
            crew.spawn("calm mode", async move {
                keeper.run(cancel).await;
                Ok(())
            });
        }
        Ok(())
    }

    /// What of the feed is believed.
    pub(super) fn filter(&self) -> FilterSettings {
        let feed = &self.settings.feed;
        FilterSettings { max_jump_percent: feed.max_jump_percent, max_ahead: feed.max_ahead }
    }

    /// Whoever tells when markets are open, where that makes a difference.
    pub(super) fn spawn_session_watch(&self, market: &Arc<Market>, crew: &mut Crew) -> Result<()> {
        let feed = &self.settings.feed;
        if feed.sessions == SessionRule::Any {
            return Ok(());
        }
        let (calendars, calendar) = (self.calendars()?, Some(feed.calendar.clone()).filter(|name| !name.is_empty()));
        if let Some(name) = &calendar {
            calendars
                .get(name)
                .or_fail("the feed's calendar is not known", "check feed.calendar (STRAT_FEED_CALENDAR)")?;
        }
        let watch = SessionWatch::new(Arc::clone(market), calendars, calendar);
        let cancel = crew.cancel.clone();
        crew.spawn("watch over sessions", async move {
            watch.run(cancel).await;
            Ok(())
        });
        Ok(())
    }

    /// Whoever notices that the feed says nothing of what is held.
    pub(super) fn spawn_silence_watch(&self, market: &Arc<Market>, crew: &mut Crew) -> Result<()> {
        let feed = &self.settings.feed;
        let limits = SilenceLimits { usual: feed.silence, by_symbol: feed.silence_by_symbol.clone() };
        let watch = SilenceWatch::new(Arc::clone(market), limits, self.calendars()?, self.link.connection());
        let cancel = crew.cancel.clone();
        crew.spawn("watch for silence", async move {
            watch.run(cancel).await;
            Ok(())
        });
        Ok(())
    }
}
