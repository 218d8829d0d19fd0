//! `STRAT.ALERT alert-key symbol ABOVE|BELOW price [EX seconds]`

use crate::args::Args;
use crate::server::{self, KeyKind, wall_clock_ms};
use crate::{effects, settings, state};
use redis_module::{Context, RedisString, RedisValue};
use strat_core::alert::{AlertStatus, LIFE_SECONDS_MAX, alert_field, parse_condition, parse_level};
use strat_core::key::{alerts_of, check_symbol};
use strat_core::{AlertKey, Code, Refusal};

/// Refuses one more than a user may have. Here, not at the clients: two that ask at the same time must not both find room. A plain
/// `HSET` is not counted out, for it is no tenant's; what it made counts.
fn check_room(db: i32, key: &AlertKey<'_>) -> Result<(), Refusal> {
    let (count, is_known) =
        state::with(|state| state.book(db).alerts_count(&alerts_of(key.prefix, key.user), &key.hash()));
    let most = settings::MAX_ALERTS_PER_USER.get();
    if is_known || i64::from(count) < most {
        return Ok(());
    }
    let why = format!(
        "{} has {count} alerts and may have {most} (strat.max-alerts-per-user): DEL some that have fired or are not needed",
        key.user
    );
    Err(Refusal::new(Code::Limit, why))
}

/// Arms an alert, or arms it again. It fires once, by the first tick at its level or beyond. Without `EX` it waits for as
/// long as it takes.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.ALERT", args);
    let key = AlertKey::parse_argument(args.next()?.as_slice())?;
    let symbol = args.text()?;
    check_symbol(symbol)?;
    let condition = parse_condition(args.text()?)?;
    let price = args.text()?;
    parse_level(price)?;
    let seconds = args.option("EX").then(|| args.count("EX", 1, LIFE_SECONDS_MAX)).transpose()?;
    args.end()?;
    effects::check_partition(ctx, key.prefix)?;
    if !matches!(server::key_kind(ctx, &key.hash()), KeyKind::Empty | KeyKind::Hash) {
        let why = format!("{} holds another type than an alert's hash: rename or delete it", key.hash());
        return Err(Refusal::new(Code::WrongType, why));
    }
    check_room(server::selected_db(ctx), &key)?;
    let created_at = wall_clock_ms().to_string();
    let fields = [
        ("id", key.alert),
        ("user_id", key.user),
        (alert_field::SYMBOL, symbol),
        (alert_field::CONDITION, condition.as_str()),
        (alert_field::PRICE, price),
        (alert_field::STATUS, AlertStatus::Active.as_str()),
        (alert_field::CREATED_AT, &created_at),
    ];
    effects::arm_alert(ctx, &key, &fields, seconds)?;
    Ok(RedisValue::SimpleStringStatic("OK"))
}
