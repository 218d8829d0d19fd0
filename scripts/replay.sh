#!/usr/bin/env bash
# `make replay TICKS=… STRATEGIES=… REPORT=… [SPEED=max|N] [ARGS='…']`: replays a file of ticks
# through servers of its own, which are gone afterwards.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

check_built
usage="usage: make replay TICKS=/path/ticks.csv[.gz] STRATEGIES=/path/strategies.csv REPORT=/path/report.jsonl"
[[ -n ${TICKS:-} && -n ${STRATEGIES:-} && -n ${REPORT:-} ]] || die "$usage"
[[ -r $TICKS ]] || die "TICKS: cannot read $TICKS"
[[ -r $STRATEGIES ]] || die "STRATEGIES: cannot read $STRATEGIES"
[[ -d $(dirname "$REPORT") ]] || die "REPORT: no folder $(dirname "$REPORT")"

dir=$(mktemp -d /tmp/strat.XXXXXX) # not $TMPDIR: names of sockets must be short, and Postgres get there
cleanup() {
    trap '' INT TERM HUP
    stop_process "$dir/engine.pid" "$engine" TERM 30 KILL 5
    servers_remove "$dir"
    rm -rf "$dir"
}
trap cleanup EXIT
trap on_signal INT TERM HUP

servers_start "$dir" "$module" throwaway
export STRAT_PAPER_LEDGER=$dir/paper-ledger.jsonl
"$engine" migrate
read -ra more <<<"${ARGS:-}"
code=0
engine_run "$dir/engine.pid" replay --ticks "$TICKS" --strategies "$STRATEGIES" --report "$REPORT" \
    ${SPEED:+--speed "$SPEED"} "${more[@]}" || code=$?
exit "$code"
