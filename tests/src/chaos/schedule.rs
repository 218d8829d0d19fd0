//! Which faults there are, and how often each comes.

use crate::rng::Rng;

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    KillEngine,
    KillEngines,
    KillRedis,
    KillReplica,
    FailOver,
    KillPostgres,
    KillBroker,
    KillEnginesAndRedis,
    KillAll,
    PauseEngine,
    PauseRedis,
    Flush,
    RefuseWrites,
    FillDisk,
    SetClock,
    CutLink,
    SpoilLink,
    Lies,
    CrashPoint,
    TimeEngine,
    TimeRedis,
}

/// How often each comes, as shares of their sum.
const SHARES: &[(usize, Fault)] = &[
    (30, Fault::KillEngine),
    (6, Fault::KillEngines),
    (12, Fault::KillRedis),
    (2, Fault::KillReplica),
    (3, Fault::FailOver),
    (6, Fault::KillPostgres),
    (8, Fault::KillBroker),
    (5, Fault::KillEnginesAndRedis),
    (2, Fault::KillAll),
    (4, Fault::PauseEngine),
    (3, Fault::PauseRedis),
    (3, Fault::Flush),
    (3, Fault::RefuseWrites),
    (8, Fault::FillDisk),
    (12, Fault::SetClock),
    (95, Fault::CutLink),
    (60, Fault::SpoilLink),
    (40, Fault::Lies),
    (8, Fault::CrashPoint),
    (3, Fault::TimeEngine),
    (3, Fault::TimeRedis),
];

/// Lies that come in bursts.
pub(super) const LIES: &[&str] = &[
    "timeout_placed",
    "timeout_late",
    "timeout_lost",
    "error_placed",
    "garbage_placed",
    "rate_limit",
    "reject",
    "refuse",
    "not_found",
    "duplicate_fill",
    "late_fill",
    "lost_terminal",
    "partial_then_cancel",
    "slow",
    "cancel_lost",
    "read_error",
];

impl Fault {
    /// `gentle`: of those only that kill and stop nobody.
    pub(super) fn draw(rng: &mut Rng, gentle: bool) -> Self {
        loop {
            let mut at = rng.below(SHARES.iter().map(|(share, _)| share).sum());
            for (share, fault) in SHARES {
                if at < *share {
                    if !gentle || fault.is_gentle() {
                        return *fault;
                    }
                    break;
                }
                at -= share;
            }
        }
    }

    const fn is_gentle(self) -> bool {
        matches!(self, Self::CutLink | Self::SpoilLink | Self::Lies | Self::SetClock)
    }
}
