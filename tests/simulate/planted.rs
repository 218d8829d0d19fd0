//! Each known mistake is made until a seed shows it.

#[cfg(feature = "planted")]
use crate::run_seed;
#[cfg(feature = "planted")]
use strat_core::planted::{Mistake, plant};

/// Makes each mistake for at most `seeds` seeds; false where one was not caught, or where something is wrong without.
#[cfg(feature = "planted")]
pub(crate) fn run(from: u64, seeds: u64) -> bool {
    let mut caught_all = true;
    println!("mistake                seed       after  caught by");
    for mistake in std::iter::once(None).chain(Mistake::ALL.into_iter().map(Some)) {
        plant(mistake);
        let limit = if mistake.is_none() { seeds.min(2_000) } else { seeds };
        let found = (from..from + limit).find_map(|seed| {
            let what = run_seed(seed, false).0.broken.first()?.clone();
            (mistake.is_none() || is_fine_without(seed, mistake)).then_some((seed, what))
        });
        let name = mistake.map_or_else(|| "(none)".to_owned(), |mistake| format!("{mistake:?}"));
        match &found {
            Some((seed, what)) => println!("{name:<22} {seed:<8} {:>7}  {what}", seed - from + 1),
            None => println!("{name:<22} {:<8} {limit:>7}  nothing", "-"),
        }
        caught_all &= found.is_some() == mistake.is_some();
    }
    plant(None);
    caught_all
}

/// Whether the mistake alone is what a seed shows.
#[cfg(feature = "planted")]
fn is_fine_without(seed: u64, mistake: Option<Mistake>) -> bool {
    plant(None);
    let fine = run_seed(seed, false).0.broken.is_empty();
    plant(mistake);
    fine
}

/// Makes the mistake of this name from now on; false where there is none.
#[cfg(feature = "planted")]
pub(crate) fn make(name: &str) -> bool {
    let mistake = Mistake::ALL.into_iter().find(|mistake| format!("{mistake:?}").eq_ignore_ascii_case(name));
    plant(mistake);
    if mistake.is_none() {
        eprintln!("no known mistake is called {name}: {:?}", Mistake::ALL);
    }
    mistake.is_some()
}

#[cfg(not(feature = "planted"))]
pub(crate) fn make(_: &str) -> bool {
    run(0, 0)
}

#[cfg(not(feature = "planted"))]
pub(crate) fn run(_: u64, _: u64) -> bool {
    eprintln!("this build holds no mistakes: build it with --features planted");
    false
}
