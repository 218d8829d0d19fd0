#!/usr/bin/env bash
# A stop from arming to its order, and a price alert, from the shell: nothing but redis-cli.
#
#   stop.sh                       a server on 127.0.0.1:6379
#   stop.sh -s /path/redis.sock   or any other options of redis-cli
#
# Uses the user `stop-cli` and removes what it made. Ends with 0 if everything answered as expected.
set -euo pipefail

key=user:stop-cli:strategy:s1
alert=user:stop-cli:alert:a1
cli=(redis-cli --raw "$@")

strat() { "${cli[@]}" "$@"; }

expect() { # WHAT EXPECTED FOUND
    printf '%s: %s\n' "$1" "$3"
    [[ $3 == "$2" ]] || {
        printf '%s: expected "%s"\n' "$1" "$2" >&2
        exit 1
    }
}

strat STRAT.DEL "$key" >/dev/null
strat DEL "$alert" >/dev/null

# --- a position and its stop
strat STRAT.SET "$key" symbol STOP.SH quantity 10 position BOUGHT entry_price 100 stop_loss 99.50 trail 1.00 >/dev/null
expect 'quiet tick' 0 "$(strat STRAT.SLCHECK STOP.SH 100.20)"
expect 'new best' 0 "$(strat STRAT.SLCHECK STOP.SH 102.00)"
expect 'the trailing stop' 1 "$(strat STRAT.SLCHECK STOP.SH 101.00)"
expect 'once' 0 "$(strat STRAT.SLCHECK STOP.SH 90.00)"
expect pending STOPLOSS "$(strat HGET "$key" pending)"
# --- end

# --- what has to be sold
order=$(strat XREVRANGE queue:exits + - COUNT 1)
expect 'order for' "$key" "$(grep -x -A1 key <<<"$order" | tail -n 1)"
expect 'at the price of' 101.00 "$(grep -x -A1 price <<<"$order" | tail -n 1)"
# --- end
strat XDEL queue:exits "$(head -n 1 <<<"$order")" >/dev/null

# --- a price alert
strat STRAT.ALERT "$alert" STOP.SH ABOVE 110 EX 3600 >/dev/null
expect 'alert fires' 1 "$(strat STRAT.SLCHECK STOP.SH 110.50)"
expect 'alert status' TRIGGERED "$(strat HGET "$alert" status)"
# --- end

# --- several ticks of one call, with their time
expect 'ticks of one call' 0 "$(strat STRAT.SLCHECK STOP.SH 110.60 OTHER.SH 5 TS "$(date +%s)000")"
# --- end

strat DEL "$alert" price:OTHER.SH price:STOP.SH trail:STOP.SH >/dev/null
expect removed 1 "$(strat STRAT.DEL "$key")"
echo 'all as expected'
