//! The real thing: a server with the module, compared with the model after every step.

use super::rules::{Action, Exec, Order, Position, Status, Strategy};
use super::steps::Machine;
use super::world::{Answer, Edit, Epoch, KEYS, Set, Step, Token, World};
use crate::resp::{Conn, Value};
use crate::servers::Redis;
use crate::support::until;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);
const SYMBOLS: [&str; super::world::SYMBOLS] = ["IBM", "M&M"];

pub(super) struct System {
    conn: std::cell::RefCell<Conn>,
    /// Tokens of the locks in hand.
    tokens: BTreeMap<usize, String>,
    first_epoch: String,
    // Dropped last.
    _redis: Redis,
}

fn hash(key: usize) -> String {
    format!("user:u{}:strategy:{key}", key % 2)
}

fn or_empty(number: Option<i64>) -> String {
    number.map_or_else(|| "\u{0}".to_owned(), |number| number.to_string())
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Running => "RUNNING",
        Status::Stopped => "STOPPED",
        Status::Completed => "COMPLETED",
        Status::Failed => "FAILED",
    }
}

fn position_word(position: Position, long: bool) -> &'static str {
    match (position, long) {
        (Position::None, _) => "NONE",
        (Position::Open, true) => "BOUGHT",
        (Position::Open, false) => "SHORTED",
        (Position::Closed, true) => "SOLD",
        (Position::Closed, false) => "COVERED",
        (Position::ExitedBySl, _) => "EXITED_BY_SL",
        (Position::ExitedByTp, _) => "EXITED_BY_TP",
    }
}

fn times_words(long: bool) -> (&'static str, &'static str) {
    if long { ("buy_at", "sell_at") } else { ("sell_at", "buy_at") }
}

fn set_line(key: usize, set: &Set) -> String {
    let (entry_at, exit_at) = times_words(set.long);
    let position = if set.open { Position::Open } else { Position::None };
    format!(
        "STRAT.SET {} {} symbol {} side {} quantity {} stop_loss {} take_profit {} on_stop {} status {} position {} {entry_at} {} {exit_at} {}",
        hash(key),
        if set.nx { "NX" } else { "" },
        SYMBOLS[set.symbol],
        if set.long { "LONG" } else { "SHORT" },
        set.quantity,
        or_empty(set.stop),
        or_empty(set.target),
        if set.leaves { "LEAVE" } else { "SQUAREOFF" },
        if set.running { "RUNNING" } else { "STOPPED" },
        position_word(position, set.long),
        or_empty(set.entry_at),
        or_empty(set.exit_at),
    )
}

fn exec_word(exec: Exec) -> &'static str {
    match exec {
        Exec::New => "NEW",
        Exec::PartialFill => "PARTIAL_FILL",
        Exec::Fill => "FILL",
        Exec::Canceled => "CANCELED",
        Exec::Rejected => "REJECTED",
        Exec::Expired => "EXPIRED",
    }
}

impl System {
    fn token(&self, key: usize, token: Token) -> String {
        let held = self.tokens.get(&key).filter(|_| token == Token::Held);
        held.cloned().unwrap_or_else(|| "7-7".to_owned())
    }

    /// The command of a step; some have none.
    fn line(&self, step: &Step, before: &BTreeMap<String, String>) -> Option<String> {
        Some(match step {
            Step::Set(key, set) => set_line(*key, set),
            Step::Update(key, edit, token, version) => self.update_line(*key, *edit, *token, *version, before),
            Step::Del(key) => format!("STRAT.DEL {}", hash(*key)),
            Step::Tick(symbol, price) => format!("STRAT.SLCHECK {} {price} TS 1500", SYMBOLS[*symbol]),
            Step::Due(now) => format!("STRAT.DUE {now}"),
            Step::Lock(key, action, epoch) => {
                let epoch = match epoch {
                    Epoch::None => String::new(),
                    Epoch::Current => format!("EPOCH {}", self.conn.borrow_mut().run("STRAT.EPOCH").text()),
                    Epoch::Over => format!("EPOCH {}", self.first_epoch),
                };
                format!("STRAT.LOCK {} {} engine 3600000 {epoch}", hash(*key), action.word())
            }
            Step::Extend(key, token) => format!("STRAT.EXTEND {} {} 3000000", hash(*key), self.token(*key, *token)),
            Step::Unlock(key, token) => format!("STRAT.UNLOCK {} {}", hash(*key), self.token(*key, *token)),
            Step::Report(key, token, exec, cum, ts) => {
                let filled = if *cum > 0 { format!("CUMQTY {cum} AVGPX 100.5") } else { String::new() };
                let token = self.token(*key, *token);
                format!("STRAT.REPORT {} {token} {} {filled} ORDER o TS {ts}", hash(*key), exec_word(*exec))
            }
            Step::Expire(_) | Step::NewEpoch | Step::Reload | Step::Panic => return None,
        })
    }

    fn update_line(
        &self,
        key: usize,
        edit: Edit,
        token: Option<Token>,
        right_version: Option<bool>,
        before: &BTreeMap<String, String>,
    ) -> String {
        // Which of the two times is the entry's is the side's matter.
        let (entry_at, exit_at) = times_words(before.get("side").is_none_or(|side| side == "LONG"));
        let (name, value) = match edit {
            Edit::Stop(level) => ("stop_loss", or_empty(level)),
            Edit::Target(level) => ("take_profit", or_empty(level)),
            Edit::EntryAt(at) => (entry_at, or_empty(at)),
            Edit::ExitAt(at) => (exit_at, or_empty(at)),
            Edit::Leaves(leaves) => ("on_stop", if leaves { "LEAVE" } else { "SQUAREOFF" }.to_owned()),
            Edit::Quantity(quantity) => ("quantity", quantity.to_string()),
            Edit::Symbol(symbol) => ("symbol", SYMBOLS[symbol].to_owned()),
            Edit::Status(status) => ("status", status_word(status).to_owned()),
        };
        let version: u64 = before.get("version").map_or(0, |version| version.parse().unwrap());
        let version =
            right_version.map_or_else(String::new, |right| format!("IFVERSION {}", version + u64::from(!right)));
        let token = token.map_or_else(String::new, |token| format!("TOKEN {}", self.token(key, token)));
        format!("STRAT.UPDATE {} {version} {token} {name} {value}", hash(key))
    }

    fn act(&mut self, step: &Step) -> Value {
        let before = match step {
            Step::Update(key, ..) => self.conn.get_mut().run(&format!("HGETALL {}", hash(*key))).fields(),
            _ => BTreeMap::new(),
        };
        if let Some(line) = self.line(step, &before) {
            // A NUL stands for an empty word.
            let words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches('\u{0}')).collect();
            let reply = self.conn.get_mut().call(&words);
            if let (Step::Lock(key, ..), Value::Bulk(token)) = (step, &reply) {
                self.tokens.insert(*key, String::from_utf8_lossy(token).into_owned());
            }
            return reply;
        }
        let conn = self.conn.get_mut();
        match step {
            Step::Expire(key) => conn.run(&format!("PEXPIRE lock:order:u{}:{key} 0", key % 2)),
            Step::NewEpoch => {
                conn.run("SELECT 9");
                conn.run("FLUSHDB");
                conn.run("SELECT 0")
            }
            Step::Reload => conn.run("DEBUG RELOAD"),
            _ => {
                conn.run("STRAT.DEBUG PANIC COMMAND");
                conn.raw("STRAT.EPOCH");
                until("the books are rebuilt", LIMIT, || (!conn.raw("STRAT.EPOCH").is_error()).then_some(Value::Nil))
            }
        }
    }
}

fn check_answer(step: &Step, reply: &Value, expected: &Answer) {
    let fits = match (expected, reply) {
        (Answer::Anything, _) | (Answer::Nil, Value::Nil) | (Answer::Token, Value::Bulk(_)) => true,
        (Answer::Number(number), Value::Int(found)) => number == found,
        (Answer::Numbers(numbers), Value::Array(found)) => found.iter().map(Value::int).collect::<Vec<_>>() == *numbers,
        (Answer::Refused(code), Value::Error(_)) => reply.code() == *code,
        _ => false,
    };
    assert!(fits, "{step:?} answers {reply:?}, the model says {expected:?}");
}

/// What the model says of the fields that both know.
fn fields_of(strategy: &Strategy) -> BTreeMap<&'static str, String> {
    let action = |action: Option<Action>| action.map_or("", Action::word).to_owned();
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    let (entry_at, exit_at) = times_words(strategy.long);
    BTreeMap::from([
        ("symbol", SYMBOLS[strategy.symbol].to_owned()),
        ("quantity", strategy.quantity.to_string()),
        ("stop_loss", number(strategy.stop)),
        ("take_profit", number(strategy.target)),
        ("status", status_word(strategy.status).to_owned()),
        ("position", position_word(strategy.position, strategy.long).to_owned()),
        ("pending", action(strategy.pending)),
        ("working", action(strategy.working)),
        ("filled_quantity", strategy.filled.to_string()),
        ("exit_quantity", strategy.exited.to_string()),
        ("prior_exit_quantity", strategy.prior.to_string()),
        ("attempt", strategy.attempt.to_string()),
        ("retry_at", number(strategy.retry.map(|(at, _)| at))),
        ("retry_action", action(strategy.retry.map(|(_, action)| action))),
        (entry_at, number(strategy.entry_at)),
        (exit_at, number(strategy.exit_at)),
        ("cycle", strategy.cycle.to_string()),
        ("version", strategy.version.to_string()),
    ])
}

fn check_state(conn: &mut Conn, world: &World) {
    for key in 0..KEYS {
        let found = conn.run(&format!("HGETALL {}", hash(key))).fields();
        let Some(strategy) = world.strategies.get(&key) else {
            assert!(found.is_empty(), "{} should be gone: {found:?}", hash(key));
            continue;
        };
        for (name, expected) in fields_of(strategy) {
            let value = found.get(name).map_or("", String::as_str);
            // A count that was never written is 0.
            let same = value == expected || (value.is_empty() && expected == "0");
            assert!(same, "{} of {} is '{value}', the model says '{expected}': {found:?}", name, hash(key));
        }
        let locked = conn.run(&format!("EXISTS lock:order:u{}:{key}", key % 2)).int() == 1;
        assert_eq!(locked, world.locks.contains_key(&key), "lock of {}", hash(key));
    }
    let mut running = conn.run("SMEMBERS active_strategies").texts();
    running.sort();
    let expected = world.strategies.iter().filter(|(_, strategy)| strategy.status == Status::Running);
    let mut expected: Vec<_> = expected.map(|(key, _)| format!("u{}:{key}", key % 2)).collect();
    expected.sort();
    assert_eq!(running, expected, "active_strategies");
    assert_eq!(conn.run("STRAT.DEBUG VERIFY"), Value::Array(vec![]));
}

/// The queues hold what the step enqueued; they are emptied, so that the next step's orders stand out.
fn check_queues(conn: &mut Conn, world: &World) {
    let mut expected: Vec<_> = world.queued.clone();
    let mut found = Vec::new();
    for (queue, entry) in [("queue:orders", true), ("queue:exits", false)] {
        for order in conn.run(&format!("XRANGE {queue} - +")).items() {
            let fields = order.items()[1].fields();
            let key = (0..KEYS).find(|key| hash(*key) == fields["key"]).unwrap();
            let action = Action::ALL.into_iter().find(|action| action.word() == fields["action"]).unwrap();
            found.push((key, Order { action, cycle: fields["cycle"].parse().unwrap(), entry }));
        }
        conn.run(&format!("XTRIM {queue} MAXLEN 0"));
    }
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "orders in the queues");
}

impl StateMachineTest for System {
    type SystemUnderTest = Self;
    type Reference = Machine;

    fn init_test(_: &<Machine as ReferenceStateMachine>::State) -> Self {
        let redis = Redis::start();
        let mut conn = redis.conn();
        let first_epoch = conn.run("STRAT.EPOCH").text();
        // So that the first epoch is over from the start.
        conn.run("FLUSHALL");
        Self { conn: std::cell::RefCell::new(conn), tokens: BTreeMap::new(), first_epoch, _redis: redis }
    }

    fn apply(mut system: Self, world: &World, step: Step) -> Self {
        let reply = system.act(&step);
        check_answer(&step, &reply, world.answer.as_ref().unwrap());
        let conn = system.conn.get_mut();
        check_queues(conn, world);
        check_state(conn, world);
        system
    }
}
