//! A day on the page: created, bought, watched, stopped out, without a reload.

use super::browser::Browser;
use super::{World, now, typed};
use serde_json::json;

const ROW: &str = "#rows tr";

/// The cell of a row with this heading.
fn cell(name: &str) -> String {
    format!("{ROW} td[data-label='{name}']")
}

fn create(browser: &Browser) {
    browser.click("#new");
    for (field, text) in [
        ("user_id", "alice"),
        ("id", "s1"),
        ("symbol", "RELIANCE"),
        ("quantity", "ten"),
        ("buy_time", &typed(&now())),
        ("timezone", "UTC"),
        ("stop_loss", "2490"),
        ("take_profit", "2600.50"),
    ] {
        browser.fill(&format!("#create [name={field}]"), text);
    }
    browser.click("#create [type=submit]");
    browser.says("#create-error", "Quantity is not a number above 0");
    browser.fill("#create [name=quantity]", "10");
    browser.click("#create [type=submit]");
}

#[test]
fn a_strategy_is_created_bought_and_stopped_out_before_ones_eyes() {
    let Some(browser) = Browser::start("the page's day") else { return };
    let world = World::start(&[]);
    browser.open(&world.url(""));
    browser.says("#empty", "There is no strategy yet.");
    browser.js("window.opened = 'once'");
    create(&browser);

    browser.says("#detail-title", "s1 · RELIANCE");
    browser.says(&cell("Status"), "RUNNING");
    browser.says(&cell("Position"), "Long 10 at 2500.00");
    browser.says("#events", "filled: long 10 at 2500.00");
    browser.holds("document.querySelector('#chart .fill.entry')");
    for level in ["entry", "stop", "target"] {
        browser.holds(&format!("document.querySelector('#chart .level.{level}')"));
    }
    browser.says("#chart-text", "entry 2500.00, stop 2490.00");
    browser.says(&cell("To target"), "100.50");

    world.feed.say("RELIANCE", "2505.10");
    browser.says(&cell("Last price"), "2505.10");
    browser.says(&cell("To stop"), "15.10");
    browser.says(&cell("Profit and loss"), "+51.00");
    browser.says("#unrealised", "+51.00");

    world.feed.say("RELIANCE", "2489.95");
    browser.says(&cell("Position"), "Stopped out at 2489.95");
    browser.says("#events", "stop-loss reached");
    browser.says(&cell("Profit and loss"), "\u{2212}100.50");
    browser.says("#realised", "\u{2212}100.50");
    browser.says("#fills", "stop-loss");
    browser.holds("document.querySelector('#chart .fill.exit')");
    browser.holds("document.getElementById('announcer').textContent.includes('s1')");

    assert_eq!(browser.js("return window.opened"), "once", "it was not loaded anew");
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}

#[test]
fn what_ends_a_position_is_asked_twice_and_the_focus_comes_back() {
    let Some(browser) = Browser::start("the page's questions") else { return };
    let world = World::start(&[]);
    world.add("alice", "s1", json!({ "stop_loss": "2400" }));
    browser.open(&world.url("#/alice/s1"));
    browser.says(&cell("Position"), "Long 10");

    browser.click("[data-action=square-off]");
    browser.holds("document.activeElement.matches('#confirm [data-close]')");
    // Escape.
    browser.press("\u{e00c}");
    browser.holds("!document.getElementById('confirm').open && document.activeElement.dataset.action === 'square-off'");
    browser.says(&cell("Status"), "RUNNING");
    // Enter opens it, Tab leads from "Cancel" to what is to be done.
    for key in ["\u{e007}", "\u{e004}", "\u{e007}"] {
        browser.holds("document.activeElement.matches('[data-action=square-off], #confirm button')");
        browser.press(key);
    }
    browser.says(&cell("Position"), "Sold at 2500.00");
    browser.says(&cell("Status"), "STOPPED");
    browser.holds("!document.getElementById('confirm').open && document.activeElement.id === 'detail-title'");

    browser.click("[data-action=remove]");
    browser.click("#confirm-choices button");
    browser.says("#empty", "There is no strategy yet.");
    browser.says("#events", "removed");
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}

#[test]
fn calm_mode_hides_amounts_and_is_remembered() {
    let Some(browser) = Browser::start("the page's calm mode") else { return };
    let world = World::start(&[]);
    world.add("alice", "s1", json!({}));
    browser.open(&world.url(""));
    browser.says(&cell("Position"), "Long 10");
    world.feed.say("RELIANCE", "2550.00");
    browser.says(&cell("Profit and loss"), "+500.00");
    browser.holds("!document.querySelector('.blurred')");
    browser.click("#calm");
    let is_hidden = "document.querySelector('#rows .blurred')?.getAttribute('aria-hidden') === 'true' \
        && getComputedStyle(document.querySelector('#rows .blurred')).filter.includes('blur') \
        && document.querySelector('#unrealised .blurred')";
    browser.holds(is_hidden);
    browser.says(&cell("Profit and loss"), "Gain");
    browser.open(&world.url("?again"));
    browser.holds(is_hidden);
    browser.click("#calm");
    browser.holds("!document.querySelector('.blurred')");
}
