"""The loop of the usual Python service, for bench/ to compare with: for each tick, the active strategies are read one
by one and their levels compared.

usage: seed.py SOCKET TICKS; prints the seconds that the ticks took, and how many levels were crossed.
"""

import sys
import time

import redis


def check(client, price):
    crossed = 0
    for member in client.smembers("active_strategies"):
        user, strategy = member.split(":", 1)
        data = client.hgetall(f"user:{user}:strategy:{strategy}")
        if data.get("status") != "RUNNING" or data.get("position") != "BOUGHT" or data.get("pending"):
            continue
        stop, target = data.get("stop_loss"), data.get("take_profit")
        if (stop and price <= float(stop)) or (target and price >= float(target)):
            crossed += 1
    return crossed


def main():
    socket, ticks = sys.argv[1], int(sys.argv[2])
    client = redis.Redis(unix_socket_path=socket, decode_responses=True)
    client.ping()
    started = time.perf_counter()
    crossed = 0
    for tick in range(ticks):
        price = 2500.05 + tick % 90
        client.set("price:RELIANCE", price, px=10000)
        crossed += check(client, price)
    print(time.perf_counter() - started, crossed)


main()
