//! Telling the strategy what became of its order.

use super::types::ReportFailure;
use super::{Effect, OrderMachine, PAUSE_MS, State, TRIES, TROUBLE_WAIT_MS, Waits};
use crate::broker::OrderState;
use strat_client::ReportRequest;
use strat_core::planted::{self, Mistake};
use strat_core::{Action, ExecType, Position, Quantity, Strategy};

impl OrderMachine {
    /// The broker has the order, or has refused it: that is reported. Without Redis it is reported as soon as it is back.
    pub(super) fn found(&mut self, state: &OrderState) -> Effect {
        if self.alone {
            self.hand_to_redis();
            tracing::warn!(key = self.job.key, action = %self.job.action, order = state.client_order_id, status = %state.status, "sent without Redis; it is reported when Redis is back");
            self.job.must_query = true;
            return self.wait(0, Waits::Turn, "Redis is away");
        }
        self.report(state)
    }

    /// Reports a state of the own order, unless it says nothing new.
    pub(super) fn report(&mut self, state: &OrderState) -> Effect {
        let news = (state.status, state.cum_qty);
        let stale = self
            .reported
            .is_some_and(|(status, filled)| status.is_terminal() || filled > news.1 || (status, filled) == news);
        if stale || (news.0 == ExecType::New && self.reported.is_some()) {
            return self.watch();
        }
        if planted::is(Mistake::LostPartialFill) && news.0 == ExecType::PartialFill {
            return self.watch();
        }
        let ends = state.status.is_terminal();
        let mut report = report_of(state);
        if let (true, Some((stream, id))) = (ends, &self.job.ack) {
            report = report.ack(stream, id);
        }
        let effect = Effect::Report(report.clone());
        self.to(State::Reporting { report, news: Some(news), ends, tries: 1 }, effect)
    }

    /// Reports the end of an order that the broker does not have.
    pub(super) fn end(&mut self, status: ExecType, text: &str) -> Effect {
        if self.alone {
            // Nothing is held: what is left to do is for Redis to hear of it.
            self.hand_to_redis();
            return self.wait(TROUBLE_WAIT_MS, Waits::Turn, text);
        }
        let mut report = ReportRequest::new(status).text(text).ts_ms(self.now.wall_ms);
        if let Some((stream, id)) = &self.job.ack {
            report = report.ack(stream, id);
        }
        let effect = Effect::Report(report.clone());
        self.to(State::Reporting { report, news: None, ends: true, tries: 1 }, effect)
    }

    pub(super) fn report_entry(&mut self, strategy: &Strategy, state: &OrderState) -> Effect {
        tracing::info!(key = self.job.key, status = %state.status, filled = %state.cum_qty, "the entry ended before its exit");
        if self.alone {
            let filled = strategy.filled.max(state.cum_qty);
            let position = if filled > Quantity::ZERO { Position::opened(strategy.side) } else { strategy.position };
            self.strategy = Some(Strategy { filled, position, working: None, ..strategy.clone() });
            self.entry_reported = true;
            return self.decide();
        }
        let report = report_of(state).action(Action::entry(strategy.side));
        self.to(State::ReportingEntry, Effect::Report(report))
    }

    pub(super) fn after_report(
        &mut self,
        report: ReportRequest,
        news: Option<(ExecType, Quantity)>,
        ends: bool,
        tries: u32,
        outcome: Result<(), ReportFailure>,
    ) -> Effect {
        match outcome {
            Ok(()) => {
                self.reported = news.or(self.reported);
                if ends {
                    self.lock = None;
                    return self.to(State::Done, Effect::Done);
                }
                self.watch()
            }
            Err(ReportFailure::NotOurs(why)) => {
                tracing::warn!(
                    key = self.job.key,
                    why,
                    ends,
                    "THE LOCK OF AN ORDER IS LOST; the order is looked up again"
                );
                self.lock = None;
                self.doubt_report();
                self.held_because("the lock is lost")
            }
            // A refusal leaves no trace at the broker. Until the next try somebody without Redis may have sent the same
            // order with success, so it is looked up again instead of told late.
            Err(ReportFailure::Trouble(why)) if tries < TRIES && report.exec_type() != ExecType::Rejected => {
                tracing::error!(key = self.job.key, tries, why, "cannot report an order");
                let ms = PAUSE_MS << (tries - 1);
                self.to(
                    State::Reporting { report, news, ends, tries: tries + 1 },
                    Effect::Wait { ms, waits: Waits::Pause, why },
                )
            }
            // The queue entry is not acknowledged: the order is claimed again and looked up.
            Err(ReportFailure::Trouble(why)) => {
                self.doubt_report();
                self.wait(TROUBLE_WAIT_MS, Waits::Turn, why)
            }
        }
    }

    /// What was reported is told anew once the strategy is claimed again.
    pub(super) fn doubt_report(&mut self) {
        self.reported = None;
        self.job.must_query = true;
    }

    pub(super) fn watch(&mut self) -> Effect {
        self.to(State::Watching, Effect::Watch)
    }
}

/// The command for a broker's state of an order.
fn report_of(state: &OrderState) -> ReportRequest {
    let report = ReportRequest::new(state.status).order_id(&state.client_order_id).ts_ms(state.ts_ms);
    let report = match state.avg_px.filter(|_| state.cum_qty > Quantity::ZERO) {
        Some(price) => report.cumulative(state.cum_qty, price),
        None => report,
    };
    if state.text.is_empty() { report } else { report.text(&state.text) }
}
