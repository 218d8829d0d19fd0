//! The page about the HTTP API: what the document says, and a request sent through it.

use super::World;
use super::access::{SECRET, issue};
use super::browser::Browser;
use serde_json::{Value as Json, json};

#[test]
fn a_route_is_found_and_tried_with_ones_own_token() {
    let Some(browser) = Browser::start("the page about the HTTP API") else { return };
    let world = World::start(&[("STRAT_HTTP_JWT_SECRET", SECRET)]);
    let alice = issue("alice");
    browser.open(&world.url("docs"));
    browser.says("#about", "Problems are application/problem+json");
    let document: Json = serde_json::from_str(&world.engine.get("/api/openapi.json").unwrap().1).unwrap();
    let count: usize =
        document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    browser.holds(&format!("document.querySelectorAll('#by-tag .route').length === {count}"));

    // Without a token it says what is missing.
    browser.says("#who-text", "give a bearer token");
    browser.click("#get_token summary");
    browser.click("#get_token .attempt [type=submit]");
    browser.says("#get_token .status", "401");
    browser.fill("#who [name=token]", &alice);
    browser.click("#who-button");
    browser.says("#who-text", "You are alice.");
    browser.click("#get_token .attempt [type=submit]");
    browser.says("#get_token .status", "200");
    browser.says("#get_token pre[aria-label='Body of the answer']", "\"name\": \"alice\"");
    browser.says("#get_token pre[aria-label='Headers of the answer']", "ratelimit-remaining: ");

    // A write from the example, and a look at what it made, found by its name.
    browser.fill("#find", "price-alerts");
    browser.holds("document.querySelectorAll('#by-tag .route:not([hidden])').length === 3");
    browser.click("#post_cache_price_alerts summary");
    browser.says("#post_cache_price_alerts", "ABOVE or BELOW");
    browser.says("#post_cache_price_alerts [role=group][aria-label=Body]", "expires_in_seconds");
    browser.click("#post_cache_price_alerts .attempt [type=submit]");
    browser.says("#post_cache_price_alerts .status", "201");
    browser.click("#get_cache_price_alerts summary");
    browser.click("#get_cache_price_alerts .attempt [type=submit]");
    browser.says("#get_cache_price_alerts pre[aria-label='Body of the answer']", "\"symbol\": \"RELIANCE\"");
    let shell = browser.js("return document.querySelector('#post_cache_price_alerts .shell').textContent");
    let shell = shell.as_str().unwrap();
    assert!(shell.contains("$TOKEN") && !shell.contains(&alice) && shell.contains("-X POST"), "{shell}");

    // A stream ends by itself, and an address leads to its route.
    browser.open(&world.url("docs#get_events"));
    browser.holds("document.getElementById('get_events')?.open");
    browser.click("#get_events .attempt [type=submit]");
    browser.says("#get_events pre[aria-label='Body of the answer']", "event: ready");
    assert_eq!(browser.complaints(), Vec::<Json>::new());
}

#[test]
fn nobody_finds_a_barrier_on_the_page_about_the_http_api() {
    let Some(browser) = Browser::start("axe-core on the page about the HTTP API") else { return };
    let world = World::start(&[]);
    browser.open(&world.url("docs#patch_strategies_id"));
    browser.holds("document.getElementById('patch_strategies_id')?.open");
    browser.click("#get_pnl summary");
    browser.click("#get_pnl .attempt [type=submit]");
    browser.says("#get_pnl .status", "200");
    for scheme in ["light", "dark"] {
        browser.colours(scheme);
        for (width, height) in [(1280, 900), (390, 844)] {
            browser.size(width, height);
            assert_eq!(browser.barriers(), json!([]), "{scheme}, {width} wide");
            let room = browser.js("return document.documentElement.scrollWidth - innerWidth");
            assert!(room.as_i64().unwrap() <= 0, "{room} px stand out at {width}");
        }
    }
}
