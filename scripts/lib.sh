# shellcheck shell=bash disable=SC2034
# What every script here shares. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
run_dir=$root/.run
# Both are what `make build` leaves behind, or, for a first look, a quicker build.
built=${CARGO_TARGET_DIR:-$root/target}/${STRAT_PROFILE:-release}
engine=$built/strat-engine
module=$built/libstrat.so
# rustup's default place, for shells (sudo's, for one) that do not have it in PATH.
PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin

say() { printf 'strat: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

check_built() { [[ -x $engine && -f $module ]] || die "not built yet; run: make build"; }

# True while PID runs and its command line has MARK as one of its words, so that a number found in
# an old pid file never makes us signal a stranger. A dead child not yet waited for counts as gone.
alive() { # PID MARK
    local line
    [[ $1 =~ ^[0-9]+$ && -r /proc/$1/cmdline ]] || return 1
    line=$({ tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null) || return 1
    [[ " $line " == *" $2 "* ]]
}

wait_gone() { # PID MARK SECONDS
    local until=$((SECONDS + $3))
    while alive "$1" "$2"; do
        ((SECONDS < until)) || return 1
        sleep 0.05
    done
}

# Stops the process of a pid file, if it is ours and still there; each signal gets its time to work.
stop_process() { # PIDFILE MARK SIGNAL SECONDS [SIGNAL SECONDS]...
    local file=$1 mark=$2 pid
    shift 2
    [[ -f $file ]] || return 0
    pid=$(<"$file")
    while (($# > 0)) && alive "$pid" "$mark"; do
        kill "-$1" "$pid" 2>/dev/null || true
        wait_gone "$pid" "$mark" "$2" || say "process $pid did not end within $2 s of SIG$1"
        shift 2
    done
    alive "$pid" "$mark" && die "process $pid ($mark) does not end"
    rm -f "$file"
}

engine_pid=''
engine_stopping=''

# Signals go to the script only (the engine has a session of its own) and are passed on once, so the
# engine shuts down while its servers still run. Without an engine they just end the script.
on_signal() {
    [[ -n $engine_pid ]] || exit 130
    engine_stopping=yes
    kill -TERM "$engine_pid" 2>/dev/null || true
}

# Runs strat-engine until it ends, passing signals on; answers its exit code.
# PIDFILE lets a later run find an engine whose script was killed; `setpriv --pdeathsig` makes that
# rare: the kernel then sends SIGTERM to the engine as well.
engine_run() { # PIDFILE ARGUMENT...
    local pidfile=$1 code status
    shift
    trap on_signal INT TERM HUP
    # Background jobs cannot read the terminal, and start with SIGINT ignored: hence SIGTERM above.
    setsid setpriv --pdeathsig TERM -- "$engine" "$@" </dev/null &
    engine_pid=$!
    echo "$engine_pid" >"$pidfile"
    code=0
    wait "$engine_pid" || code=$?
    if [[ -n $engine_stopping ]]; then # wait came back because of the signal, not of the engine
        if ! wait_gone "$engine_pid" "$engine" 30; then
            say "the engine did not stop within 30 s, killing it"
            kill -KILL "$engine_pid" 2>/dev/null || true
        fi
        status=0
        wait "$engine_pid" 2>/dev/null || status=$?
        ((status == 127)) || code=$status # 127: collected already
    fi
    engine_pid=''
    rm -f "$pidfile"
    return "$code"
}
