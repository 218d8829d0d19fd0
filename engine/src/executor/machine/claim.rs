//! Claiming the strategy, and reading it.

use super::state::Rival;
use super::types::{Claim, Found, Holder, Seen, SentAlone};
use super::{BROKEN_WAIT_MS, Effect, HELD_WAIT_MS, OrderMachine, State, TRIES, TROUBLE_WAIT_MS, Waits};
use strat_core::{Code, Leg};

impl OrderMachine {
    pub(super) fn claimed(&mut self, claim: Claim) -> Effect {
        match claim {
            Claim::Token(token) => {
                self.lock = Some(token);
                // Redis may have lost what it was told before; telling it again changes nothing where it has not.
                (self.reported, self.held) = (None, 0);
                self.doubt_holder();
                self.to(State::Reading, Effect::Read)
            }
            Claim::Held => self.to(State::Inspecting(None), Effect::Inspect),
            // An exit that was sent while Redis was away stays at work until the strategy has heard of it.
            Claim::NotWanted(why) if self.job.unasked => self.to(State::Inspecting(Some(why)), Effect::Inspect),
            Claim::NotWanted(why) => self.to(State::Discarding, Effect::Discard { why }),
            Claim::Unsynced => self.await_epoch(),
            Claim::Broken(why) => {
                tracing::error!(key = self.job.key, action = %self.job.action, why, "ORDER NOT POSSIBLE: the strategy's hash is not valid; mend its fields");
                self.wait(BROKEN_WAIT_MS, Waits::Turn, "the strategy's hash is not valid")
            }
            Claim::Trouble(why) => self.wait(TROUBLE_WAIT_MS, Waits::Turn, format!("no lock: {why}")),
        }
    }

    /// An exit does not wait for an entry that works on: it has the entry cancelled, whoever holds it.
    pub(super) fn inspected(&mut self, unwanted: Option<String>, holder: Option<Holder>) -> Effect {
        let Some(Holder { strategy: Some(strategy), action, own }) = holder else {
            return match unwanted {
                // It was there a moment ago: Redis may have lost everything, and then it comes back.
                Some(why) if self.job.unasked && !why.starts_with(Code::NoStrat.as_str()) => {
                    self.wait(TROUBLE_WAIT_MS, Waits::Turn, why)
                }
                Some(why) => self.to(State::Discarding, Effect::Discard { why }),
                None => self.held(),
            };
        };
        let current = self.job.cycle == strategy.cycle;
        // What the cycle that holds the lock ended cannot be wanted again, however long the new one's order works.
        let outlived = self.job.cycle < strategy.cycle && !self.job.unasked;
        let unwanted = unwanted.or_else(|| outlived.then(|| "its cycle has ended".to_owned()));
        if let Some(why) = unwanted {
            return if current && !strategy.is_idle() {
                self.wait(TROUBLE_WAIT_MS, Waits::AnotherOrder, why)
            } else {
                self.to(State::Discarding, Effect::Discard { why })
            };
        }
        let leg = self.job.action.leg(strategy.side);
        self.rival = match action.map(|action| action.leg(strategy.side)).filter(|_| current) {
            // What this engine has sent it knows.
            Some(holds) if holds == leg => (!own).then_some(Rival::Same).or(self.rival),
            Some(Leg::Entry) => Some(Rival::Entry),
            _ => self.rival,
        };
        let exit = leg == Leg::Exit && current;
        if !exit || action.map(|action| action.leg(strategy.side)) != Some(Leg::Entry) {
            return self.held();
        }
        match self.name_of(&strategy, Leg::Entry) {
            Some(name) => self.to(State::CancelingForExit, Effect::Cancel(name)),
            None => self.held(),
        }
    }

    /// Whoever held the lock before may have sent his order up to now.
    fn doubt_holder(&mut self) {
        let Some(rival) = self.rival.take() else { return };
        if rival == Rival::Same {
            self.rival_ms = Some(self.now.mono_ms);
        }
        if self.contests >= TRIES {
            return;
        }
        self.contests += 1;
        match rival {
            Rival::Same => self.job.doubt(self.now.mono_ms),
            Rival::Entry => self.job.entry_asked_ms = None,
        }
    }

    pub(super) fn read(&mut self, found: Found) -> Effect {
        match found {
            Found::Strategy(seen) => {
                let Seen { strategy, grace_ms, entries_wait, risk, sent_alone, restored } = *seen;
                let leg = self.job.action.leg(strategy.side);
                // It works at the broker, and it was not this job that sent it: a moment ago perhaps.
                let others = strategy.working.is_some_and(|working| working.leg(strategy.side) == leg);
                let alone = leg == Leg::Exit && sent_alone != SentAlone::No && !self.job.unasked;
                if (others || alone) && self.job.sent_ms.is_none() {
                    self.job.doubt(self.now.mono_ms);
                }
                self.copied_ms = self.asked_ms;
                self.restored = restored;
                self.job.must_query |= restored && leg == Leg::Exit;
                self.later_alone = match sent_alone {
                    SentAlone::Later(attempt) => Some(attempt),
                    SentAlone::Same | SentAlone::No => None,
                };
                (self.strategy, self.grace_ms, self.entries_wait) = (Some(strategy), grace_ms, entries_wait);
                self.risk = risk;
                self.decide()
            }
            // It was there when it was claimed: Redis has lost everything since, and it comes back.
            Found::Gone if self.job.unasked => self.give_back("the strategy is gone since it was claimed".to_owned()),
            Found::Gone => self.to(State::Discarding, Effect::Discard { why: "the strategy is gone".to_owned() }),
            Found::Broken(why) => {
                tracing::error!(key = self.job.key, action = %self.job.action, why, "ORDER NOT POSSIBLE: the strategy's hash is not valid; mend its fields");
                self.release_and_wait(BROKEN_WAIT_MS, Waits::Turn, "the strategy's hash is not valid")
            }
            Found::Trouble(why) => self.give_back(why),
        }
    }

    pub(super) fn held(&mut self) -> Effect {
        self.held_because("another order of the strategy is in flight")
    }

    pub(super) fn held_because(&mut self, why: &str) -> Effect {
        // Another engine's order may work for hours.
        let ms = HELD_WAIT_MS << self.held.min(3);
        self.held += 1;
        self.wait(ms, Waits::AnotherOrder, why)
    }
}
