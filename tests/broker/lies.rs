//! What the broker may do to whoever trusts it.

use std::fmt;
use std::str::FromStr;

macro_rules! lies {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// One way to lie.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Lie { $($(#[$doc])* $variant),+ }

        impl Lie {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As in `--lies` and in the ledger.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

lies! {
    /// The order is placed, the answer never comes.
    TimeoutPlaced = "timeout_placed",
    /// The answer never comes, and the order is placed a while later.
    TimeoutLate = "timeout_late",
    /// The request is lost, and so is the answer.
    TimeoutLost = "timeout_lost",
    /// The order is placed, the answer is a 5xx.
    ErrorPlaced = "error_placed",
    /// The request is lost, the answer is a 5xx.
    ErrorLost = "error_lost",
    /// The order is placed, the answer is unusable.
    GarbagePlaced = "garbage_placed",
    /// 429, and nothing is placed.
    RateLimit = "rate_limit",
    /// 422: refused at once. An honest answer, but a rare one.
    Refuse = "refuse",
    /// Acknowledged, then rejected by a report.
    Reject = "reject",
    /// Look-ups, lists and cancellations deny a new order for a while.
    NotFound = "not_found",
    /// Reports of fills come again, with the same number, with another, and out of turn.
    DuplicateFill = "duplicate_fill",
    /// A fill comes in after the cancellation was answered.
    LateFill = "late_fill",
    /// The end of an order is never reported; only look-ups and lists tell.
    LostTerminal = "lost_terminal",
    /// Fills a part, then cancels the rest by itself.
    PartialThenCancel = "partial_then_cancel",
    /// The answer takes long.
    Slow = "slow",
    /// A cancellation is not carried out, and not answered properly.
    CancelLost = "cancel_lost",
    /// A cancellation is carried out, and not answered properly.
    CancelUnanswered = "cancel_unanswered",
    /// A look-up, a list or a poll is answered by a 5xx, by garbage or not at all.
    ReadError = "read_error",
}

/// Percent of each lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lies([u8; Lie::ALL.len()]);

impl Lies {
    pub(crate) const fn percent(&self, lie: Lie) -> usize {
        self.0[lie as usize] as usize
    }
}

impl FromStr for Lies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lies = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, percent) =
                part.split_once('=').ok_or_else(|| format!("'{part}' is not of the form name=percent"))?;
            let lie = Lie::ALL.iter().find(|lie| lie.name() == name).ok_or_else(|| {
                let known: Vec<_> = Lie::ALL.iter().map(|lie| lie.name()).collect();
                format!("'{name}' is no lie; there are {}", known.join(", "))
            })?;
            let percent = percent.parse().ok().filter(|percent| *percent <= 100);
            lies.0[*lie as usize] = percent.ok_or_else(|| format!("'{part}' is not a percentage"))?;
        }
        Ok(lies)
    }
}

impl fmt::Display for Lies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = Lie::ALL.iter().filter(|lie| self.percent(**lie) > 0);
        let texts: Vec<_> = told.map(|lie| format!("{}={}", lie.name(), self.percent(*lie))).collect();
        f.write_str(&texts.join(","))
    }
}
