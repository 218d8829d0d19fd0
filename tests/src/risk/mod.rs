//! Limits of users and of the account: each stops an entry before it reaches the broker, and none stops an exit.

mod gaps;
mod sessions;
mod world;

use crate::support::until;
use serde_json::{Value as Json, json};
use world::{LIMIT, World};

/// A user for each rule, his limit, and how a second entry of his is refused.
const RULES: [(&str, &str, &str, &str); 6] = [
    ("max_quantity", "9.99999999", "", "max_quantity (user): 10 is more than 9.99999999"),
    ("max_notional", "949.99", "", "max_notional (user): 950 at the last price 95 is more than 949.99"),
    ("max_open_positions", "1", "", "max_open_positions (user): 1 of 1 are open"),
    ("max_orders_per_minute", "1", "", "max_orders_per_minute (user): 1 of 1 entries in the last minute"),
    ("max_daily_loss", "50", "", "max_daily_loss (user): the day has lost 50 of 50"),
    (
        "price_collar_percent",
        "4.99",
        "reference_price 100",
        "price_collar (user): the last price 95 is further than 4.99%",
    ),
];

#[test]
fn every_rule_stops_an_entry_and_lets_an_exit_pass() {
    let world = World::start(&[]);
    // One entry a minute is for the first.
    world.limit("max_orders_per_minute", &json!({ "max_orders_per_minute": "1" }));
    for (user, ..) in RULES {
        world.enter(user, "held", "stop_loss 90");
    }
    for (user, ..) in RULES {
        world.until_field((user, "held"), ("position", "BOUGHT"), "100");
    }
    world.until_price("95");
    for (user, limit, fields, why) in RULES {
        world.limit(user, &json!({ user: limit }));
        world.is_refused(user, "next", fields, why);
    }
    // The limits still stand, and every stop is carried out.
    for (user, ..) in RULES {
        world.until_field((user, "held"), ("position", "EXITED_BY_SL"), "89");
        let rule = user.strip_suffix("_percent").unwrap_or(user);
        assert_eq!(world.refused_by(rule), 1, "{rule}");
    }
}

#[test]
fn a_restart_forgets_neither_the_days_loss_nor_the_positions() {
    let mut world = World::start(&[("STRAT_RISK_MAX_DAILY_LOSS", "100"), ("STRAT_RISK_MAX_OPEN_POSITIONS", "2")]);
    world.buys("alice", "first", "stop_loss 95", "100");
    world.until_field(("alice", "first"), ("position", "EXITED_BY_SL"), "94");
    world.buys("alice", "second", "", "94");
    for id in ["a", "b"] {
        world.buys("bob", id, "", "94");
    }
    let day = until("the fills are in Postgres", LIMIT, || {
        world.tick("IBM", "90");
        let (_, risk) = world.asks("GET", "/api/v1/risk?user_id=alice", &Json::Null);
        let day = risk["user"]["day"].clone();
        (day["realised"] == "-60" && day["open"] == "-40").then_some(day)
    });
    assert_eq!(day["total"], "-100");
    // Nobody has asked for an entry since: the watch has seen how bad it was.
    until("the worst is noted", LIMIT, || {
        world.tick("IBM", "90");
        (world.postgres.sql("SELECT trim_scale(worst) FROM risk_days WHERE user_id = 'alice'") == ["-100"])
            .then_some(())
    });
    world.restart();
    world.until_price("96");
    world.is_refused("alice", "third", "", "max_daily_loss (user): the day has lost 100 of 100");
    world.is_refused("bob", "c", "", "max_open_positions (user): 2 of 2 are open");
    // One user's limits lie over everybody's, and what is not named stays.
    world.limit("alice", &json!({ "max_daily_loss": "100.01" }));
    world.buys("alice", "fourth", "", "96");
    world.is_refused("alice", "fifth", "", "max_open_positions (user): 2 of 2 are open");
    let (_, risk) = world.asks("GET", "/api/v1/risk?user_id=alice", &Json::Null);
    assert_eq!(
        (&risk["user"]["limits"]["max_daily_loss"], &risk["user"]["limits"]["max_open_positions"]),
        (&json!("100.01"), &json!("2")),
        "{risk}"
    );
    assert_eq!((&risk["user"]["day"]["worst"], &risk["user"]["open_positions"]), (&json!("-100"), &json!(2)), "{risk}");
}

#[test]
fn a_day_that_has_lost_enough_squares_off_where_that_is_asked_for() {
    let world = World::start(&[("STRAT_RISK_MAX_DAILY_LOSS", "50")]);
    world.limit("alice", &json!({ "on_daily_loss": "square_off" }));
    world.buys("alice", "held", "", "100");
    world.buys("bob", "held", "", "100");
    world.until_field(("alice", "held"), ("position", "SOLD"), "94.5");
    assert_eq!(world.field("alice", "held", "status"), "STOPPED");
    world.is_refused("alice", "next", "", "max_daily_loss (user): the day has lost 55 of 50");
    // Bob's entries stop, and what he holds he keeps.
    world.is_refused("bob", "next", "", "max_daily_loss (user): the day has lost 55 of 50");
    assert_eq!(world.field("bob", "held", "position"), "BOUGHT");
}

#[test]
fn of_many_entries_at_once_only_as_many_pass_as_there_is_room_for() {
    let world = World::start(&[("STRAT_RISK_ACCOUNT_MAX_OPEN_POSITIONS", "5")]);
    world.limit("alice", &json!({ "max_open_positions": "3" }));
    let ids: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    let users = |number: usize| if number % 2 == 0 { "alice".to_owned() } else { format!("user{number}") };
    for (number, id) in ids.iter().enumerate() {
        world.enter(&users(number), id, "");
    }
    let count = |what: &str| {
        let of = |(number, id): (usize, &String)| world.field(&users(number), id, what);
        ids.iter().enumerate().map(of).collect::<Vec<_>>()
    };
    until("all are decided", LIMIT, || {
        world.tick("IBM", "100");
        let bought = count("position").iter().filter(|position| *position == "BOUGHT").count();
        let failed = count("status").iter().filter(|status| *status == "FAILED").count();
        (bought + failed == ids.len()).then_some(())
    });
    let alices = count("position").iter().step_by(2).filter(|position| *position == "BOUGHT").count();
    let bought = count("position").iter().filter(|position| *position == "BOUGHT").count();
    assert_eq!(bought, 5, "the account has room for five");
    assert!(alices <= 3, "alice has room for three, and got {alices}");
    for (number, id) in ids.iter().enumerate() {
        if world.field(&users(number), id, "status") == "FAILED" {
            world.was_refused(&users(number), id, "max_open_positions (");
        }
    }
}

#[test]
fn an_entry_waits_for_the_price_that_its_limits_need() {
    let world = World::start(&[("STRAT_RISK_MAX_NOTIONAL", "1000")]);
    world.limit("bob", &json!({ "max_notional": "none" }));
    world.enter("alice", "waits", "");
    world.enter("bob", "goes", "");
    // His, which came later, is at the broker.
    until("bob's order works", LIMIT, || (world.field("bob", "goes", "working") == "BUY").then_some(()));
    assert_eq!(
        (world.field("alice", "waits", "pending"), world.field("alice", "waits", "status")),
        ("BUY".into(), "RUNNING".into())
    );
    world.until_field(("alice", "waits"), ("position", "BOUGHT"), "100");
}

#[test]
fn one_users_entries_are_halted_and_nobody_elses() {
    let mut world = World::start(&[]);
    world.buys("alice", "held", "stop_loss 90", "100");
    let (status, halted) = world.asks("POST", "/api/v1/admin/halt", &json!({ "reason": "a talk", "user_id": "alice" }));
    assert_eq!((status, &halted["user_id"], &halted["halted"]), (200, &json!("alice"), &json!(true)), "{halted}");
    world.enter("alice", "waits", "");
    world.buys("bob", "goes", "", "100");
    world.restart();
    world.buys("bob", "goes2", "", "100");
    assert_eq!(world.asks("GET", "/api/v1/risk?user_id=alice", &Json::Null).1["halted"], true);
    assert_eq!(world.asks("GET", "/api/v1/risk?user_id=bob", &Json::Null).1["halted"], false);
    assert_eq!(world.asks("GET", "/api/v1/admin/engine", &Json::Null).1["halted"], false);
    world.until_field(("alice", "held"), ("position", "EXITED_BY_SL"), "89");
    assert_eq!(
        (world.field("alice", "waits", "pending"), world.field("alice", "waits", "position")),
        ("BUY".into(), "NONE".into())
    );
    let (_, resumed) = world.asks("POST", "/api/v1/admin/resume", &json!({ "reason": "agreed", "user_id": "alice" }));
    assert_eq!(resumed["halted"], false);
    world.until_field(("alice", "waits"), ("position", "BOUGHT"), "100");
}

#[test]
fn limits_are_set_by_admins_and_what_is_wrong_changes_nothing() {
    let world = World::start(&[("STRAT_RISK_MAX_QUANTITY", "7")]);
    for (limits, what) in [
        (json!({ "max_quantity": "-1" }), "max_quantity"),
        (json!({ "max_everything": "1" }), "max_everything"),
        (json!({ "max_daily_loss": "1e3" }), "max_daily_loss"),
    ] {
        let (status, problem) = world.asks("PUT", "/api/v1/admin/risk/alice", &json!({ "limits": limits }));
        assert!(status == 400 && problem["detail"].as_str().is_some_and(|detail| detail.contains(what)), "{problem}");
    }
    assert_eq!(world.postgres.sql("SELECT count(*) FROM risk_limits"), ["0"]);
    world.limit("alice", &json!({ "max_quantity": "none", "max_daily_loss": "12.50" }));
    let (_, risk) = world.asks("GET", "/api/v1/risk?user_id=alice", &Json::Null);
    assert_eq!(
        (
            &risk["user"]["limits"]["max_quantity"],
            &risk["user"]["limits"]["max_daily_loss"],
            &risk["user"]["day"]["total"]
        ),
        (&json!("none"), &json!("12.5"), &json!("0")),
        "{risk}"
    );
    let noted = world.postgres.sql("SELECT phase, method, path, status FROM api_audit WHERE status = 200 OR phase = 'ASKED' ORDER BY seq DESC LIMIT 1");
    assert_eq!(noted, ["DONE|PUT|/api/v1/admin/risk/alice|200"]);
    assert_eq!(world.postgres.sql("SELECT user_id, caller FROM risk_limits").len(), 1);
}
