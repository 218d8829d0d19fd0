//! Random steps that fit the state of the world.

use super::rules::{Action, Exec, Status};
use super::world::{Edit, Epoch, KEYS, SYMBOLS, Set, Step, Token, World};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// Times are about this, epoch ms: earlier than any wall clock, so that nothing in the server compares the two.
const TIMES: std::ops::Range<i64> = 1_000..2_000;

/// Generates steps that are likely to get somewhere, and some that are not.
pub(super) struct Machine;

impl ReferenceStateMachine for Machine {
    type State = World;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<World> {
        Just(World::default()).boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Step> {
        let key = 0..KEYS;
        let token = prop_oneof![8 => Just(Token::Held), 1 => Just(Token::Stale)];
        let reports = report(world);
        prop_oneof![
            5 => (key.clone(), set()).prop_map(|(key, set)| Step::Set(key, set)),
            4 => (key.clone(), edit(), optional(token.clone()), prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)])
                .prop_map(|(key, edit, token, version)| Step::Update(key, edit, token, version)),
            1 => key.clone().prop_map(Step::Del),
            5 => (0..SYMBOLS, price()).prop_map(|(symbol, price)| Step::Tick(symbol, price)),
            4 => TIMES.prop_map(Step::Due),
            8 => lock(world),
            1 => (key.clone(), token.clone()).prop_map(|(key, token)| Step::Extend(key, token)),
            1 => (key.clone(), token).prop_map(|(key, token)| Step::Unlock(key, token)),
            12 => reports,
            1 => key.prop_map(Step::Expire),
            1 => prop_oneof![Just(Step::NewEpoch), Just(Step::Reload), Just(Step::Panic)],
        ]
        .boxed()
    }

    fn apply(mut world: World, step: &Step) -> World {
        world.queued.clear();
        world.answer = Some(world.step(step));
        world
    }
}

fn optional<T: Clone + std::fmt::Debug + 'static>(
    given: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    prop_oneof![4 => Just(None), 1 => given.prop_map(Some)].boxed()
}

fn price() -> impl Strategy<Value = i64> {
    95_i64..106
}

fn level() -> BoxedStrategy<Option<i64>> {
    prop_oneof![1 => Just(None), 3 => price().prop_map(Some)].boxed()
}

fn time() -> BoxedStrategy<Option<i64>> {
    prop_oneof![1 => Just(None), 2 => TIMES.prop_map(Some)].boxed()
}

fn set() -> impl Strategy<Value = Set> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.9), any::<bool>(), prop::bool::weighted(0.1));
    (0..SYMBOLS, 1_i64..6, level(), level(), time(), time(), flags).prop_map(
        |(symbol, quantity, stop, target, entry_at, exit_at, (long, leaves, running, open, nx))| Set {
            symbol,
            long,
            quantity,
            stop,
            target,
            leaves,
            running,
            open,
            entry_at,
            exit_at,
            nx,
        },
    )
}

fn edit() -> BoxedStrategy<Edit> {
    prop_oneof![
        level().prop_map(Edit::Stop),
        level().prop_map(Edit::Target),
        time().prop_map(Edit::EntryAt),
        time().prop_map(Edit::ExitAt),
        any::<bool>().prop_map(Edit::Leaves),
        (1_i64..6).prop_map(Edit::Quantity),
        (0..SYMBOLS).prop_map(Edit::Symbol),
        prop::sample::select(vec![Status::Running, Status::Stopped, Status::Completed, Status::Failed])
            .prop_map(Edit::Status),
    ]
    .boxed()
}

/// Mostly of what is pending or works.
fn lock(world: &World) -> BoxedStrategy<Step> {
    let wanted: Vec<_> = world
        .strategies
        .iter()
        .filter_map(|(key, strategy)| Some((*key, strategy.pending.or(strategy.working)?)))
        .collect();
    let epoch = prop_oneof![3 => Just(Epoch::None), 2 => Just(Epoch::Current), 1 => Just(Epoch::Over)];
    let any = (0..KEYS, prop::sample::select(Action::ALL.to_vec())).boxed();
    let pair = if wanted.is_empty() { any } else { prop_oneof![1 => any, 3 => prop::sample::select(wanted)].boxed() };
    (pair, epoch).prop_map(|((key, action), epoch)| Step::Lock(key, action, epoch)).boxed()
}

/// Mostly on orders that are claimed.
fn report(world: &World) -> BoxedStrategy<Step> {
    let claimed: Vec<_> = world.locks.keys().copied().collect();
    let key = if claimed.is_empty() { (0..KEYS).boxed() } else { prop::sample::select(claimed).boxed() };
    let exec = prop_oneof![
        3 => Just(Exec::New),
        3 => Just(Exec::PartialFill),
        4 => Just(Exec::Fill),
        1 => Just(Exec::Canceled),
        1 => Just(Exec::Rejected),
        1 => Just(Exec::Expired),
    ];
    let token = prop_oneof![12 => Just(Token::Held), 1 => Just(Token::Stale)];
    (key, token, exec, 0_i64..7, TIMES)
        .prop_map(|(key, token, exec, cum, ts)| Step::Report(key, token, exec, cum, ts))
        .boxed()
}
