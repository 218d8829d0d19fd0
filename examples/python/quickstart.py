#!/usr/bin/env python3
"""strat from Python: redis-py as it is, nothing but execute_command (and SUBSCRIBE).

    pip install redis
    REDIS_URL=redis://127.0.0.1:6379/ python quickstart.py     (or unix:///path/to/redis.sock)

Uses the user `quickstart-py` and removes what it made. Ends with 0 if everything answered as expected.
"""

import json
import os

import redis

KEY = "user:quickstart-py:strategy:s1"


def pairs(flat):
    """RESP2 replies maps as flat lists; redis-py leaves those of unknown commands as they are."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2]))


def expect(what, found, expected):
    print(f"{what}: {found}")
    if found != expected:
        raise SystemExit(f"{what}: expected {expected!r}, got {found!r}")


def next_event(events):
    """The next event; at most once and only while subscribed. The stream `journal` keeps them all."""
    for _ in range(10):
        message = events.get_message(timeout=1.0)
        if message and message["type"] == "message":
            return json.loads(message["data"])
    raise SystemExit("no event within 10 seconds")


def main():
    url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/").replace("redis+unix://", "unix://")
    client = redis.Redis.from_url(url, decode_responses=True, socket_timeout=5)
    strat = client.execute_command
    strat("STRAT.DEL", KEY)

    events = client.pubsub()
    events.subscribe("events:quickstart-py")
    if not events.get_message(timeout=5.0):
        raise SystemExit("no answer to SUBSCRIBE")

    # Set and get: every text comes back as it was given.
    strat("STRAT.SET", KEY, "symbol", "IBM", "quantity", "10", "stop_loss", "2500.00", "note", '{"by": "me"}')
    fields = pairs(strat("STRAT.GET", KEY))
    expect("stop_loss", fields["stop_loss"], "2500.00")
    expect("note", fields["note"], '{"by": "me"}')
    expect("event", next_event(events)["type"], "STRATEGY_STARTED")

    # Update: the other fields stay. A bad price changes nothing.
    strat("STRAT.UPDATE", KEY, "stop_loss", "2490.50")
    expect("updated", pairs(strat("STRAT.GET", KEY))["stop_loss"], "2490.50")
    expect("event", next_event(events)["type"], "STRATEGY_UPDATED")
    try:
        strat("STRAT.UPDATE", KEY, "stop_loss", "nan")
        raise SystemExit("a stop at nan was accepted")
    except redis.ResponseError as error:
        expect("refused", str(error).split(" ")[0], "BADPRICE")

    # List, all of mine and by symbol.
    cursor, keys = strat("STRAT.LIST", "USER", "quickstart-py")
    expect("my strategies", keys, [KEY])
    cursor, keys = strat("STRAT.LIST", "USER", "quickstart-py", "SYMBOL", "IBM")
    expect("by symbol", keys, [KEY])
    expect("symbols", int(pairs(strat("STRAT.SYMBOLS"))["IBM"]) >= 1, True)

    # Lock twice: only one gets a token.
    token = strat("STRAT.LOCK", KEY, "BUY", "first", 5000)
    expect("second lock", strat("STRAT.LOCK", KEY, "BUY", "second", 5000), None)
    expect("wrong token", strat("STRAT.UNLOCK", KEY, "1-1"), 0)
    expect("unlock", strat("STRAT.UNLOCK", KEY, token), 1)

    # Remove.
    expect("removed", strat("STRAT.DEL", KEY), 1)
    expect("gone", strat("STRAT.GET", KEY), None)
    expect("event", next_event(events)["type"], "STRATEGY_REMOVED")
    print("all as expected")


if __name__ == "__main__":
    main()
