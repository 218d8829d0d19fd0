//! What is changed where it stands: stop and target of a strategy, and a user's price alerts.

use super::World;
use super::browser::Browser;
use serde_json::{Value as Json, json};

const STOP: &str = "[data-level=stop_loss]";

/// A change from elsewhere.
fn set_stop(world: &World, price: &str) {
    let reply = world.redis.conn().run(&format!("STRAT.UPDATE user:alice:strategy:s1 stop_loss {price}"));
    assert!(!reply.is_error(), "{reply:?}");
}

#[test]
fn a_stop_is_changed_where_it_stands_and_who_was_faster_is_shown() {
    let Some(browser) = Browser::start("changing a stop on the page") else { return };
    let world = World::start(&[]);
    world.add("alice", "s1", json!({ "stop_loss": "2490" }));
    browser.open(&world.url("#/alice/s1"));
    browser.says("#rows", "Long 10 at 2500.00");
    browser.says(STOP, "2490.00");
    // By keyboard alone: the button, the text, Enter.
    browser.js("document.querySelector('[data-edit=stop_loss]').focus()");
    browser.press("\u{e007}");
    browser.holds("document.activeElement.name === 'stop_loss'");
    browser.fill(&format!("{STOP} input"), "nan");
    browser.press("\u{e007}");
    browser.says(&format!("{STOP} [role=alert]"), "not a price");
    browser.holds("document.activeElement.getAttribute('aria-invalid') === 'true'");
    browser.fill(&format!("{STOP} input"), "2485.5");
    browser.press("\u{e007}");
    browser.says(&format!("{STOP} dd"), "2485.50");
    browser.holds("document.activeElement.dataset.edit === 'stop_loss'");
    assert_eq!(world.redis.conn().run("HGET user:alice:strategy:s1 stop_loss").text(), "2485.5");

    // Somebody else is faster: nothing is overwritten unseen.
    browser.click("[data-edit=stop_loss]");
    set_stop(&world, "2470");
    browser.says("#chart-text", "stop 2470.00");
    browser.fill(&format!("{STOP} input"), "2480");
    browser.click(&format!("{STOP} [type=submit]"));
    browser.says(&format!("{STOP} [role=alert]"), "stop-loss is 2470.00 now");
    assert_eq!(world.redis.conn().run("HGET user:alice:strategy:s1 stop_loss").text(), "2470");
    assert_eq!(browser.barriers(), json!([]));
    browser.click(&format!("{STOP} [type=submit]"));
    browser.says(&format!("{STOP} dd"), "2480.00");

    // Escape leaves everything as it is; an empty text is none.
    browser.click("[data-edit=take_profit]");
    browser.fill("[data-level=take_profit] input", "2600");
    browser.press("\u{e00c}");
    browser.says("[data-level=take_profit] dd", "none");
    browser.click("[data-edit=take_profit]");
    browser.fill("[data-level=take_profit] input", "2550");
    browser.press("\u{e007}");
    browser.says("[data-level=take_profit] dd", "2550.00");
    browser.says("#events", "changed: take profit 2550");
    browser.click("[data-edit=take_profit]");
    browser.js("document.querySelector('[data-level=take_profit] input').value = ''");
    browser.click("[data-level=take_profit] [type=submit]");
    browser.says("[data-level=take_profit] dd", "none");
    assert_eq!(browser.complaints(), Vec::<Json>::new());
}

#[test]
fn an_alert_is_set_seen_to_fire_and_deleted() {
    let Some(browser) = Browser::start("price alerts on the page") else { return };
    let world = World::start(&[]);
    browser.open(&world.url(""));
    browser.says("#no-alerts", "Choose a user");
    browser.fill("#user", "alice");
    browser.press("\u{e004}");
    browser.says("#no-alerts", "None yet.");
    browser.js("window.opened = 'once'");
    browser.fill("#alert-form [name=symbol]", "RELIANCE");
    browser.fill("#alert-form [name=price]", "much");
    browser.click("#alert-form [type=submit]");
    browser.says("#alert-error", "not a price");
    browser.fill("#alert-form [name=price]", "2510");
    browser.press("\u{e007}");
    browser.says("#alerts", "RELIANCE at or above 2510.00");
    browser.says("#alerts", "waits");
    browser.holds("document.getElementById('alert-error').hidden");
    // Of somebody else, and set elsewhere: only hers are seen.
    world.redis.conn().run("STRAT.ALERT user:bob:alert:his RELIANCE ABOVE 2505");
    world.redis.conn().run("STRAT.ALERT user:alice:alert:other RELIANCE BELOW 2400");
    browser.says("#alerts", "RELIANCE at or below 2400.00");
    for scheme in ["light", "dark"] {
        browser.colours(scheme);
        assert_eq!(browser.barriers(), json!([]), "{scheme}");
    }
    world.feed.say("RELIANCE", "2511.25");
    browser.says("#alerts [data-state=TRIGGERED]", "fired at 2511.25");
    browser.says("#events", "price alert: RELIANCE at or above 2510.00, at 2511.25");
    browser.says("#notes", "at 2511.25");
    browser.holds("document.getElementById('announcer').textContent.includes('price alert')");
    let told = "return [...document.querySelectorAll('#events [data-type=PRICE_ALERT]')].map((line) => line.innerText)";
    let (told, listed) = (browser.js(told), browser.js("return document.getElementById('alerts').innerText"));
    assert_eq!(told.as_array().map(Vec::len), Some(1), "hers, once: {told}; listed are {listed}");
    browser.click("#alerts [data-state=TRIGGERED] button");
    browser.click("#alerts [data-alert=other] button");
    browser.says("#no-alerts", "None yet.");
    assert_eq!(world.redis.conn().run("EXISTS user:alice:alert:other user:bob:alert:his").int(), 1);
    assert_eq!(browser.js("return window.opened"), "once", "it was not loaded anew");
    assert_eq!(browser.complaints(), Vec::<Json>::new());
}
