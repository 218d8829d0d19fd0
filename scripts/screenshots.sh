#!/usr/bin/env bash
# `make screenshots`: the page's main states in a real browser, as pictures in target/screenshots/. Look at them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

check_built
export STRAT_SCREENSHOTS=${CARGO_TARGET_DIR:-$root/target}/screenshots STRAT_REQUIRE_SERVERS=1
export STRAT_MODULE=$module STRAT_ENGINE=$engine
cd "$root"
cargo test --locked -q -p strat-tests --test it -- --ignored --exact page::pictures::of_the_main_states
say "look at $STRAT_SCREENSHOTS"
