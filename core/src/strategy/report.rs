//! The broker reports on the order in flight.

use super::{Change, Position, Status, Strategy};
use crate::decimal::{Price, Quantity, average_price};
use crate::event::{EventType, OrderReport};
use crate::field::OnStop;
use crate::key::StrategyKey;
use crate::order::{ATTEMPTS_NEAR, Action, ExecType, Leg, OrderIdentity};
use crate::refusal::{Code, Refusal};

/// One execution report. Quantities are cumulative over the order, so a repeat changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What happened.
    pub exec_type: ExecType,
    /// Cumulative quantity and average price, once something was filled.
    pub filled: Option<(Quantity, Price)>,
    /// Order id to remember; the engine gives the client order id.
    pub order_id: String,
    /// The broker's words.
    pub text: String,
    /// Epoch ms.
    pub ts_ms: i64,
}

/// How long an exit waits after a dead attempt: `base · 2^(attempt-1)`, at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// First wait, ms.
    pub base_ms: i64,
    /// Longest wait, ms.
    pub max_ms: i64,
}

impl Backoff {
    /// The wait after the `attempts`-th dead attempt, ms.
    #[must_use]
    pub fn after(self, attempts: u64) -> i64 {
        let doublings = attempts.saturating_sub(1).min(30) as u32;
        self.base_ms.saturating_mul(1 << doublings).min(self.max_ms)
    }
}

impl Strategy {
    /// Applies a report on the order for `action`. `None`: nothing new in it.
    ///
    /// # Errors
    /// `ERR` where a fill comes without quantity and price; `BUSY` where what is said of an exit would hide an entry
    /// that works.
    pub fn report(&self, action: Action, report: &Report, backoff: Backoff) -> Result<Option<Change>, Refusal> {
        let must_fill = matches!(report.exec_type, ExecType::Fill | ExecType::PartialFill);
        if must_fill && report.filled.is_none_or(|(quantity, _)| quantity <= Quantity::ZERO) {
            return Err(Refusal::new(Code::Err, format!("{} needs CUMQTY above 0 and AVGPX", report.exec_type)));
        }
        self.check_entry_is_settled(action, report)?;
        let mut change = match action.leg(self.side) {
            Leg::Entry => self.report_entry(action, report),
            Leg::Exit => self.report_exit(action, report, backoff),
        };
        self.remember_order(&mut change, action, report);
        change.release_lock = report.exec_type.is_terminal();
        self.restate_fills(&mut change);
        let nothing_new = change.fields.is_empty() && !change.release_lock;
        Ok((!nothing_new).then_some(change))
    }

    /// What is said of another attempt's order is none of the current one's: a report that was told before, and told again
    /// after the strategy went on, would count twice. Order ids that do not come from [`OrderIdentity`] say nothing.
    ///
    /// # Errors
    /// `BUSY` where the order is of another attempt of the cycle's exit.
    pub fn check_attempt(&self, key: StrategyKey<'_>, action: Action, order_id: &str) -> Result<(), Refusal> {
        if action.leg(self.side) == Leg::Entry || order_id.is_empty() {
            return Ok(());
        }
        let current = OrderIdentity { key, cycle: self.cycle, leg: Leg::Exit, attempt: self.attempt };
        match current.attempt_of(order_id, (ATTEMPTS_NEAR, ATTEMPTS_NEAR)) {
            Some(other) if other != self.attempt => {
                let what =
                    format!("order {order_id} is of attempt {other}, the strategy is at attempt {}", self.attempt);
                Err(Refusal::new(Code::Busy, what))
            }
            _ => Ok(()),
        }
    }

    /// An entry that works may still fill: an exit neither takes its place nor concludes the cycle under it.
    /// What the exit filled is true all the same.
    fn check_entry_is_settled(&self, action: Action, report: &Report) -> Result<(), Refusal> {
        let only_fills = matches!(report.exec_type, ExecType::Fill | ExecType::PartialFill);
        match self.working_entry() {
            Some(entry) if action.leg(self.side) == Leg::Exit && !only_fills => {
                Err(Refusal::new(Code::Busy, format!("{entry} works at the broker: report its end first")))
            }
            _ => Ok(()),
        }
    }

    fn report_entry(&self, action: Action, report: &Report) -> Change {
        let mut change = Change::new(kind_of(report));
        // A claim that no queue entry stands behind (a script that trades by hand) opens its own cycle.
        // An exit in flight without a position is one of this cycle: it waits for the end of this very entry.
        let begins = self.pending.is_none() && self.working.is_none() && self.position == Position::None;
        if begins {
            self.begin_cycle(&mut change, report.ts_ms);
        }
        let exited = if begins { Quantity::ZERO } else { self.exited };
        // The holder of an exit's lock may report here too: what is said of the entry leaves a working exit alone.
        let others = self.working.filter(|working| *working != action);
        let ended = report.exec_type.is_terminal();
        let working = others.or((!ended).then_some(action));
        let leaves = ended && others.is_none() && self.squares_off_only_the_entry();
        let pending = self.pending.filter(|pending| *pending != action && !leaves);
        change.set_if(self.pending != pending, "pending", "");
        change.set_if(self.working != working, "working", working.map_or("", Action::as_str));
        let filled = report.filled.unwrap_or_default();
        // A closed position knows its fills as well: a repeat must not open it again.
        let known = match self.position {
            Position::None => Quantity::ZERO,
            _ => self.filled,
        };
        let (news, bought) = (filled.0 > known, filled.0.max(known));
        let open = if news || self.position.is_open() { bought.minus(exited) } else { Quantity::ZERO };
        if news {
            change.set("filled_quantity", filled.0).set("entry_price", filled.1);
        }
        // Whatever exits filled while this entry worked, it concluded nothing.
        let sold_out = ended
            && (news || self.position.is_open())
            && exited > Quantity::ZERO
            && open == Quantity::ZERO
            && others.or(pending).is_none();
        if sold_out {
            let position = Position::closed_by(Action::timed_exit(self.side), self.side);
            self.complete(&mut change, position, report.ts_ms);
        } else {
            change
                .set_if(news && !self.position.is_open(), "position", Position::opened(self.side))
                .set_if(leaves && self.retry_at.is_some(), "retry_at", "")
                .set_if(leaves && self.retry_action.is_some(), "retry_action", "");
        }
        let unguarded = self.status != Status::Running && (leaves || news && !self.exit_in_flight());
        if unguarded && open > Quantity::ZERO {
            // Nothing watches the strategy any more: that is said loudly.
            change.with("unguarded_quantity", open).publish.push(EventType::StrategyError);
        }
        if ended && report.exec_type != ExecType::Fill && bought == Quantity::ZERO {
            self.entry_died(&mut change, report);
        }
        change
    }

    /// A stopped strategy that leaves its position has a square-off enqueued only to get its entry cancelled.
    fn squares_off_only_the_entry(&self) -> bool {
        self.status != Status::Running && self.on_stop == OnStop::Leave && self.pending == Some(Action::SquareOff)
    }

    /// The entry ended with nothing filled: the timers are dropped, so that a resumed strategy does not act on old times.
    /// Where an exit already waits for that, the exit concludes the cycle.
    fn entry_died(&self, change: &mut Change, report: &Report) {
        let exit_waits = self.pending.is_some_and(|pending| pending.leg(self.side) == Leg::Exit);
        if exit_waits {
            return;
        }
        change
            .end(self, Status::Failed, report.ts_ms)
            .set_if(self.buy_at.is_some(), "buy_at", "")
            .set_if(self.sell_at.is_some(), "sell_at", "")
            .set("error", format!("entry {}: {}", report.exec_type, report.text))
            .publish
            .push(EventType::StrategyError);
    }

    fn report_exit(&self, action: Action, report: &Report, backoff: Backoff) -> Change {
        let mut change = Change::new(kind_of(report));
        let this = report.filled.unwrap_or_default();
        let total = self.prior_exit.0.plus(this.0).max(self.exited);
        if total > self.exited {
            change.set("exit_quantity", total);
            if let Some(price) = average_price(self.prior_exit, this) {
                change.set("exit_price", price);
            }
        }
        if total > self.exited && total > self.filled {
            // More was sold than bought: the account now holds the other side.
            change.with("oversold_quantity", total.minus(self.filled)).publish.push(EventType::StrategyError);
        }
        let open = if self.position.is_open() { self.filled.minus(total) } else { Quantity::ZERO };
        let entry = self.working_entry();
        if !report.exec_type.is_terminal() {
            change.set_if(self.working != Some(action) && entry.is_none(), "working", action);
            // All exits of an attempt are one order: what else was enqueued is carried out by this one.
            let other = self.pending.is_some_and(|pending| pending != action && pending.leg(self.side) == Leg::Exit);
            change.set_if(other && entry.is_none(), "pending", "");
            change.set_if(self.retry_at.is_some(), "retry_at", "");
            change.set_if(self.retry_action.is_some(), "retry_action", "");
        } else if open == Quantity::ZERO && entry.is_none() {
            self.conclude(&mut change, action, report);
        } else {
            self.exit_again(&mut change, action, report, (total, open), backoff);
        }
        change
    }

    /// Nothing is held any more: the cycle is over.
    fn conclude(&self, change: &mut Change, action: Action, report: &Report) {
        let entered = self.filled > Quantity::ZERO && self.position != Position::None;
        let position = if entered { Position::closed_by(action, self.side) } else { Position::None };
        change.set_if(self.pending.is_some(), "pending", "").set_if(self.working.is_some(), "working", "");
        self.complete(change, position, report.ts_ms);
    }

    fn complete(&self, change: &mut Change, position: Position, ts_ms: i64) {
        change
            .set_if(self.position != position, "position", position)
            .set_if(self.retry_at.is_some(), "retry_at", "")
            .set_if(self.retry_action.is_some(), "retry_action", "");
        if self.status == Status::Running {
            change.end(self, Status::Completed, ts_ms).publish.push(EventType::StrategyCompleted);
        }
    }

    /// The attempt has ended, the cycle has not: quantity is left, or the entry may fill on. Another exit is another
    /// order. A dead one waits for its retry, which comes at any price.
    fn exit_again(
        &self,
        change: &mut Change,
        action: Action,
        report: &Report,
        left: (Quantity, Quantity),
        backoff: Backoff,
    ) {
        let (total, open) = left;
        let price = change.fields.iter().find(|(name, _)| name == "exit_price").map(|(_, value)| value.clone());
        if let Some(price) = price.or_else(|| self.exit_price.map(|price| price.to_string())) {
            change.set("prior_exit_price", price);
        }
        change
            .set("prior_exit_quantity", total)
            .set("attempt", self.attempt + 1)
            .set_if(self.working.is_some() && self.working_entry().is_none(), "working", "")
            .with("open_quantity", open);
        if report.exec_type == ExecType::Fill {
            if open == Quantity::ZERO && self.status == Status::Running {
                // The entry fills on, and what it fills is guarded; or its end concludes.
                change
                    .set_if(self.pending.is_some(), "pending", "")
                    .set_if(self.retry_at.is_some(), "retry_at", "")
                    .set_if(self.retry_action.is_some(), "retry_action", "");
                return;
            }
            // The order was smaller than the position (the entry filled on meanwhile): the rest goes out at once.
            // Of a stopped strategy the next attempt ends the entry too.
            change.enqueue(action, self.cycle, "", report.ts_ms);
            return;
        }
        change
            .set_if(self.pending.is_some(), "pending", "")
            .set("retry_at", report.ts_ms.max(0).saturating_add(backoff.after(self.attempt + 1)))
            .set("retry_action", action)
            .set("error", format!("{action} {}: {}", report.exec_type, report.text))
            .publish
            .push(EventType::StrategyError);
    }

    /// Says with each report which cycle it is, what its orders have filled so far, and which attempt the next exit is.
    /// Nothing is said of what is zero: who knows of fills that Redis has lost knows better.
    fn restate_fills(&self, change: &mut Change) {
        if change.fields.iter().any(|(name, _)| name == "cycle") {
            return;
        }
        let (prior, prior_price) = self.prior_exit;
        let mut say = |known: bool, name: &str, value: String| {
            if known {
                change.restated.push((name.to_owned(), value));
            }
        };
        say(self.cycle > 0, "cycle", self.cycle.to_string());
        say(self.cycle_at.is_some(), "cycle_at", self.cycle_at.unwrap_or_default().to_string());
        say(self.position != Position::None, "position", self.position.to_string());
        say(self.filled > Quantity::ZERO, "filled_quantity", self.filled.to_string());
        say(self.exited > Quantity::ZERO, "exit_quantity", self.exited.to_string());
        say(self.exit_price.is_some(), "exit_price", self.exit_price.unwrap_or_default().to_string());
        say(prior > Quantity::ZERO, "prior_exit_quantity", prior.to_string());
        say(prior > Quantity::ZERO, "prior_exit_price", prior_price.to_string());
        say(self.attempt > 0, "attempt", self.attempt.to_string());
    }

    fn remember_order(&self, change: &mut Change, action: Action, report: &Report) {
        let known = self.working == Some(action) && report.exec_type != ExecType::New;
        if change.fields.is_empty() && !report.exec_type.is_terminal() {
            return;
        }
        if !known {
            change.set("last_action", action);
        }
        if !report.order_id.is_empty() && !known {
            change.set(action.order_field(), &report.order_id);
        }
        let cycle = change.fields.iter().find(|(name, _)| name == "cycle").and_then(|(_, v)| v.parse().ok());
        let filled = report.filled.filter(|(quantity, _)| *quantity > Quantity::ZERO);
        let order = OrderReport {
            order_id: report.order_id.clone(),
            action: action.to_string(),
            leg: action.leg(self.side).to_string(),
            cycle: cycle.unwrap_or(self.cycle),
            attempt: if action.leg(self.side) == Leg::Exit { self.attempt } else { 0 },
            exec_type: report.exec_type.to_string(),
            cum_qty: filled.map_or_else(|| "0".to_owned(), |(quantity, _)| quantity.to_string()),
            avg_px: filled.map_or_else(String::new, |(_, price)| price.to_string()),
            text: report.text.clone(),
        };
        change
            .with("symbol", &self.symbol)
            .with("action", action)
            .with("order_id", &order.order_id)
            .with("exec_type", &order.exec_type)
            .with("quantity", &order.cum_qty)
            .with("price", &order.avg_px);
        change.order = Some(order);
    }
}

fn kind_of(report: &Report) -> EventType {
    match report.exec_type {
        ExecType::New => EventType::OrderAccepted,
        ExecType::PartialFill | ExecType::Fill => EventType::OrderExecuted,
        ExecType::Canceled | ExecType::Rejected | ExecType::Expired => EventType::OrderCanceled,
    }
}
