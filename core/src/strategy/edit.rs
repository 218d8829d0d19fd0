//! A user creates, replaces, changes or stops a strategy.

use super::{Change, Fields, Position, Salvaged, Status, Strategy};
use crate::decimal::Quantity;
use crate::event::EventType;
use crate::field::{self, OnStop, Writer};
use crate::key::StrategyKey;
use crate::order::Action;
use crate::refusal::{Code, Refusal, shown};

/// Fields that every strategy has; `SET` writes them where they are not given.
pub const DEFAULTS: &[(&str, &str)] =
    &[("side", "LONG"), ("status", "RUNNING"), ("position", "NONE"), ("pending", ""), ("cycle", "0")];

/// A `SET` to judge.
#[derive(Debug)]
pub struct SetInput<'a> {
    /// Identity, from the key.
    pub key: StrategyKey<'a>,
    /// Names and values as given.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// What stands there now.
    pub old: Option<&'a Strategy>,
    /// What could be told of it where it does not parse; `old` is `None` then.
    pub salvaged: Option<Salvaged>,
    /// Epoch ms.
    pub now_ms: i64,
}

impl SetInput<'_> {
    /// What counting goes on from. Only what is idle is replaced.
    fn before(&self) -> Result<Option<Salvaged>, Refusal> {
        let why = match (self.old, self.salvaged) {
            (Some(old), _) if !old.is_idle() => {
                "the strategy has an open position or an order in flight: stop it first".to_owned()
            }
            (None, Some(salvaged)) if !salvaged.idle => format!(
                "the hash at {} does not parse and may be in the market: put the field right with HSET, or DEL it",
                self.key.hash()
            ),
            (old, salvaged) => return Ok(old.map(Salvaged::from).or(salvaged)),
        };
        Err(Refusal::new(Code::Busy, why))
    }
}

impl Strategy {
    /// Creates a strategy, or replaces an idle one. The version goes on counting; so does the cycle unless it is given higher.
    /// The change's fields are the whole new hash, without `version` and `updated_at`.
    /// A `pending` action, else a `working` one, is enqueued again: that is how a strategy in flight is restored.
    ///
    /// Returns the version to write with it.
    ///
    /// # Errors
    /// `BUSY` where the old one is not idle, or may not be, else the refusal of the first bad field.
    pub fn set(input: &SetInput<'_>) -> Result<(Change, u64), Refusal> {
        let old = input.before()?;
        let mut fields = checked_fields(input.fields)?;
        for (name, value) in [("id", input.key.strategy), ("user_id", input.key.user)] {
            put(&mut fields, name, value.to_owned());
        }
        for (name, value) in DEFAULTS {
            if value_of(&fields, name).is_none() {
                fields.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        let new = Self::of_fields(&fields)?;
        new.check_side()?;
        let cycle = match old {
            // An adopted position is a cycle of its own: in the old one the exit's order id is used up.
            Some(old) if new.position.is_open() => new.cycle.max(old.cycle + 1),
            old => new.cycle.max(old.map_or(0, |old| old.cycle)),
        };
        put(&mut fields, "cycle", cycle.to_string());
        // Written down, so that another quantity later does not change what is held.
        if new.position.is_open() && is_empty(value_of(&fields, "filled_quantity")) {
            put(&mut fields, "filled_quantity", new.filled.to_string());
        }
        // A position that comes without an order begins its cycle now; an order in flight may be older than this hash.
        let in_flight = new.pending.or(new.working).is_some();
        let adopted = cycle > new.cycle || (new.cycle_at.is_none() && !in_flight);
        if new.position.is_open() && adopted {
            put(&mut fields, "cycle_at", input.now_ms.to_string());
        }
        let version = new.version.max(old.map_or(0, |old| old.version)) + 1;
        fields.retain(|(name, _)| name != "version" && name != "updated_at");
        let running = new.status == Status::Running;
        let mut change = Change::new(if running { EventType::StrategyStarted } else { EventType::StrategyUpdated });
        change.fields = fields;
        // An order that works has its queue entry too: somebody must go on watching it.
        if let Some(action) = new.pending.or(new.working) {
            change.enqueue = Some(super::Enqueue { action, cycle, price: String::new(), ts: input.now_ms });
        }
        Ok((change, version))
    }

    /// Changes some fields. `current` gives the hash's texts, so that what is already so changes nothing.
    /// `None`: nothing differs.
    ///
    /// # Errors
    /// The refusal of the first bad field; `BUSY` where the state does not allow the change.
    pub fn update<'a>(
        &self,
        fields: &[(&[u8], &[u8])],
        current: impl Fn(&str) -> Option<&'a [u8]>,
        now_ms: i64,
    ) -> Result<Option<Change>, Refusal> {
        let given = checked_fields(fields)?;
        if let Some((name, _)) =
            given.iter().find(|(name, _)| field::lookup(name).is_some_and(|spec| spec.writer != Writer::Anyone))
        {
            return Err(Refusal::new(Code::BadField, format!("{name} is kept by the server and cannot be updated")));
        }
        let mut changed: Fields = given
            .into_iter()
            .filter(|(name, value)| current(name).unwrap_or_default() != value.as_bytes() || current(name).is_none())
            .collect();
        if changed.is_empty() {
            return Ok(None);
        }
        let held = || current("filled_quantity").is_some_and(|filled| !filled.is_empty());
        if self.position.is_open() && value_of(&changed, "quantity").is_some() && !held() {
            self.keep_held(&mut changed);
        }
        let read = |changed: &Fields| match self.after(changed) {
            Some(after) => Ok(after),
            None => Self::read(|name| value_of(changed, name).map(str::as_bytes).or_else(|| current(name))),
        };
        let after = read(&changed)?;
        self.check_update(&after)?;
        let mut changed = self.adopted(changed, &after, now_ms);
        // A best price that is given begins anew, and so does a trail that was taken away: what came before counts no more.
        let begins_anew = value_of(&changed, "trail_ref").is_some() || after.trail.is_none();
        if begins_anew && self.trail_from.is_some() {
            put(&mut changed, "trail_from", String::new());
        }
        let after = read(&changed)?;
        let kind = match (self.status, after.status) {
            (before, now) if before == now => EventType::StrategyUpdated,
            (_, Status::Running) => EventType::StrategyStarted,
            _ => EventType::StrategyStopped,
        };
        let mut change = Change::new(kind);
        change.fields = changed;
        if self.status == Status::Running && after.status != Status::Running {
            after.wind_down(&mut change, now_ms);
        }
        Ok(Some(change))
    }

    fn check_update(&self, after: &Self) -> Result<(), Refusal> {
        let busy = |why: &str| Err(Refusal::new(Code::Busy, why));
        // A cycle names orders at the broker: what it named once, it must not name again.
        if after.cycle < self.cycle {
            let why = format!("cycle {} is below {}: cycles only rise", after.cycle, self.cycle);
            return Err(Refusal::new(Code::BadField, why));
        }
        if after.cycle != self.cycle && !self.is_idle() {
            return busy("cycle cannot change while a position is open or an order is in flight");
        }
        let in_market = !self.is_idle();
        if in_market && (self.symbol != after.symbol || self.side != after.side) {
            return busy("symbol and side cannot change while a position is open or an order is in flight");
        }
        after.check_side()?;
        if self.entry_in_flight() && self.quantity != after.quantity {
            return busy("quantity cannot change while the entry is in flight");
        }
        if in_market && after.status != self.status && matches!(after.status, Status::Completed | Status::Failed) {
            return busy("a strategy in the market can only be STOPPED");
        }
        Ok(())
    }

    /// A position of the wrong side would be doubled by its exit.
    fn check_side(&self) -> Result<(), Refusal> {
        if !self.position.is_open() || self.position == Position::opened(self.side) {
            return Ok(());
        }
        let why = format!("position {} does not fit side {}", self.position, self.side);
        Err(Refusal::new(Code::BadField, why))
    }

    /// A user who says that a position is open that no order of ours opened begins a cycle: what the last
    /// one filled does not count, and its order ids are used up.
    fn adopted(&self, mut changed: Fields, after: &Self, now_ms: i64) -> Fields {
        let opened = after.position.is_open() && !self.position.is_open();
        if !opened || self.entry_in_flight() || self.exit_in_flight() {
            return changed;
        }
        let fresh = [
            ("cycle", self.cycle + 1, after.cycle == self.cycle),
            ("exit_quantity", 0, self.exited > Quantity::ZERO),
            ("prior_exit_quantity", 0, self.prior_exit.0 > Quantity::ZERO),
            ("attempt", 0, self.attempt > 0),
        ];
        for (name, value, wanted) in fresh {
            if wanted && value_of(&changed, name).is_none() {
                changed.push((name.to_owned(), value.to_string()));
            }
        }
        let left = [
            ("entry_price", self.entry_price.is_some()),
            ("trail_ref", self.trail_ref.is_some()),
            ("trail_from", self.trail_from.is_some()),
        ];
        for (name, known) in left {
            if known && value_of(&changed, name).is_none() {
                changed.push((name.to_owned(), String::new()));
            }
        }
        changed.push(("cycle_at".to_owned(), now_ms.to_string()));
        if is_empty(value_of(&changed, "filled_quantity")) {
            put(&mut changed, "filled_quantity", after.quantity.to_string());
        }
        changed
    }

    /// A position that somebody wrote by hand counts as filled by `quantity`: it still does when that changes.
    fn keep_held(&self, changed: &mut Fields) {
        if is_empty(value_of(changed, "filled_quantity")) {
            put(changed, "filled_quantity", self.filled.to_string());
        }
    }

    /// What stopping does to orders in flight and to an open position.
    fn wind_down(&self, change: &mut Change, now_ms: i64) {
        let entry_in_flight = self.entry_in_flight();
        let open = self.open_quantity();
        if (open == Quantity::ZERO && !entry_in_flight) || self.exit_in_flight() {
            return;
        }
        if self.on_stop == OnStop::Leave && !entry_in_flight {
            change.with("unguarded_quantity", open).with("symbol", &self.symbol);
            change
                .set_if(self.retry_at.is_some(), "retry_at", "")
                .set_if(self.retry_action.is_some(), "retry_action", "")
                .publish
                .push(EventType::StrategyError);
            return;
        }
        change.enqueue(Action::SquareOff, self.cycle, "", now_ms).with("symbol", &self.symbol).with("quantity", open);
    }

    /// Parses a list of fields as a hash.
    ///
    /// # Errors
    /// As [`Strategy::read`].
    pub fn of_fields(fields: &Fields) -> Result<Self, Refusal> {
        Self::read(|name| value_of(fields, name).map(str::as_bytes))
    }

    /// The strategy is deleted. What it leaves in the market is said loudly: nobody guards it any more.
    #[must_use]
    pub fn remove(&self) -> Change {
        let mut change = Change::new(EventType::StrategyRemoved);
        if !self.is_idle() {
            change.with("symbol", &self.symbol).with("unguarded_quantity", self.open_quantity());
            change.publish.push(EventType::StrategyError);
        }
        change
    }
}

fn value_of<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn is_empty(value: Option<&str>) -> bool {
    value.is_none_or(str::is_empty)
}

fn put(fields: &mut Fields, name: &str, value: String) {
    fields.retain(|(known, _)| known != name);
    fields.push((name.to_owned(), value));
}

/// Checks every field; a name given twice is refused rather than guessed at.
fn checked_fields(given: &[(&[u8], &[u8])]) -> Result<Fields, Refusal> {
    if given.len() > field::FIELDS_MAX {
        return Err(Refusal::new(Code::BadField, format!("more than {} fields", field::FIELDS_MAX)));
    }
    let mut fields = Fields::with_capacity(given.len() + DEFAULTS.len() + 4);
    for (name, value) in given {
        field::check(name, value)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (name, value) = (text(name), text(value));
        if value_of(&fields, &name).is_some() {
            return Err(Refusal::new(Code::BadField, format!("field {} is given twice", shown(name.as_bytes()))));
        }
        fields.push((name, value));
    }
    Ok(fields)
}
