//! `libstrat.so`: strat inside Redis. This file is the manifest; each command has its file in `commands/`.

mod args;
mod background;
mod commands;
mod effects;
mod info;
mod keyspace;
mod repair;
mod server;
mod settings;
mod state;
mod trail;
mod trigger;

use redis_module::configuration::ConfigurationFlags;
use redis_module::{Context, RedisResult, RedisString, Status, redis_module};
use settings::{
    ALERT_KEPT_MS, JOURNAL_MAXLEN, MAX_ALERTS_PER_USER, MAX_FIRED_PER_CALL, PRICE_TTL_MS, RETRY_BACKOFF_MAX_MS,
    RETRY_BACKOFF_MS,
};

/// Wraps each command so that a panic in it does not kill the server.
macro_rules! handlers {
    ($($name:ident => $run:path),+ $(,)?) => {
        $(fn $name(ctx: &Context, args: Vec<RedisString>) -> RedisResult { server::command(ctx, args, $run) })+
    };
}

handlers! {
    set => commands::set::run,
    get => commands::get::run,
    update => commands::update::run,
    del => commands::del::run,
    list => commands::list::run,
    symbols => commands::symbols::run,
    due => commands::due::run,
    take => commands::take::run,
    lock => commands::lock::lock,
    extend => commands::lock::extend,
    unlock => commands::lock::unlock,
    report => commands::report::run,
    alert => commands::alert::run,
    alerts => commands::alerts::run,
    epoch => commands::epoch::run,
    debug => commands::debug::run,
}

fn init(ctx: &Context, _args: &[RedisString]) -> Status {
    server::note_panics();
    server::survive(ctx, "loading the module", || set_up(ctx)).unwrap_or(Status::Err)
}

fn set_up(ctx: &Context) -> Status {
    state::reset();
    server::without_implicit_signals(ctx);
    // Not in the list below: a tick has no time for the copies that are made of the arguments there.
    if server::register_slcheck(ctx) != Status::Ok {
        return Status::Err;
    }
    server::register_info(ctx);
    server::describe_commands(ctx);
    let subscribed = server::subscribe(ctx);
    if subscribed == Status::Ok {
        server::shielded(ctx, "building the books", || keyspace::rebuild(ctx));
    }
    subscribed
}

fn deinit(ctx: &Context) -> Status {
    server::stop_timer(ctx);
    server::survive(ctx, "unloading the module", state::reset);
    Status::Ok
}

// The server's allocator counts the books in used_memory.
redis_module! {
    name: "strat",
    version: 100,
    allocator: (redis_module::alloc::RedisAlloc, redis_module::alloc::RedisAlloc),
    data_types: [],
    init: init,
    deinit: deinit,
    commands: [
        ["strat.set", set, "write deny-oom", 1, 1, 1, "", "write"],
        ["strat.get", get, "readonly", 1, 1, 1, "", "read"],
        ["strat.update", update, "write deny-oom", 1, 1, 1, "", "write"],
        ["strat.del", del, "write", 1, 1, 1, "", "write"],
        ["strat.list", list, "readonly", 0, 0, 0, "", "read"],
        ["strat.symbols", symbols, "readonly", 0, 0, 0, "", "read"],
        ["strat.due", due, "write", 0, 0, 0, "", "write"],
        ["strat.take", take, "write", 1, 1, 1, "", "write"],
        ["strat.lock", lock, "write fast", 1, 1, 1, "", "write"],
        ["strat.extend", extend, "write fast", 1, 1, 1, "", "write"],
        ["strat.unlock", unlock, "write fast", 1, 1, 1, "", "write"],
        ["strat.report", report, "write", 1, 1, 1, "", "write"],
        ["strat.alert", alert, "write deny-oom fast", 1, 1, 1, "", "write"],
        ["strat.alerts", alerts, "readonly", 0, 0, 0, "", "read"],
        ["strat.epoch", epoch, "readonly fast", 0, 0, 0, "", "read"],
        ["strat.debug", debug, "readonly admin", 0, 0, 0, "", "read"],
    ],
    configurations: [
        i64: [
            [PRICE_TTL_MS.name, &PRICE_TTL_MS.value, PRICE_TTL_MS.default, PRICE_TTL_MS.min, PRICE_TTL_MS.max, ConfigurationFlags::DEFAULT, None],
            [MAX_FIRED_PER_CALL.name, &MAX_FIRED_PER_CALL.value, MAX_FIRED_PER_CALL.default, MAX_FIRED_PER_CALL.min, MAX_FIRED_PER_CALL.max, ConfigurationFlags::DEFAULT, None],
            [JOURNAL_MAXLEN.name, &JOURNAL_MAXLEN.value, JOURNAL_MAXLEN.default, JOURNAL_MAXLEN.min, JOURNAL_MAXLEN.max, ConfigurationFlags::DEFAULT, None],
            [RETRY_BACKOFF_MS.name, &RETRY_BACKOFF_MS.value, RETRY_BACKOFF_MS.default, RETRY_BACKOFF_MS.min, RETRY_BACKOFF_MS.max, ConfigurationFlags::DEFAULT, None],
            [ALERT_KEPT_MS.name, &ALERT_KEPT_MS.value, ALERT_KEPT_MS.default, ALERT_KEPT_MS.min, ALERT_KEPT_MS.max, ConfigurationFlags::DEFAULT, None],
            [MAX_ALERTS_PER_USER.name, &MAX_ALERTS_PER_USER.value, MAX_ALERTS_PER_USER.default, MAX_ALERTS_PER_USER.min, MAX_ALERTS_PER_USER.max, ConfigurationFlags::DEFAULT, None],
            [RETRY_BACKOFF_MAX_MS.name, &RETRY_BACKOFF_MAX_MS.value, RETRY_BACKOFF_MAX_MS.default, RETRY_BACKOFF_MAX_MS.min, RETRY_BACKOFF_MAX_MS.max, ConfigurationFlags::DEFAULT, None],
        ],
        string: [],
        bool: [],
        enum: [],
        module_args_as_configuration: true,
    ]
}
