//! Calls of `strat_client::sessions`. Where a call writes, each side has users of its own.

use crate::Case;
use data_encoding::HEXLOWER;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, Script, ScriptInvocation, cmd, pipe};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use strat_client::core::key::is_id;
use strat_client::sessions::{Preferences, ResetTokens, RevokedTokens, Sessions, Settings, Subscriptions};
use strat_client::{Clock as _, SystemClock};

/// What a key has in place of a token; whoever sends the commands himself computes it too.
fn digest(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}

/// Whose a token is, made sure of before it becomes part of a key: whoever sends the commands himself has to as well.
fn user_of(token: &str) -> &str {
    let (user, random) = token.rsplit_once('.').unwrap();
    assert!(is_id(user) && random.len() == 43);
    user
}

/// Epoch ms.
const NOW: i64 = 1_750_000_000_000;
/// A token that no session was made for.
const TOKEN: &str = "alice.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = of_sessions();
    cases.extend(of_preferences());
    cases.extend(of_subscriptions());
    cases.extend(of_tokens());
    cases
}

fn of_sessions() -> Vec<Case> {
    let get = case(
        "sessions get",
        |connection| Sessions::new(connection, &Settings::default()).unwrap(),
        |sessions, _| Box::pin(async move { assert!(sessions.get(TOKEN).await.unwrap().is_none()) }),
        |_| {
            let mut ask = pipe();
            let (user, id) = (user_of(TOKEN), digest(TOKEN));
            ask.hgetall(["session:user:", user, ":", &id].concat()).zscore(["session:index:", user].concat(), &id);
            Ask::of_pipeline::<(BTreeMap<String, String>, redis::Value)>(ask)
        },
    );
    let delete = case(
        "sessions delete",
        |connection| Sessions::new(connection, &Settings::default()).unwrap(),
        |sessions, _| Box::pin(async move { assert!(!sessions.delete(TOKEN).await.unwrap()) }),
        |_| {
            let mut end = pipe();
            let (user, id) = (user_of(TOKEN), digest(TOKEN));
            end.zrem(["session:index:", user].concat(), &id).ignore();
            end.unlink(["session:user:", user, ":", &id].concat());
            Ask::of_pipeline::<(bool,)>(end)
        },
    );
    vec![get, delete, create(), touch(), list()]
}

static CREATE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../src/sessions/lua/create.lua")));
static TOUCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../src/sessions/lua/touch.lua")));
static LIST: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../src/sessions/lua/list.lua")));

fn create() -> Case {
    case(
        "sessions create",
        |connection| Sessions::new(connection, &Settings::default()).unwrap(),
        |sessions, turn| {
            Box::pin(async move {
                sessions.create(&format!("ours-{}", turn % 100), &[("ip", "192.0.2.7")]).await.unwrap();
            })
        },
        |turn| {
            let (stem, id) = (format!("session:user:bare-{}:", turn % 100), format!("{turn:064}"));
            let mut script = CREATE.key([stem.as_str(), &id].concat());
            script.key(format!("session:index:bare-{}", turn % 100)).arg(stem).arg(id);
            script.arg(NOW).arg(86_400_000_i64).arg(2_592_000_000_i64).arg(10);
            script.arg("created_at").arg(NOW).arg("seen_at").arg(NOW).arg("ends_at").arg(NOW + 2_592_000_000);
            script.arg("ip").arg("192.0.2.7");
            Ask::of_script::<()>(script)
        },
    )
}

fn touch() -> Case {
    case(
        "sessions touch",
        |connection| Sessions::new(connection, &Settings::default()).unwrap(),
        |sessions, _| Box::pin(async move { assert!(sessions.touch(TOKEN).await.unwrap().is_none()) }),
        |_| {
            let (user, id) = (user_of(TOKEN), digest(TOKEN));
            let mut script = TOUCH.key(["session:user:", user, ":", &id].concat());
            script.key(["session:index:", user].concat()).arg(id).arg(SystemClock.now_ms()).arg(86_400_000_i64);
            Ask::of_script::<BTreeMap<String, String>>(script)
        },
    )
}

fn list() -> Case {
    case(
        "sessions list",
        |connection| Sessions::new(connection, &Settings::default()).unwrap(),
        |sessions, _| Box::pin(async move { assert!(sessions.list("alice").await.unwrap().is_empty()) }),
        |_| {
            let mut script = LIST.key("session:index:alice");
            script.arg("session:user:alice:");
            Ask::of_script::<Vec<(String, BTreeMap<String, String>)>>(script)
        },
    )
}

fn of_preferences() -> Vec<Case> {
    let get = case(
        "sessions preferences get_all",
        |connection| Preferences::new(connection, &Settings::default()).unwrap(),
        |preferences, turn| {
            Box::pin(async move {
                preferences.get_all(&format!("user-{turn}")).await.unwrap();
            })
        },
        |turn| {
            let key = format!("preferences:user-{turn}");
            let mut ask = pipe();
            ask.hgetall(&key).pexpire(&key, 90 * 86_400_000_i64).ignore();
            Ask::of_pipeline::<(BTreeMap<String, String>,)>(ask)
        },
    );
    let set = case(
        "sessions preferences set",
        |connection| Preferences::new(connection, &Settings::default()).unwrap(),
        |preferences, turn| {
            Box::pin(async move {
                preferences.set(&format!("ours-{}", turn % 100), &[("theme", "dark")]).await.unwrap();
            })
        },
        |turn| {
            let mut script = SET.key(format!("preferences:bare-{}", turn % 100));
            script.arg(90 * 86_400_000_i64).arg(64).arg("theme").arg("dark");
            Ask::of_script::<bool>(script)
        },
    );
    vec![get, set]
}

static SET: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../src/sessions/lua/set_preferences.lua")));
static SUBSCRIBE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../src/sessions/lua/subscribe.lua")));

fn of_subscriptions() -> Vec<Case> {
    let heartbeat = case(
        "sessions subscriptions heartbeat",
        |connection| Subscriptions::new(connection, &Settings::default()).unwrap(),
        |subscriptions, turn| {
            Box::pin(async move {
                subscriptions.heartbeat(&format!("user-{turn}"), "c1").await.unwrap();
            })
        },
        |turn| {
            let (user, connection) = (format!("user-{turn}"), "c1");
            assert!(is_id(&user) && is_id(connection));
            let mut ask = pipe();
            ask.pexpire(format!("subscriptions:{user}:{connection}"), 60_000);
            ask.pexpire(format!("subscriptions:{user}"), 60_000);
            Ask::of_pipeline::<(bool, bool)>(ask)
        },
    );
    let members = case(
        "sessions subscriptions of_connection",
        |connection| Subscriptions::new(connection, &Settings::default()).unwrap(),
        |subscriptions, turn| {
            Box::pin(async move {
                subscriptions.of_connection(&format!("user-{turn}"), "c1").await.unwrap();
            })
        },
        |turn| Ask::of_command::<BTreeSet<String>>(cmd("SMEMBERS").arg(format!("subscriptions:user-{turn}:c1")).take()),
    );
    let subscribe = case(
        "sessions subscriptions subscribe",
        |connection| Subscriptions::new(connection, &Settings::default()).unwrap(),
        |subscriptions, turn| {
            Box::pin(async move {
                subscriptions.subscribe(&format!("ours-{}", turn % 100), "c1", &["orders", "ticks:IBM"]).await.unwrap();
            })
        },
        |turn| {
            let all = format!("subscriptions:bare-{}", turn % 100);
            let mut script = SUBSCRIBE.key(format!("{all}:c1"));
            script.key(&all).arg(format!("{all}:")).arg("c1").arg(60_000).arg(16).arg(256);
            script.arg(&["orders", "ticks:IBM"]);
            Ask::of_script::<String>(script)
        },
    );
    vec![heartbeat, members, subscribe]
}

fn of_tokens() -> Vec<Case> {
    let revoked = case(
        "sessions is_revoked",
        |connection| RevokedTokens::new(connection, &Settings::default()).unwrap(),
        |revoked, _| Box::pin(async move { assert!(!revoked.is_revoked("abc").await.unwrap()) }),
        |_| Ask::of_command::<bool>(cmd("EXISTS").arg(["token_blacklist:", &digest("abc")].concat()).take()),
    );
    let revoke = case(
        "sessions revoke",
        |connection| RevokedTokens::new(connection, &Settings::default()).unwrap(),
        |revoked, _| Box::pin(async move { assert!(revoked.revoke("xyz", 9_000_000_000_000).await.unwrap()) }),
        |_| {
            let key = ["token_blacklist:", &digest("uvw")].concat();
            Ask::of_command::<()>(cmd("SET").arg(key).arg(1).arg("PX").arg(7_200_000_000_000_i64).take())
        },
    );
    let consume = case(
        "sessions reset consume",
        |connection| ResetTokens::new(connection, &Settings::default()).unwrap(),
        |tokens, _| Box::pin(async move { assert!(tokens.consume("abc", "password").await.unwrap().is_none()) }),
        |_| Ask::of_command::<Option<String>>(cmd("GETDEL").arg(["reset:", &digest("abc")].concat()).take()),
    );
    vec![revoked, revoke, consume]
}

/// What the bare crate is asked, and as what it reads the answer.
struct Ask(Box<dyn FnOnce(MultiplexedConnection) -> BoxFuture<'static, ()>>);

impl Ask {
    fn of_command<T: FromRedisValue + 'static>(command: Cmd) -> Self {
        Self(Box::new(move |mut connection| {
            Box::pin(async move {
                let _: T = command.query_async(&mut connection).await.unwrap();
            })
        }))
    }

    fn of_pipeline<T: FromRedisValue + 'static>(pipeline: Pipeline) -> Self {
        Self(Box::new(move |mut connection| {
            Box::pin(async move {
                let _: T = pipeline.query_async(&mut connection).await.unwrap();
            })
        }))
    }

    fn of_script<T: FromRedisValue + Send + 'static>(script: ScriptInvocation<'static>) -> Self {
        Self(Box::new(move |mut connection| {
            Box::pin(async move {
                let _: T = script.invoke_async(&mut connection).await.unwrap();
            })
        }))
    }
}

fn case<S: 'static>(
    name: &'static str,
    made: impl Fn(MultiplexedConnection) -> S + 'static,
    ours: fn(Arc<S>, u64) -> BoxFuture<'static, ()>,
    bare: fn(u64) -> Ask,
) -> Case {
    Case {
        name,
        ours: Box::new(move |connection| {
            let made = Arc::new(made(connection));
            Box::new(move |turn| ours(made.clone(), turn))
        }),
        bare: Box::new(move |connection| Box::new(move |turn| bare(turn).0(connection.clone()))),
    }
}
