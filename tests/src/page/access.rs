//! Who may use the page, and that everybody can: signing in, roles, and what axe-core finds.

use super::World;
use super::browser::Browser;
use serde_json::json;
use std::time::Duration;
use strat_engine::token::{Keys, Role};

pub(super) const SECRET: &str = "a-secret-of-at-least-32-bytes-for-tests";
const OPERATOR: &str = "an-operators-token";

pub(super) fn issue(user: &str) -> String {
    let now = u64::try_from(crate::support::now_ms() / 1_000).unwrap();
    Keys::new(&SECRET.to_owned().into()).issue(user, Role::User, Duration::from_secs(3_600), now).unwrap().0
}

#[test]
fn who_has_to_sign_in_does_and_the_token_stays_in_the_tab() {
    let Some(browser) = Browser::start("signing in on the page") else { return };
    let world = World::start(&[("STRAT_HTTP_JWT_SECRET", SECRET), ("STRAT_HTTP_TOKEN", OPERATOR)]);
    browser.open(&world.url(""));
    browser.holds("document.getElementById('login').open");
    let sign_in = |token: &str| {
        browser.fill("#login [name=token]", token);
        browser.click("#login [type=submit]");
    };
    sign_in("a-wrong-token");
    browser.holds("!document.getElementById('login-error').hidden && document.getElementById('login').open");
    let alice = issue("alice");
    sign_in(&alice);
    browser.says("#empty", "There is no strategy yet.");
    browser.holds("!document.getElementById('login').open");
    browser.holds("document.getElementById('admin').hidden && document.getElementById('user-field').hidden");
    let kept = browser
        .js("return [JSON.stringify(sessionStorage), JSON.stringify(localStorage) + document.cookie + location.href]");
    assert!(kept[0].as_str().unwrap().contains(&alice) && !kept[1].as_str().unwrap().contains(&alice), "{kept}");
    browser.open(&world.url("?again"));
    browser.says("#empty", "There is no strategy yet.");

    browser.click("#sign-out");
    browser.holds("document.getElementById('login').open && sessionStorage.length === 0");
    sign_in(OPERATOR);
    browser.holds("!document.getElementById('admin').hidden && !document.getElementById('user-field').hidden");
    browser.click("#halt");
    browser.fill("#confirm [name=reason]", "the market is mad");
    browser.click("#confirm-choices button");
    browser.says("[data-banner=halted]", "the market is mad");
    assert_eq!(browser.complaints(), Vec::<serde_json::Value>::new());
}

#[test]
fn nobody_finds_a_barrier_in_light_and_dark_on_a_desk_and_a_phone() {
    let Some(browser) = Browser::start("axe-core on the page") else { return };
    let world = World::start(&[]);
    world.add("alice", "s1", json!({ "stop_loss": "2490", "take_profit": "2600" }));
    world.add("bob", "s2", json!({ "stop_loss": "2400", "status": "STOPPED" }));
    browser.open(&world.url("#/alice/s1"));
    browser.says("#rows", "Long 10 at 2500.00");
    browser.says("#fills", "buy");
    let check = |what: &str| {
        for scheme in ["light", "dark"] {
            browser.colours(scheme);
            for (width, height) in [(1280, 900), (390, 844)] {
                browser.size(width, height);
                assert_eq!(browser.barriers(), json!([]), "{what}, {scheme}, {width} wide");
                let room = browser.js("return document.documentElement.scrollWidth - innerWidth");
                assert!(room.as_i64().unwrap() <= 0, "{what}: {room} px stand out at {width}");
            }
        }
    };
    check("a strategy");
    browser.click("[data-action=stop]");
    check("the question");
    browser.click("#confirm [data-close]");
    browser.click("#new");
    browser.click("#create [type=submit]");
    browser.says("#create-error", "is missing");
    check("the form");
    browser.click("#create [data-close]");
    browser.click("#close");
    browser.holds("document.getElementById('detail').hidden");
    world.feed.say("RELIANCE", "2480.00");
    browser.says("#rows", "Stopped out");
    check("the list");
}
