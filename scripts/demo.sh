#!/usr/bin/env bash
# `make demo`: replays the sample day and prints its trades, exits by reason, profit and loss.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mkdir -p "$run_dir"
export TICKS=$root/samples/ticks.csv.gz STRATEGIES=$root/samples/strategies-day.csv
export REPORT=$run_dir/demo-report.jsonl SPEED='' ARGS=--table
exec "$root/scripts/replay.sh"
