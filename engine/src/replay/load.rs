//! Puts the strategies of a replay into Redis, with the times of the replayed day.

use crate::calendar::Calendars;
use crate::failure::failure;
use crate::schedule::Times;
use crate::strategies_csv::StrategyLine;
use color_eyre::Result;
use redis::Value;
use strat_client::Connection;

/// Strategies in one round trip.
const BATCH: usize = 200;

/// Loads `lines`; the replayed day is the date at `first_ms` in each strategy's zone.
pub(super) async fn load(
    redis: &mut Connection,
    lines: &[StrategyLine],
    calendars: &Calendars,
    first_ms: i64,
) -> Result<()> {
    for batch in lines.chunks(BATCH) {
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for line in batch {
            let times = Times::read(|name| Some(line.text(name)), calendars)?;
            let plan = times.on_day(times.date(first_ms)?)?;
            let command = pipeline.cmd("STRAT.SET").arg(line.key());
            for (name, value) in &line.fields {
                command.arg(name).arg(value);
            }
            for (name, at) in [("buy_at", plan.buy_at), ("sell_at", plan.sell_at)] {
                if let Some(at) = at {
                    command.arg(name).arg(at);
                }
            }
        }
        let replies: Vec<redis::RedisResult<Value>> = pipeline.query_async(redis).await?;
        for (line, reply) in batch.iter().zip(replies) {
            if let Err(error) = reply {
                return Err(failure(
                    format!("strategy {} of {} was refused: {error}", line.strategy, line.user),
                    "correct its line",
                ));
            }
        }
    }
    Ok(())
}
