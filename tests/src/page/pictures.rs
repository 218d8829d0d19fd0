//! Pictures of the page's main states: `make screenshots`. They are for people; the other tests look by themselves.

use super::World;
use super::browser::Browser;
use crate::servers::paths::root;
use serde_json::json;
use std::path::PathBuf;

/// A market that moves a little, so that there is something to draw.
fn walk(world: &World, browser: &Browser, prices: &[&str]) {
    for price in prices {
        world.feed.say("RELIANCE", price);
        browser.says("#chart-text", &format!("last price {price}"));
    }
}

/// Alerts that wait and have fired, and a stop that somebody else has changed meanwhile.
fn alerts_and_levels(world: &World, browser: &Browser, picture: &impl Fn(&str)) {
    browser.open(&world.url("#/alice/infy-trail"));
    browser.fill("#user", "alice");
    browser.press("\u{e004}");
    for alert in ["a1 INFY ABOVE 1510", "a2 RELIANCE BELOW 2400"] {
        world.redis.conn().run(&format!("STRAT.ALERT user:alice:alert:{alert}"));
    }
    browser.says("#alerts", "RELIANCE at or below 2400.00");
    world.feed.say("INFY", "1510.40");
    browser.says("#alerts", "fired at 1510.40");
    browser.click("[data-edit=stop_loss]");
    browser.fill("[data-level=stop_loss] input", "1480");
    world.redis.conn().run("STRAT.UPDATE user:alice:strategy:infy-trail stop_loss 1475");
    browser.click("[data-level=stop_loss] [type=submit]");
    browser.says("[data-level=stop_loss] [role=alert]", "Save again");
    for (name, scheme, width, height) in
        [("alerts", "light", 1280, 1400), ("alerts-dark", "dark", 1280, 1400), ("phone-alerts", "light", 390, 2400)]
    {
        browser.colours(scheme);
        browser.size(width, height);
        picture(name);
    }
    browser.colours("light");
    browser.size(1280, 860);
}

#[test]
#[ignore = "it shows, and checks little; make screenshots runs it"]
fn of_the_main_states() {
    let Some(browser) = Browser::start("the pictures of the page") else { return };
    let folder = std::env::var_os("STRAT_SCREENSHOTS").map_or_else(|| root().join("target/screenshots"), PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    let picture = |name: &str| browser.picture(&folder.join(format!("{name}.png")));
    let mut world = World::start(&[]);
    world.feed.say("INFY", "1502.35");
    world.feed.say("TCS", "3498.20");
    world.add("alice", "opening-range", json!({ "stop_loss": "2490.00", "take_profit": "2515.00" }));
    world.add("alice", "infy-trail", json!({ "symbol": "INFY", "quantity": "25", "trail": "1.5%" }));
    world.add(
        "bob",
        "tcs-afternoon",
        json!({ "symbol": "TCS", "quantity": "5", "buy_time": "23:59:00", "stop_loss": "3450", "take_profit": "3600" }),
    );
    world.add("bob", "paused", json!({ "symbol": "TCS", "quantity": "2", "status": "STOPPED" }));
    browser.size(1280, 860);
    browser.colours("light");
    browser.open(&world.url("#/alice/opening-range"));
    browser.says("#rows", "Long 10 at 2500.00");
    walk(&world, &browser, &["2501.40", "2503.10", "2502.20", "2505.85", "2508.30", "2507.10", "2509.95", "2506.40"]);
    picture("strategy");
    browser.colours("dark");
    picture("strategy-dark");
    browser.click("[data-action=stop]");
    picture("dialog-dark");
    browser.colours("light");
    picture("dialog");
    browser.click("#confirm [data-close]");
    browser.click("#calm");
    browser.holds("document.querySelector('#rows .blurred')");
    picture("calm");
    browser.click("#calm");
    browser.click("#new");
    picture("form");
    browser.size(390, 844);
    picture("phone-form");
    browser.click("#create [data-close]");
    browser.click("#close");
    browser.js("scrollTo(0, 0)");
    picture("phone-list");
    browser.click("#rows a");
    picture("phone-strategy");
    browser.size(1280, 860);
    browser.click("#close");
    picture("list");
    browser.click("#rows a");
    browser.holds("!document.getElementById('detail').hidden");
    browser.open(&world.url("#/alice/opening-range"));
    walk(&world, &browser, &["2503.00", "2498.70", "2495.25", "2492.10"]);
    world.feed.say("RELIANCE", "2489.95");
    browser.says("#rows", "Stopped out at 2489.95");
    browser.holds("document.querySelector('#chart .fill.exit')");
    picture("stopped-out");
    alerts_and_levels(&world, &browser, &picture);
    browser.open(&world.url("docs#patch_strategies_id"));
    browser.holds("document.getElementById('patch_strategies_id')?.open");
    for (name, scheme, width, height) in
        [("docs", "light", 1280, 860), ("docs-dark", "dark", 1280, 860), ("docs-phone", "light", 390, 844)]
    {
        browser.colours(scheme);
        browser.size(width, height);
        picture(name);
    }
    browser.size(1280, 860);
    browser.open(&world.url("#/alice/opening-range"));
    browser.holds("document.querySelector('#chart .fill.exit')");
    world.redis.kill_9();
    browser.says("[data-banner=redis]", "Redis is away");
    browser.holds("document.querySelector('#chart .now.old')");
    picture("redis-away");
    world.redis.start_again();
    browser.holds("!document.querySelector('[data-banner=redis]')");
    world.engine.kill_9();
    browser.says("[data-banner=offline]", "cannot be reached");
    browser.holds("document.querySelector('#chart .now.old')");
    picture("engine-away");
}
