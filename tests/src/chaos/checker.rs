//! The promises, checked from outside: the broker's ledger, the tick log, Redis and Postgres.

use super::ledger::{self, Account};
use super::market::Tick;
use super::pulse::Seen;
use super::snapshot::{Hashes, dossier, given, hashes, rows, text, unfinished, unrest};
use super::strategies::{Fields, Watched};
use super::tally::Tally;
use super::world::{Class, World};
use crate::support::now_ms;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use strat_core::Quantity;

/// How long it may take after the last fault until nothing is left to do.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// A tick counts as accepted where its engine was well so long after it, in the same life, ms.
const ACCEPTED_AFTER_MS: i64 = 2_000;
/// Between the look that found a strategy armed and the tick that must fire, ms.
const ARMED_MARGIN_MS: i64 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time between two lines about what is still left to do.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Dossiers shown of each kind of trouble.
const SHOWN: usize = 4;

/// Waits until nothing is left to do; what is, after the limit, is a violation.
///
/// `all_out`: positions that wait for their level count as well.
pub(super) fn wait_quiet(world: &mut World, all_out: bool) -> Result<Duration, String> {
    let (started, mut told) = (Instant::now(), Duration::ZERO);
    // A lock or a retry that was timed by a clock that was ahead ends so much later.
    let settled = world.clocks.as_ref().map_or(started, |clocks| clocks.settled.max(started));
    loop {
        world.supervise(&BTreeSet::new());
        let watched = world.users.watched();
        let left = restless(world, &watched, all_out);
        match left {
            Ok(left) if left.is_empty() => return Ok(started.elapsed()),
            left if settled.elapsed() > QUIET_LIMIT => {
                let left = left.unwrap_or_else(|error| vec![format!("Redis does not answer: {error}")]);
                return Err(format!("not quiet after {QUIET_LIMIT:?}, {} left:\n{}", left.len(), show(&left)));
            }
            left => {
                if started.elapsed() >= told + TELL_EVERY {
                    told = started.elapsed();
                    println!(
                        "not quiet after {told:.1?}: {}",
                        left.map_or_else(|error| error.to_string(), |left| show(&left))
                    );
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

fn show(lines: &[String]) -> String {
    lines.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n")
}

fn restless(world: &World, watched: &[Watched], all_out: bool) -> io::Result<Vec<String>> {
    let mut conn = world.primary()?;
    // Whoever cannot know what became of an order waits for a person, and says so.
    let excused = if world.class == Class::None { alarms(world) } else { BTreeSet::new() };
    let mut left = unfinished(&mut conn, watched, &excused)?;
    let hashes = hashes(&mut conn, watched)?;
    // Postgres has it and Redis has not: somebody is about to bring it back.
    let missing = watched.iter().any(|one| !hashes.contains_key(&one.life.user));
    let rows = if missing { rows(world) } else { Hashes::new() };
    let runs = |user: &str| rows.get(user).is_some_and(|row| text(row, "status") == "RUNNING");
    for one in watched.iter().filter(|one| !excused.contains(&one.life.user)) {
        let Some(fields) = hashes.get(&one.life.user) else {
            if one.made_ms.is_none() {
                left.push(format!("{} is not made yet", one.life.key));
            } else if runs(&one.life.user) {
                left.push(format!("{} is not back in Redis yet", one.life.key));
            }
            continue;
        };
        let in_market = all_out && matches!(text(fields, "position"), "BOUGHT" | "SHORTED");
        if in_market || unrest(&one.life, fields).is_some() {
            left.push(format!("{}: {fields:?}", one.life.key));
        }
    }
    Ok(left)
}

/// Everything that must hold once it is quiet.
pub(super) struct Evidence {
    watched: Vec<Watched>,
    hashes: Hashes,
    rows: Hashes,
    accounts: BTreeMap<String, Account>,
    alarms: BTreeSet<String>,
    ticks: Vec<Tick>,
    seen: Seen,
}

impl Evidence {
    pub(super) fn gather(world: &World) -> io::Result<Self> {
        let watched = world.users.watched();
        let hashes = hashes(&mut world.primary()?, &watched)?;
        // A flush takes what has ended as well, and nobody brings that back: Postgres knows it.
        let rows = rows(world);
        let lines = ledger::read(&world.broker.ledger());
        let accounts = ledger::accounts(&lines, watched.iter().map(|one| &one.life));
        Ok(Self {
            watched,
            hashes,
            rows,
            accounts,
            alarms: alarms(world),
            ticks: world.market.ticks(),
            seen: world.pulse.seen(),
        })
    }

    /// Whether a strategy that is not as it should be was called out, and may be so. Without a key at the broker, what
    /// became of a request cannot always be known; and what a broker fills after it has confirmed a cancellation is
    /// for a person to judge.
    fn is_excused(&self, world: &World, one: &Watched) -> bool {
        let alarmed = self.alarms.contains(&one.life.user);
        // Lost with Redis before Postgres had heard of it.
        let Some(fields) = self.state(one) else { return alarmed };
        let account = &self.accounts[&one.life.user];
        let unknown = account.entry_filled - quantity(fields, "filled_quantity");
        let late = account.filled_late > 0 && (0..=account.filled_late).contains(&unknown);
        alarmed && (late || world.class == Class::None)
    }

    /// Invariants 1 and 3: no order twice, never more out than in.
    pub(super) fn check_ledger(&self, found: &mut Vec<String>) {
        found.extend(self.accounts.values().flat_map(|account| account.violations.iter().cloned()));
    }

    /// Invariant 2: a stop that was crossed by a tick that an engine surely had is an exit order, or an alarm.
    pub(super) fn check_stops(&self, world: &World, tally: &mut Tally, found: &mut Vec<String>) {
        for one in &self.watched {
            let Some(tick) = self.crossing(one) else { continue };
            tally.crossed += 1;
            let account = &self.accounts[&one.life.user];
            if account.exit_orders == 0 && !self.is_excused(world, one) {
                found.push(format!("LOST STOP: {tick:?} fired nothing\n{}", self.dossier(world, one)));
            }
        }
    }

    fn crossing(&self, one: &Watched) -> Option<&Tick> {
        let armed = one.armed_ms? + ARMED_MARGIN_MS;
        let from = self.ticks.partition_point(|tick| tick.at_ms < armed);
        self.ticks[from..].iter().find(|tick| {
            let accepted = tick.to.iter().enumerate().any(|(engine, &life)| {
                self.seen.get(&(engine, life)).is_some_and(|&well| well > tick.at_ms + ACCEPTED_AFTER_MS)
            });
            tick.symbol == one.life.symbol && one.life.is_stopped_at(tick.cents) && accepted
        })
    }

    /// Invariant 6: every strategy ended as it should; what Redis says was filled is what the broker filled.
    pub(super) fn check_ends(&self, world: &World, tally: &mut Tally, found: &mut Vec<String>) {
        tally.lies += ledger::lies(&world.broker.ledger());
        for one in &self.watched {
            let account = &self.accounts[&one.life.user];
            tally.orders += account.entry_orders + account.exit_orders;
            let wrong = match self.state(one) {
                None if account.entry_orders == 0 => {
                    let lost = tally.may_have_lost(one.made_ms, world.store.may_fail_over());
                    tally.never_traded += 1;
                    (!lost).then(|| "vanished without a reason".to_owned())
                }
                None => Some("traded and vanished".to_owned()),
                Some(fields) => {
                    tally.strategies += 1;
                    tally.stops += usize::from(text(fields, "position").starts_with("EXITED_BY"));
                    wrong_end(fields, account)
                }
            };
            match wrong {
                Some(_) if self.is_excused(world, one) => tally.alarmed += 1,
                Some(what) => found.push(format!("{what}\n{}", self.dossier(world, one))),
                None => {}
            }
        }
    }

    /// What is known of a strategy: its hash, or the row of one that Redis has lost.
    fn state(&self, one: &Watched) -> Option<&Fields> {
        self.hashes.get(&one.life.user).or_else(|| self.rows.get(&one.life.user))
    }

    fn dossier(&self, world: &World, one: &Watched) -> String {
        let account = &self.accounts[&one.life.user];
        dossier(world, one, self.state(one), &account.lines)
    }

    /// Redis, its replica and Postgres say the same, and the books are what the hashes say.
    pub(super) fn check_copies(&self, world: &World, found: &mut Vec<String>) {
        let same = |name: &str, look: &dyn Fn(&Hashes) -> io::Result<Hashes>, found: &mut Vec<String>| {
            let redis = || self.hashes_of(world, world.store.primary());
            if let Err(what) = wait_same(&redis, look) {
                found.push(format!("{name} and Redis differ: {what}"));
            }
        };
        same("Postgres", &|redis| Ok(live_rows(world, redis)), found);
        same("the replica", &|_| self.hashes_of(world, 1 - world.store.primary()), found);
        for at in 0..2 {
            let differences = world.store.conn(at).run("STRAT.DEBUG VERIFY").texts();
            if !differences.is_empty() {
                found.push(format!("VERIFY: {differences:?}"));
            }
        }
        let rejects = world.postgres.sql("SELECT * FROM journal_rejects");
        if !rejects.is_empty() {
            found.push(format!("journal entries that Postgres refused: {rejects:?}"));
        }
    }

    /// Postgres knows every order that filled something, where no journal was lost before it was read.
    pub(super) fn check_orders(&self, world: &World, found: &mut Vec<String>) {
        let known: BTreeSet<_> =
            world.postgres.sql("SELECT client_order_id FROM orders WHERE cum_qty > 0").into_iter().collect();
        for one in &self.watched {
            let account = &self.accounts[&one.life.user];
            let unknown: Vec<_> = account.filled_orders.difference(&known).collect();
            if !unknown.is_empty() && !self.is_excused(world, one) {
                found.push(format!("Postgres knows no fill of {unknown:?}\n{}", self.dossier(world, one)));
            }
        }
    }

    /// What one of the servers says now.
    fn hashes_of(&self, world: &World, server: usize) -> io::Result<Hashes> {
        hashes(&mut world.store.conn(server), &self.watched).map(|hashes| given(&hashes))
    }
}

/// The rows of what is in Redis, and those that should be there.
fn live_rows(world: &World, redis: &Hashes) -> Hashes {
    let mut rows = given(&rows(world));
    rows.retain(|user, row| redis.contains_key(user) || text(row, "status") == "RUNNING");
    rows
}

/// In units of 10⁻⁸.
fn quantity(fields: &Fields, name: &str) -> i64 {
    match text(fields, name) {
        "" => 0,
        given => ledger::units(given),
    }
}

/// What is wrong with how a strategy ended.
fn wrong_end(fields: &Fields, account: &Account) -> Option<String> {
    let (entered, left) = (quantity(fields, "filled_quantity"), quantity(fields, "exit_quantity"));
    if (entered, left) != (account.entry_filled, account.exit_filled) {
        let [filled, sold, entered, left] =
            [account.entry_filled, account.exit_filled, entered, left].map(Quantity::from_units);
        return Some(format!("the broker filled {filled} in and {sold} out, the strategy says {entered} and {left}"));
    }
    if account.entry_filled != account.exit_filled {
        let held = Quantity::from_units(account.entry_filled - account.exit_filled);
        return Some(format!("{held} are still held"));
    }
    account.open_orders().next().map(|id| format!("order {id} still works at the broker"))
}

/// Redis is read anew each time: whoever waits for a person is not waited for, and may end meanwhile.
fn wait_same(
    redis: &dyn Fn() -> io::Result<Hashes>,
    look: &dyn Fn(&Hashes) -> io::Result<Hashes>,
) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let both = redis().and_then(|expected| look(&expected).map(|found| (expected, found)));
        if both.as_ref().is_ok_and(|(expected, found)| expected == found) {
            return Ok(());
        }
        if started.elapsed() > QUIET_LIMIT / 2 {
            let what = both.map_or_else(|error| error.to_string(), |(expected, found)| differences(&expected, &found));
            return Err(format!("at {}: {what}", now_ms()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn differences(expected: &Hashes, found: &Hashes) -> String {
    let users: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let different = users.into_iter().filter(|user| expected.get(*user) != found.get(*user));
    let shown: Vec<_> = different
        .take(SHOWN)
        .map(|user| format!("{user}: {:?}\n instead of {:?}", found.get(user), expected.get(user)))
        .collect();
    shown.join("\n")
}

/// The users whose strategy or account an engine called out as an error.
fn alarms(world: &World) -> BTreeSet<String> {
    let mut users = BTreeSet::new();
    for seat in &world.seats {
        let log = seat.engine.log();
        users.extend(log.lines().filter(|line| line.contains(" ERROR ")).filter_map(user_in).map(str::to_owned));
    }
    users
}

/// Of `key="user:u7:strategy:s"` and of `user="u7"`.
fn user_in(line: &str) -> Option<&str> {
    let of_key = line.split_once("\"user:").map(|(_, rest)| rest);
    let rest = of_key.or_else(|| line.split_once("user=\"").map(|(_, rest)| rest))?;
    rest.split([':', '"']).next()
}
