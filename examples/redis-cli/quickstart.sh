#!/usr/bin/env bash
# strat from the shell: nothing but redis-cli.
#
#   quickstart.sh                       a server on 127.0.0.1:6379
#   quickstart.sh -s /path/redis.sock   or any other options of redis-cli
#
# Uses the user `quickstart-cli` and removes what it made. Ends with 0 if everything answered as expected.
set -euo pipefail

key=user:quickstart-cli:strategy:s1
cli=(redis-cli --raw "$@")

strat() { "${cli[@]}" "$@"; }

expect() { # WHAT EXPECTED FOUND
    printf '%s: %s\n' "$1" "$3"
    [[ $3 == "$2" ]] || {
        printf '%s: expected "%s"\n' "$1" "$2" >&2
        exit 1
    }
}

# Waits until a command's output has a text; every wait ends.
wait_for() { # TEXT COMMAND...
    local text=$1 tries
    shift
    for ((tries = 0; tries < 200; tries++)); do
        if [[ $("$@") == *"$text"* ]]; then return; fi
        sleep 0.05
    done
    echo "still no $text after 10 seconds" >&2
    exit 1
}

strat STRAT.DEL "$key" >/dev/null

# A listener to this user's events, in the background.
events=$(mktemp)
"${cli[@]}" SUBSCRIBE events:quickstart-cli >"$events" &
listener=$!
trap 'kill "$listener" 2>/dev/null || true; rm -f "$events"' EXIT
wait_for subscribe cat "$events"

# Set and get: every text comes back as it was given.
expect set 1 "$(strat STRAT.SET "$key" symbol IBM quantity 10 stop_loss 2500.00)"
expect stop_loss 2500.00 "$(strat HGET "$key" stop_loss)"
expect get 2500.00 "$(strat STRAT.GET "$key" | grep -x -A1 stop_loss | tail -n 1)"
wait_for STRATEGY_STARTED cat "$events"

# Update: the other fields stay. A bad price changes nothing.
expect update 2 "$(strat STRAT.UPDATE "$key" stop_loss 2490.50)"
expect updated 2490.50 "$(strat HGET "$key" stop_loss)"
refusal=$(strat STRAT.UPDATE "$key" stop_loss nan 2>&1 || true)
expect refused BADPRICE "${refusal%% *}"
wait_for STRATEGY_UPDATED cat "$events"

# List, all of mine and by symbol; the first line is the cursor.
expect list "$key" "$(strat STRAT.LIST USER quickstart-cli | tail -n +2)"
expect 'by symbol' "$key" "$(strat STRAT.LIST USER quickstart-cli SYMBOL IBM | tail -n +2)"

# Lock twice: only one gets a token.
token=$(strat STRAT.LOCK "$key" BUY first 5000)
expect 'second lock' '' "$(strat STRAT.LOCK "$key" BUY second 5000)"
expect 'wrong token' 0 "$(strat STRAT.UNLOCK "$key" 1-1)"
expect unlock 1 "$(strat STRAT.UNLOCK "$key" "$token")"

# Remove.
expect removed 1 "$(strat STRAT.DEL "$key")"
expect gone 0 "$(strat EXISTS "$key")"
wait_for STRATEGY_REMOVED cat "$events"
echo 'all as expected'
