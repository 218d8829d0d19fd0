#!/usr/bin/env python3
"""Executes strat's orders from Python: the queues, the lock, the report. redis-py as it is.

    pip install redis
    REDIS_URL=redis://127.0.0.1:6379/ python executor.py

`strat-engine` does this with retries, look-ups at the broker and a durable journal: take this to understand it, or as the
start of an executor of your own. Not beside a running engine: both would execute the same orders.

Uses the user `executor-py` and removes what it made. Ends with 0 if everything answered as expected.
"""

import os
import time

import redis

KEY = "user:executor-py:strategy:s1"
GROUP, CONSUMER = "engine", "executor-py"


def expect(what, found, expected):
    print(f"{what}: {found}")
    if found != expected:
        raise SystemExit(f"{what}: expected {expected!r}, got {found!r}")


def connect():
    url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/").replace("redis+unix://", "unix://")
    return redis.Redis.from_url(url, decode_responses=True, socket_timeout=5)


# --- the group, once
def create_groups(client):
    for queue in ("queue:exits", "queue:orders"):
        try:
            client.xgroup_create(queue, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
# --- end


# --- the next order
def next_order(client):
    """Exits first, always; entries only when there are none."""
    for queue in ("queue:exits", "queue:orders"):
        found = client.xreadgroup(GROUP, CONSUMER, {queue: ">"}, count=1)
        streams = found.items() if isinstance(found, dict) else found or []
        for _, entries in streams:
            # RESP3 replies wrap the entries in one list more.
            entries = entries[0] if entries and isinstance(entries[0], list) else entries
            for entry, fields in entries:
                return queue, entry, fields
    return None
# --- end


def broker_fill(action, price):
    """Stands for your broker: fills everything at once. A real one is asked under a client order id."""
    return {"quantity": "10", "price": price or "2550.00", "order": f"demo-{action}"}


# --- execute one
def execute(client, queue, entry, fields):
    strat = client.execute_command
    key, action = fields["key"], fields["action"]
    try:
        token = strat("STRAT.LOCK", key, action, CONSUMER, 5000)
    except redis.ResponseError as error:
        # BUSY: the strategy does not want this order any more. NOSTRAT: it is gone. Drop the entry.
        if str(error).split(" ")[0] not in ("BUSY", "NOSTRAT"):
            raise
        client.xack(queue, GROUP, entry)
        client.xdel(queue, entry)
        return None
    if token is None:
        return None  # somebody else is at it: the entry stays pending
    fill = broker_fill(action, fields["price"])
    return strat(
        "STRAT.REPORT", key, token, "FILL", "CUMQTY", fill["quantity"], "AVGPX", fill["price"],
        "ORDER", fill["order"], "ACK", queue, entry,
    )
# --- end


def run_one(client):
    order = next_order(client)
    return order and (order[2]["action"], execute(client, *order))


def main():
    client = connect()
    strat = client.execute_command
    strat("STRAT.DEL", KEY)
    create_groups(client)
    now = int(time.time() * 1000)
    strat("STRAT.SET", KEY, "symbol", "EXEC.PY", "quantity", "10", "buy_at", now, "stop_loss", "2500.00")
    expect("due", strat("STRAT.DUE", now)[0], 1)
    expect("entry", run_one(client), ("BUY", 3))
    expect("position", client.hget(KEY, "position"), "BOUGHT")
    expect("quiet tick", strat("STRAT.SLCHECK", "EXEC.PY", "2500.05"), 0)
    expect("stop crossed", strat("STRAT.SLCHECK", "EXEC.PY", "2499.95"), 1)
    expect("exit", run_one(client), ("STOPLOSS", 5))
    expect("position", client.hget(KEY, "position"), "EXITED_BY_SL")
    expect("nothing left", run_one(client), None)
    expect("removed", strat("STRAT.DEL", KEY), 1)
    print("all as expected")


if __name__ == "__main__":
    main()
