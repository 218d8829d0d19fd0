#!/usr/bin/env bash
# `make run`: private servers under .run/, the sample strategies, and the engine on a simulated
# market, until Ctrl-C. Data stay in .run/ for the next run.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

check_built
mkdir -p "$run_dir"
# One run per checkout. The children must not inherit the lock (9>&-): it ends with this script.
exec 9>"$run_dir/lock"
flock -n 9 || die "another 'make run' of this checkout is active"

cleanup() {
    trap '' INT TERM HUP # a second Ctrl-C must not leave a server behind; every wait is bounded
    stop_process "$run_dir/engine.pid" "$engine" TERM 30 KILL 5
    servers_stop "$run_dir"
    say "stopped; data kept in $run_dir"
}
trap cleanup EXIT
trap on_signal INT TERM HUP

# What a killed run left behind: the engine first, while its servers are still there.
stop_process "$run_dir/engine.pid" "$engine" TERM 30 KILL 5
servers_start "$run_dir" "$module" durable 9>&-
export STRAT_PAPER_LEDGER=${STRAT_PAPER_LEDGER:-$run_dir/paper-ledger.jsonl}

"$engine" migrate 9>&-
# The marker lies beside the database, so it goes when the database goes.
if [[ ! -f $pg_home/samples-imported ]]; then
    "$engine" strategy import "$root/samples/strategies.csv" 9>&-
    touch "$pg_home/samples-imported"
fi

# For a second terminal: the programs and where these servers are.
{
    printf 'export REDIS_URL=%q REDIS_SOCKET=%q DATABASE_URL=%q\n' "$REDIS_URL" "$redis_sock" "$DATABASE_URL"
    # shellcheck disable=SC2016 # for the shell that reads the file
    printf 'export PATH=%q:$PATH\n' "$(dirname "$engine")"
} >"$run_dir/env"

say "look inside, from another terminal:  . ${run_dir}/env && strat-engine strategy list"
say "  or:  redis-cli -s $redis_sock"
say "       psql '$DATABASE_URL'"
say "Ctrl-C stops everything"
code=0
engine_run "$run_dir/engine.pid" run "$@" 9>&- || code=$?
exit "$code"
