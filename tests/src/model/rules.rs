//! The rules of one strategy in the words of the documentation, apart from the code of the module: whole numbers
//! only, and no text anywhere.

/// First wait of an exit that died, and the longest, as the module has them by default, ms.
const BACKOFF_MS: (i64, i64) = (500, 30_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Buy,
    Sell,
    StopLoss,
    TakeProfit,
    SquareOff,
}

impl Action {
    pub(super) const ALL: [Self; 5] = [Self::Buy, Self::Sell, Self::StopLoss, Self::TakeProfit, Self::SquareOff];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
            Self::StopLoss => "STOPLOSS",
            Self::TakeProfit => "TAKEPROFIT",
            Self::SquareOff => "SQUAREOFF",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Running,
    Stopped,
    Completed,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    None,
    Open,
    /// Closed at its time or by square-off.
    Closed,
    ExitedBySl,
    ExitedByTp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exec {
    New,
    PartialFill,
    Fill,
    Canceled,
    Rejected,
    Expired,
}

impl Exec {
    fn ends(self) -> bool {
        !matches!(self, Self::New | Self::PartialFill)
    }

    pub(super) fn fills(self) -> bool {
        matches!(self, Self::PartialFill | Self::Fill)
    }
}

/// An order that goes into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) action: Action,
    pub(super) cycle: u64,
    /// Into `queue:orders`, not `queue:exits`.
    pub(super) entry: bool,
}

/// What a claim, a report or an update may be refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strategy {
    pub(super) symbol: usize,
    pub(super) long: bool,
    pub(super) quantity: i64,
    pub(super) stop: Option<i64>,
    pub(super) target: Option<i64>,
    pub(super) leaves: bool,
    pub(super) status: Status,
    pub(super) position: Position,
    pub(super) pending: Option<Action>,
    pub(super) working: Option<Action>,
    pub(super) filled: i64,
    pub(super) exited: i64,
    /// Part of `exited` that dead attempts filled.
    pub(super) prior: i64,
    pub(super) attempt: u64,
    pub(super) retry: Option<(i64, Action)>,
    pub(super) entry_at: Option<i64>,
    pub(super) exit_at: Option<i64>,
    pub(super) cycle: u64,
    pub(super) version: u64,
}

impl Strategy {
    pub(super) fn entry(&self) -> Action {
        if self.long { Action::Buy } else { Action::Sell }
    }

    fn timed_exit(&self) -> Action {
        if self.long { Action::Sell } else { Action::Buy }
    }

    pub(super) fn is_entry(&self, action: Action) -> bool {
        action == self.entry()
    }

    pub(super) fn open(&self) -> i64 {
        if self.position == Position::Open { (self.filled - self.exited).max(0) } else { 0 }
    }

    fn in_flight(&self, entry: bool) -> bool {
        [self.pending, self.working].into_iter().flatten().any(|action| self.is_entry(action) == entry)
    }

    fn working_entry(&self) -> bool {
        self.working.is_some_and(|action| self.is_entry(action))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open() == 0 && self.pending.is_none() && self.working.is_none()
    }

    /// The armed levels: the one at or below which it fires, and the one at or above.
    pub(super) fn levels(&self) -> (Option<i64>, Option<i64>) {
        let armed =
            self.status == Status::Running && self.open() > 0 && self.pending.is_none() && !self.in_flight(false);
        if !armed {
            return (None, None);
        }
        // The level of an exit that waits to be tried again is off; a stop overtakes the retry of another exit.
        let stop = self.stop.filter(|_| self.retry.is_none_or(|(_, action)| action != Action::StopLoss));
        let target = self.target.filter(|_| self.retry.is_none());
        if self.long { (stop, target) } else { (target, stop) }
    }

    /// The exit that a price fires, the stop before the target.
    pub(super) fn crossed(&self, price: i64) -> Option<Action> {
        let (fall, rise) = self.levels();
        let (fell, rose) = (fall.is_some_and(|level| price <= level), rise.is_some_and(|level| price >= level));
        let (stop, target) = if self.long { (fell, rose) } else { (rose, fell) };
        if stop { Some(Action::StopLoss) } else { target.then_some(Action::TakeProfit) }
    }

    /// When the entry is due, and the exit.
    pub(super) fn times(&self) -> (Option<i64>, Option<i64>) {
        let running = self.status == Status::Running;
        let untouched = self.position == Position::None && self.pending.is_none() && self.working.is_none();
        let exit = match self.retry {
            _ if self.in_flight(false) => None,
            Some((at, _)) if self.open() > 0 => Some(at),
            _ => {
                let wanted = self.open() > 0 || self.position == Position::None || self.working_entry();
                self.exit_at.filter(|_| running && wanted)
            }
        };
        (self.entry_at.filter(|_| running && untouched), exit)
    }

    fn enqueue(&mut self, action: Action) -> Option<Order> {
        self.pending = Some(action);
        Some(Order { action, cycle: self.cycle, entry: self.is_entry(action) })
    }

    pub(super) fn fire(&mut self, price: i64) -> Option<Order> {
        let action = self.crossed(price)?;
        self.version += 1;
        self.enqueue(action)
    }

    fn begin_cycle(&mut self) {
        self.cycle += 1;
        (self.filled, self.exited, self.prior, self.attempt, self.retry) = (0, 0, 0, 0, None);
    }

    /// What the time asks; the exit's time beats the entry's.
    pub(super) fn due(&mut self, now: i64) -> Option<Order> {
        let (entry, exit) = self.times();
        if exit.is_some_and(|at| at <= now) {
            self.version += 1;
            if self.open() == 0 && !self.in_flight(true) {
                self.status = Status::Completed;
                return None;
            }
            let action = self.retry.map_or(self.timed_exit(), |(_, action)| action);
            return self.enqueue(action);
        }
        entry.filter(|at| *at <= now)?;
        self.version += 1;
        self.begin_cycle();
        self.enqueue(self.entry())
    }

    pub(super) fn may_claim(&self, action: Action) -> Result<(), Busy> {
        let entry = self.is_entry(action);
        let other_of_leg = self.working.is_some_and(|working| working != action && self.is_entry(working) == entry);
        let other_pending = self.pending.is_some_and(|pending| pending != action) && self.working != Some(action);
        let known = self.pending == Some(action) || self.working == Some(action);
        let possible = match entry {
            true => self.status == Status::Running && self.position == Position::None && !self.in_flight(false),
            false => self.open() > 0,
        };
        if other_of_leg || other_pending || !(known || possible) { Err(Busy) } else { Ok(()) }
    }

    /// Stops it: what is in the market is squared off, or left.
    pub(super) fn wind_down(&mut self) -> Option<Order> {
        let nothing = self.open() == 0 && !self.in_flight(true);
        if nothing || self.in_flight(false) {
            return None;
        }
        if self.leaves && !self.in_flight(true) {
            self.retry = None;
            return None;
        }
        self.enqueue(Action::SquareOff)
    }

    /// A report on the order for `action`, of which `cum` is filled. Answers what it enqueues.
    pub(super) fn report(&mut self, action: Action, exec: Exec, cum: i64, ts: i64) -> Result<Option<Order>, Busy> {
        if !self.is_entry(action) && self.working_entry() && !exec.fills() {
            return Err(Busy);
        }
        let before = self.clone();
        let order = if self.is_entry(action) {
            self.report_entry(action, exec, cum);
            None
        } else {
            self.report_exit(action, exec, cum, ts)
        };
        self.version += u64::from(exec.ends() || *self != before);
        Ok(order)
    }

    fn report_entry(&mut self, action: Action, exec: Exec, cum: i64) {
        if self.pending.is_none() && self.working != Some(action) && self.position == Position::None {
            self.begin_cycle();
        }
        let exit_works = self.working.filter(|working| *working != action);
        let exit_waits = self.pending.is_some_and(|pending| !self.is_entry(pending));
        let leaves = exec.ends()
            && exit_works.is_none()
            && self.status != Status::Running
            && self.leaves
            && self.pending == Some(Action::SquareOff);
        self.working = exit_works.or((!exec.ends()).then_some(action));
        self.pending = self.pending.filter(|pending| *pending != action && !leaves);
        let known = if self.position == Position::None { 0 } else { self.filled };
        let news = cum > known;
        if news {
            self.filled = cum;
        }
        let held = news || self.position == Position::Open;
        let all_sold = held && self.exited > 0 && self.filled <= self.exited;
        if exec.ends() && all_sold && self.working.is_none() && self.pending.is_none() {
            self.complete(Position::Closed);
        } else if held {
            self.position = Position::Open;
        }
        if leaves {
            self.retry = None;
        }
        if exec.ends() && exec != Exec::Fill && cum.max(known) == 0 && !exit_waits {
            if self.status == Status::Running {
                self.status = Status::Failed;
            }
            (self.entry_at, self.exit_at) = (None, None);
        }
    }

    fn report_exit(&mut self, action: Action, exec: Exec, cum: i64, ts: i64) -> Option<Order> {
        self.exited = self.exited.max(self.prior + cum);
        if !exec.ends() {
            if !self.working_entry() {
                self.working = Some(action);
                // All exits of an attempt are one order: it carries out what else was enqueued.
                self.pending = self.pending.filter(|pending| *pending == action || self.is_entry(*pending));
            }
            self.retry = None;
            return None;
        }
        if self.open() == 0 && !self.working_entry() {
            let entered = self.filled > 0 && self.position != Position::None;
            (self.pending, self.working) = (None, None);
            self.complete(match action {
                _ if !entered => Position::None,
                Action::StopLoss => Position::ExitedBySl,
                Action::TakeProfit => Position::ExitedByTp,
                _ => Position::Closed,
            });
            return None;
        }
        // Something is left, or may still come: another exit is another order.
        self.prior = self.exited;
        self.attempt += 1;
        self.working = self.working.filter(|working| self.is_entry(*working));
        if exec != Exec::Fill {
            self.pending = None;
            let wait = BACKOFF_MS.0.saturating_mul(1 << (self.attempt - 1).min(30)).min(BACKOFF_MS.1);
            self.retry = Some((ts + wait, action));
            return None;
        }
        if self.open() == 0 && self.status == Status::Running {
            (self.pending, self.retry) = (None, None);
            return None;
        }
        self.enqueue(action)
    }

    fn complete(&mut self, position: Position) {
        self.position = position;
        self.retry = None;
        if self.status == Status::Running {
            self.status = Status::Completed;
        }
    }
}
