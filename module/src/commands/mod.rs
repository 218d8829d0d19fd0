//! One file per command: its form, its arguments, its reply. The rules are in core, the writes in `effects`.

pub(crate) mod alert;
pub(crate) mod alerts;
pub(crate) mod debug;
pub(crate) mod del;
pub(crate) mod due;
pub(crate) mod epoch;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod report;
pub(crate) mod set;
pub(crate) mod slcheck;
pub(crate) mod symbols;
pub(crate) mod take;
pub(crate) mod update;

use crate::server::{self, Found};
use redis_module::Context;
use strat_core::strategy::Salvaged;
use strat_core::{Code, Refusal, Strategy, StrategyKey};

/// The strategy at a key; `None` where there is nothing.
///
/// A hash that does not parse is refused: nobody may build on a state that nobody understands.
pub(crate) fn strategy_at(ctx: &Context, key: &StrategyKey<'_>) -> Result<Option<Strategy>, Refusal> {
    match server::find_strategy(ctx, key.hash().as_bytes()) {
        Found::Nothing => Ok(None),
        Found::Strategy(strategy) => Ok(Some(*strategy)),
        Found::WrongType => Err(wrong_type(key)),
        Found::Invalid(reason) => Err(Refusal::new(
            Code::BadField,
            format!("the hash at {} does not parse, put it right with HSET or DEL: {reason}", key.hash()),
        )),
    }
}

/// What can be told of a hash that does not parse.
fn salvage(ctx: &Context, key: &StrategyKey<'_>) -> Salvaged {
    let fields = server::all_fields(ctx, &key.hash());
    Strategy::salvage(|name| {
        fields.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_slice())
    })
}

/// The refusal of a key that holds another type.
fn wrong_type(key: &StrategyKey<'_>) -> Refusal {
    Refusal::new(Code::WrongType, format!("{} holds another type than a strategy's hash", key.hash()))
}

/// As [`strategy_at`], but absence is refused.
pub(crate) fn strategy_required(ctx: &Context, key: &StrategyKey<'_>) -> Result<Strategy, Refusal> {
    strategy_at(ctx, key)?.ok_or_else(|| Refusal::new(Code::NoStrat, format!("there is no strategy at {}", key.hash())))
}
