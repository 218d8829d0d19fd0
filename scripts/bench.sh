#!/usr/bin/env bash
# `make bench`, `make bench-full`, `make bench-accept`: measures the built module and engine side by side with what
# else could be used. docs/benchmarks.md says what comes out.
#   scripts/bench.sh quick|full [--only PART,…] [--accept] …
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

check_built
scale=${1:-quick}
shift || true
# Instructions are counted where valgrind is there, or can be had; everything else runs without it.
command -v valgrind >/dev/null || "$root/scripts/setup.sh" bench ||
    say "no valgrind: the instruction counts are left out"
cd "$root"
export STRAT_MODULE=$module STRAT_ENGINE=$engine
cargo build --release --locked -q -p strat-bench
read -ra more <<<"${ARGS:-}"
exec "$(dirname "$engine")/bench" --scale "$scale" "$@" "${more[@]}"
