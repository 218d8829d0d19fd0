//! What the machine is told and what it asks for.

use super::LATER_ATTEMPTS_MAX;
use crate::broker::{BrokerError, Idempotency, OrderRef, OrderRequest, OrderState};
use std::fmt;
use std::sync::Arc;
use strat_client::{LockToken, ReportRequest};
use strat_core::risk::{Cleared, Denied, Intent, Refused, RiskApproved, Rule, approve};
use strat_core::{Action, Ladder, Strategy};

/// What does not change while the engine runs.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How the broker treats repeated ids.
    pub idempotency: Idempotency,
    /// How far the broker's clock may be from Redis's, ms.
    pub skew_ms: i64,
    /// A request that was sent shows in a look-up after this at the latest, ms: only then absence is proof.
    pub settle_ms: i64,
    /// A lock that was asked for no longer ago needs no second look before the order is sent, ms.
    pub fresh_ms: i64,
    /// How far exits may trade from the last price, attempt by attempt.
    pub ladder: Ladder,
}

/// How the broker knows an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderName {
    /// Client order id.
    pub client_order_id: String,
    /// Whose account.
    pub user: String,
    /// Exchange symbol.
    pub symbol: String,
}

impl OrderName {
    /// The name of an order that is to be sent.
    #[must_use]
    pub fn of(request: &OrderRequest) -> Self {
        let OrderRequest { client_order_id, user, symbol, .. } = request.clone();
        Self { client_order_id, user, symbol }
    }

    /// As a broker wants it.
    #[must_use]
    pub fn order_ref(&self) -> OrderRef<'_> {
        OrderRef { client_order_id: &self.client_order_id, user: &self.user, symbol: &self.symbol }
    }
}

/// The time, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Epoch ms: what strategies, brokers and people go by. Somebody may set it.
    pub wall_ms: i64,
    /// Ms since some moment: only ever goes on. What waiting goes by.
    pub mono_ms: i64,
}

impl Now {
    /// Both clocks at the same number.
    #[must_use]
    pub const fn at(ms: i64) -> Self {
        Self { wall_ms: ms, mono_ms: ms }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Begin, or go on after a wait. `epoch`: the one to claim with; `None` while the gate is shut.
    Go {
        /// The epoch.
        epoch: Option<Arc<str>>,
        /// When the gate opened for it, by the monotonic clock: memory that was lost before may have sent anything.
        opened_ms: Option<i64>,
        /// Redis does not watch: what is sent without it goes on so.
        redis_away: bool,
    },
    /// Outcome of [`Effect::Claim`].
    Claimed(Claim),
    /// Outcome of [`Effect::Inspect`]; `None` where it could not be told.
    Inspected(Option<Holder>),
    /// Outcome of [`Effect::Read`].
    Read(Found),
    /// Outcome of [`Effect::Lookup`].
    Looked(Result<Option<OrderState>, BrokerError>),
    /// Outcome of [`Effect::Cancel`].
    Canceled(Result<(), BrokerError>),
    /// Outcome of [`Effect::Extend`]: whether the lock is still held, or why nobody knows.
    Extended(Result<bool, String>),
    /// Outcome of [`Effect::Submit`].
    Submitted(Result<OrderState, BrokerError>),
    /// Outcome of [`Effect::Report`].
    Reported(Result<(), ReportFailure>),
    /// Outcome of [`Effect::Release`], whatever it was: a lock that could not be given back runs out.
    Released,
    /// Outcome of [`Effect::Discard`].
    Discarded(Result<(), String>),
    /// While watching: the broker said something of the order.
    Execution(OrderState),
    /// While watching: the lock is gone.
    LockLost,
    /// While watching: the gate has opened for another epoch. What was reported may be lost.
    EpochChanged,
    /// While watching: the broker has not said anything for a while.
    Silent,
}

/// The next thing to do. One at a time: its outcome is the next input.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// `STRAT.LOCK … EPOCH epoch`.
    Claim {
        /// Epoch to claim with.
        epoch: Arc<str>,
    },
    /// Who holds the lock, and the strategy as it is.
    Inspect,
    /// `STRAT.GET`.
    Read,
    /// Look an order up at the broker.
    Lookup(OrderName),
    /// Ask the broker for an order's cancellation.
    Cancel(OrderName),
    /// `STRAT.EXTEND`.
    Extend,
    /// Send the order.
    Submit(Cleared<OrderRequest>),
    /// `STRAT.REPORT`.
    Report(ReportRequest),
    /// `STRAT.UNLOCK`.
    Release,
    /// Acknowledge and delete the queue entry: nothing is to be done for it.
    Discard {
        /// Why.
        why: String,
    },
    /// Then [`Input::Go`].
    Wait {
        /// How long, ms.
        ms: i64,
        /// What for.
        waits: Waits,
        /// Why, for the log.
        why: String,
    },
    /// [`Input::Go`] once the gate is open.
    AwaitEpoch,
    /// Until an [`Input::Execution`], [`Input::LockLost`] or [`Input::Silent`].
    Watch,
    /// Nothing is left to do.
    Done,
}

/// What a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Time alone helps. The lock is kept.
    Pause,
    /// Time alone helps; others may have their turn.
    Turn,
    /// The end of another order of the strategy: when one ends, it is worth a look.
    AnotherOrder,
    /// A person has to decide.
    Person,
}

/// Outcome of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is ours.
    Token(LockToken),
    /// Somebody holds the lock.
    Held,
    /// The strategy does not allow the action any more, or is gone.
    NotWanted(String),
    /// The epoch is over.
    Unsynced,
    /// The hash is not valid.
    Broken(String),
    /// No usable answer.
    Trouble(String),
}

impl Claim {
    /// Everything that [`Claim::refusal`] may answer.
    pub const REFUSALS: [&str; 5] = ["held", "not_wanted", "unsynced", "broken", "trouble"];

    /// Why it is not ours, as a label; `None` where it is.
    #[must_use]
    pub const fn refusal(&self) -> Option<&'static str> {
        let at = match self {
            Self::Token(_) => return None,
            Self::Held => 0,
            Self::NotWanted(_) => 1,
            Self::Unsynced => 2,
            Self::Broken(_) => 3,
            Self::Trouble(_) => 4,
        };
        Some(Self::REFUSALS[at])
    }
}

/// Who holds a strategy's lock.
#[derive(Debug, Clone)]
pub struct Holder {
    /// What for.
    pub action: Option<Action>,
    /// It is this engine, by another of its jobs, or by a claim whose answer was lost.
    pub own: bool,
    /// The strategy, if it is there and valid.
    pub strategy: Option<Strategy>,
}

/// Outcome of reading the strategy.
#[derive(Debug, Clone)]
pub enum Found {
    /// There it is.
    Strategy(Box<Seen>),
    /// It was deleted.
    Gone,
    /// The hash is not valid.
    Broken(String),
    /// No usable answer.
    Trouble(String),
}

/// A strategy as it was read, and what else bears on its order.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its state.
    pub strategy: Strategy,
    /// How late an entry may be sent, ms; `None`: as late as it gets.
    pub grace_ms: Option<i64>,
    /// Entries have to wait this long, ms: what keeps them durable is away, or has not heard of this one yet.
    pub entries_wait: Option<i64>,
    /// What its limits say of an entry.
    pub risk: Verdict,
    /// This engine may have sent the same exit, or a later attempt of it, by another way: without Redis.
    pub sent_alone: SentAlone,
    /// The cycle is older than Redis's memory: later attempts of its exit may have been forgotten.
    pub restored: bool,
}

/// What an entry's limits say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nobody was asked: it is an exit, or waits for something else.
    #[default]
    NotAsked,
    /// It may be sent.
    Approved(RiskApproved<Intent>),
    /// It is against a rule.
    Refused(Refused),
    /// What its limits depend on is not known now.
    Later(&'static str),
}

impl Verdict {
    /// Of an entry where nothing is limited.
    #[must_use]
    pub fn without_limits(intent: Intent) -> Self {
        match approve(intent, &[]) {
            Ok(approved) => Self::Approved(approved),
            Err(denied) => denied.into(),
        }
    }
}

impl From<Denied> for Verdict {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(refused) => Self::Refused(refused),
            Denied::Unknown(Rule::MaxDailyLoss) => Self::Later("the profit and loss of the day is not known now"),
            Denied::Unknown(_) => Self::Later("its limits need a fresh price of its symbol"),
        }
    }
}

/// What this engine knows of a strategy's exit without having it from Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentAlone {
    /// Nothing.
    No,
    /// It may have sent the attempt that the strategy is at.
    Same,
    /// It may have sent this later one.
    Later(u64),
}

impl SentAlone {
    /// From the attempt that the strategy is at, and which attempts the engine knows of.
    #[must_use]
    pub fn of(attempt: u64, knows: impl Fn(u64) -> bool) -> Self {
        if let Some(later) = (attempt + 1..=attempt + LATER_ATTEMPTS_MAX).find(|later| knows(*later)) {
            return Self::Later(later);
        }
        if knows(attempt) { Self::Same } else { Self::No }
    }
}

/// Why a report was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportFailure {
    /// The lock is not ours any more, or the strategy is gone. Nothing was written.
    NotOurs(String),
    /// No usable answer, or a refusal that may pass.
    Trouble(String),
}

impl fmt::Display for ReportFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs(why) | Self::Trouble(why) => f.write_str(why),
        }
    }
}

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not ours yet.
    Claiming,
    /// Finding out what there is to do.
    Deciding,
    /// On its way to the broker.
    Submitting,
    /// Sent, outcome unknown.
    Unknown,
    /// The broker has it.
    Acknowledged,
    /// Filled in part.
    Partial,
    /// Nothing is left to do.
    Ended,
}
