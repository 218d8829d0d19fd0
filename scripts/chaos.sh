#!/usr/bin/env bash
# `make chaos [KILLS=n] [SEED=s] [CLASS=dedupes|queryable|none]`: real processes trade while they are killed, paused and
# cut off from one another. Fifty kills and the healing afterwards take about two minutes. Before that, a minute for
# engines that die at every point of their work at the local servers of brokers.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The engine can kill itself at named points of its work, which the one that users run must not.
target=$root/target/planted
cd "$root"
cargo build --release --locked --target-dir "$target" -p strat-module -p strat-engine --features strat-engine/planted
export STRAT_MODULE=$target/release/libstrat.so STRAT_ENGINE=$target/release/strat-engine
export STRAT_CHAOS_KILLS=${KILLS:-50}
[[ -z ${SEED:-} ]] || export STRAT_CHAOS_SEED=$SEED
[[ -z ${CLASS:-} ]] || export STRAT_CHAOS_CLASS=$CLASS
exec cargo test --locked -p strat-tests -- chaos:: --nocapture --test-threads 1
