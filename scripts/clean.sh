#!/usr/bin/env bash
# Stops what a killed `make run` left running. `clean.sh data` also deletes what runs and tests keep.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[[ -d $run_dir ]] || exit 0
exec 9>"$run_dir/lock"
flock -n 9 || die "a 'make run' of this checkout is active; stop it first"
stop_process "$run_dir/engine.pid" "$engine" TERM 30 KILL 5
if [[ -d $run_dir/redis ]]; then # no servers were ever started otherwise
    . "$root/scripts/servers.sh"
    servers_stop "$run_dir"
    [[ ${1:-} != data ]] || servers_remove "$run_dir"
fi
if [[ ${1:-} == data ]]; then
    rm -rf "$run_dir"
    say "removed $run_dir"
fi
