//! The page while the engine or Redis is away: nothing old is shown as if it were true now.

use super::World;
use super::browser::Browser;
use crate::servers::simbroker::SimBroker;
use serde_json::json;

const PRICE: &str = "#rows td[data-label='Last price']";

/// The price is marked as old, with its age.
fn is_old(browser: &Browser) {
    browser.holds(&format!("document.querySelector(\"{PRICE}\")?.dataset.price === 'old'"));
    browser.says(PRICE, "s old");
    browser.holds("!document.getElementById('detail') || document.querySelector('#chart .now.old')");
}

fn is_fresh(browser: &Browser, price: &str) {
    browser.says(PRICE, price);
    browser.holds(&format!("document.querySelector(\"{PRICE}\").dataset.price === 'fresh'"));
}

#[test]
fn while_the_engine_is_away_prices_grow_old_and_then_everything_goes_on() {
    let Some(browser) = Browser::start("the page's reconnection") else { return };
    let mut world = World::start(&[]);
    world.add("alice", "s1", json!({ "stop_loss": "2490" }));
    browser.open(&world.url("#/alice/s1"));
    browser.says("#rows", "Long 10 at 2500.00");
    is_fresh(&browser, "2500.00");
    browser.js("window.opened = 'once'");

    world.engine.kill_9();
    browser.says("[data-banner=offline]", "cannot be reached");
    browser.says("[data-banner=offline]", "Next try in");
    browser.says("[data-part=broker]", "not known");
    is_old(&browser);
    world.feed.say("RELIANCE", "2480.00");
    world.engine.start_again();
    // The stop was crossed while nobody looked.
    browser.says("#rows", "Stopped out at 2480.00");
    browser.holds("!document.querySelector('[data-banner=offline]')");
    browser.says("#events", "stop-loss reached");
    assert_eq!(browser.js("return window.opened"), "once");
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}

#[test]
fn while_redis_is_away_the_page_says_so() {
    let Some(browser) = Browser::start("the page without Redis") else { return };
    let mut world = World::start(&[]);
    world.add("alice", "s1", json!({ "stop_loss": "2400" }));
    browser.open(&world.url("#/alice/s1"));
    is_fresh(&browser, "2500.00");
    world.redis.kill_9();
    browser.says("[data-banner=redis]", "Redis is away");
    browser.says("[data-part=redis]", "away");
    is_old(&browser);
    browser.holds("!document.querySelector('[data-banner=offline]')");
    world.feed.say("RELIANCE", "2501.00");
    world.redis.start_again();
    browser.holds("!document.querySelector('[data-banner=redis]')");
    is_fresh(&browser, "2501.00");
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}

#[test]
fn while_the_broker_is_away_the_page_says_so_and_why() {
    let Some(browser) = Browser::start("the page without a broker") else { return };
    let mut broker = SimBroker::start(&["--class", "A"]);
    let url = format!("http://127.0.0.1:{}", broker.port());
    let world =
        World::start(&[("STRAT_BROKER_KIND", "bridge"), ("STRAT_BROKER_URL", &url), ("STRAT_BROKER_CLASS", "dedupes")]);
    browser.open(&world.url(""));
    browser.holds("document.querySelector('[data-part=broker]')?.dataset.state === 'ok'");
    browser.holds("document.querySelector('[data-part=broker]').title.includes('bridge, 0 orders')");
    broker.kill_9();
    browser.says("[data-banner=broker]", "The broker is in trouble since");
    browser.says("[data-part=broker]", "away");
    assert_eq!(browser.barriers(), json!([]));
    broker.start_again();
    browser.holds("!document.querySelector('[data-banner=broker]')");
    browser.holds("document.querySelector('[data-part=broker]').dataset.state === 'ok'");
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}
