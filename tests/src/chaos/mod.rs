//! Chaos: real processes trade while they are killed, paused and cut off from one another, and the broker lies.
//! In the end the broker's ledger shows no order twice, every stop that was crossed became an exit, and all is quiet.
//!
//! | variable | meaning |
//! |---|---|
//! | `STRAT_CHAOS_KILLS` | how many processes are killed, 15 by default |
//! | `STRAT_CHAOS_CLASS` | the broker's class, `dedupes`, `queryable` or `none`; by default each in turn |
//! | `STRAT_CHAOS_SENTINEL` | `1` for worlds with sentinels only, `0` for none; by default every other world |
//! | `STRAT_CHAOS_SEED` | repeats a schedule; which request a fault meets still depends on the machine |

mod checker;
pub(crate) mod clocks;
mod faults;
mod flush;
mod ledger;
mod links;
mod lulls;
mod market;
pub(crate) mod points;
mod proxy;
mod pulse;
mod recovery;
mod schedule;
mod snapshot;
mod store;
mod strategies;
mod tally;
mod upsets;
mod world;

use crate::rng::Rng;
use crate::support::loudly;
use checker::{Evidence, wait_quiet};
use faults::Chaos;
use tally::Tally;
pub(crate) use world::Class;
use world::World;

/// Most kills in one world: a new one begins with empty servers.
const KILLS_PER_WORLD: usize = 50;
/// The worlds' brokers, in turn.
const CLASSES: &[Class] = &[Class::Dedupes, Class::Queryable, Class::None];

fn kills_wanted() -> usize {
    let wanted = std::env::var("STRAT_CHAOS_KILLS").ok();
    wanted.map_or(15, |text| text.parse().unwrap_or_else(|_| panic!("STRAT_CHAOS_KILLS is not a number: {text}")))
}

/// The classes of brokers to be tried.
pub(crate) fn classes_wanted() -> Vec<Class> {
    let Ok(name) = std::env::var("STRAT_CHAOS_CLASS") else { return CLASSES.to_vec() };
    let known = CLASSES.iter().copied().find(|class| class.setting() == name);
    vec![known.unwrap_or_else(|| panic!("STRAT_CHAOS_CLASS: '{name}' is none of dedupes, queryable, none"))]
}

/// Does so much harm to a world, and checks it.
fn survive(class: Class, sentinels: bool, kills: usize, rng: &mut Rng, tally: &mut Tally) {
    tally.story.clear();
    tally.losses_ms.clear();
    tally.begin(class.setting(), sentinels);
    let mut world = World::start(class, sentinels, rng);
    Chaos::new(&mut world, rng.split(), tally).run(kills);
    world.users.stop_making();
    let violations = judge(&mut world, tally);
    if !violations.is_empty() {
        let story = format!("{}\n\n{}", tally.story.join("\n"), violations.join("\n\n"));
        let kept = world.keep_evidence(&story);
        panic!("{} violations, evidence in {}:\n{}", violations.len(), kept.display(), violations.join("\n\n"));
    }
}

/// What the world did not keep of its promises.
fn judge(world: &mut World, tally: &mut Tally) -> Vec<String> {
    let mut found = Vec::new();
    match wait_quiet(world, false) {
        Ok(after) => tally.quiet_after.push(after),
        Err(left) => found.push(left),
    }
    match Evidence::gather(world) {
        Ok(evidence) => evidence.check_stops(world, tally, &mut found),
        Err(error) => found.push(format!("Redis does not answer: {error}")),
    }
    // Whatever waits for its level gets it now.
    world.market.sweep();
    if let Err(left) = wait_quiet(world, true) {
        found.push(format!("after the sweep: {left}"));
    }
    match Evidence::gather(world) {
        Ok(evidence) => {
            evidence.check_ledger(&mut found);
            evidence.check_ends(world, tally, &mut found);
            evidence.check_copies(world, &mut found);
            if tally.losses_ms.is_empty() {
                evidence.check_orders(world, &mut found);
            }
        }
        Err(error) => found.push(format!("Redis does not answer: {error}")),
    }
    for seat in &mut world.seats {
        let code = seat.engine.terminate();
        if code != Some(0) {
            found.push(format!("{} ended with {code:?} on SIGTERM", seat.name));
        }
    }
    found
}

#[test]
fn no_order_is_doubled_and_no_stop_is_lost() {
    let seed = Rng::seed_from_env("STRAT_CHAOS_SEED");
    let mut rng = Rng::new(seed);
    let (wanted, classes) = (kills_wanted(), classes_wanted());
    let only = std::env::var("STRAT_CHAOS_SENTINEL").ok().map(|text| text == "1");
    let mut tally = Tally::default();
    // Which class begins, and whether with sentinels; a short run meets every class too.
    let (first, watched) = (rng.below(classes.len()), rng.below(2));
    let kills = wanted.div_ceil(classes.len()).min(KILLS_PER_WORLD);
    for turn in 0.. {
        let left = wanted.saturating_sub(tally.kills());
        if left == 0 {
            break;
        }
        let sentinels = only.unwrap_or((watched + turn) % 2 == 1);
        survive(classes[(first + turn) % classes.len()], sentinels, left.min(kills), &mut rng, &mut tally);
    }
    loudly(&tally.summary(seed));
}
