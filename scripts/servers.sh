# shellcheck shell=bash disable=SC2154
# A private redis-server and a private Postgres in a folder. Sourced, after lib.sh.
#
#   servers_start DIR MODULE durable|throwaway   starts both, exports REDIS_URL and DATABASE_URL
#   servers_stop DIR                             stops both; also those that a killed run left there
#   servers_remove DIR                           stops both and deletes their data
#
# Both listen on Unix sockets only, in folders that no other user may enter: no port to clash with
# servers of the machine, no password to keep. MODULE may be empty (plain Redis).
#
# Call these from the script's own shell, not from $(…) or a pipe: the servers are tied to the shell
# that started them (--pdeathsig) and end with it, even when it is killed.

start_seconds=${STRAT_START_SECONDS:-120} # a big append-only file or a crash recovery takes a while

redis_server=${REDIS_SERVER:-redis-server}

short_hash() { printf '%s' "$1" | sha256sum | cut -c1-12; }

# DIR itself if a socket in it has a legal name (at most 107 bytes) that needs no quoting in URLs
# and settings, else a short folder in /tmp.
socket_dir() { # DIR
    local LC_ALL=C
    if ((${#1} <= 85)) && [[ $1 != *[^A-Za-z0-9/._-]* ]]; then
        printf '%s' "$1"
    else
        printf '/tmp/strat-%s-%s' "$EUID" "$(short_hash "$1")"
    fi
}

# Creates a folder that only OWNER may enter. Refuses one prepared by somebody else (think of /tmp).
private_dir() { # DIR UID
    [[ -d $1 ]] || install -d -m 700 -o "$2" "$1"
    [[ ! -L $1 && $(stat -c %u "$1") == "$2" ]] || die "$1 is not a folder of user id $2; remove it"
    chmod 700 "$1"
}

# Postgres refuses to run as root: root's runs as the account that the package created.
pg_uid=$EUID
if ((EUID == 0)); then pg_uid=$(id -u postgres 2>/dev/null) || die "no user postgres; run: make setup"; fi
pg_account=(--reuid="$pg_uid" --regid="$(id -g "$pg_uid")" --init-groups)

# ---- Redis ----

redis_paths() { # DIR
    redis_dir=$1/redis
    redis_sock_dir=$(socket_dir "$redis_dir")
    redis_sock=$redis_sock_dir/redis.sock
}

# The repository's redis.conf with this folder's paths in place of its own.
redis_config() { # MODULE MODE
    if [[ -n $1 ]]; then grep -v '^loadmodule ' "$root/redis.conf"; else grep -vE '^(loadmodule |strat\.)' "$root/redis.conf"; fi
    printf '\n# --- set by scripts/servers.sh ---\n'
    [[ -z $1 ]] || printf 'loadmodule "%s"\n' "$1"
    printf 'port 0\nunixsocket "%s"\nunixsocketperm 700\ndir "%s"\n' "$redis_sock" "$redis_dir"
    printf 'daemonize no\nlogfile ""\n'
    # Puts the folder into the command line, by which `alive` knows the server again.
    printf 'proc-title-template "{title} %s"\n' "$redis_dir"
    # Throwaway data need not survive a power cut.
    [[ $2 == durable ]] || printf 'appendfsync no\nsave ""\n'
}

redis_start() { # DIR MODULE MODE
    local pid answer until=$((SECONDS + start_seconds))
    redis_paths "$1"
    redis_stop "$1"
    private_dir "$redis_dir" "$EUID"
    private_dir "$redis_sock_dir" "$EUID"
    redis_config "$2" "$3" >"$redis_dir/redis.conf"
    [[ ! -f $redis_dir/redis.log ]] || mv -f "$redis_dir/redis.log" "$redis_dir/redis.log.1"
    setsid setpriv --pdeathsig TERM -- "$redis_server" "$redis_dir/redis.conf" \
        </dev/null >"$redis_dir/redis.log" 2>&1 &
    pid=$!
    disown "$pid" # no job messages from bash
    echo "$pid" >"$redis_dir/redis.pid"
    until answer=$(env -u REDISCLI_AUTH redis-cli -s "$redis_sock" ping 2>&1) && [[ $answer == PONG ]]; do
        if ! kill -0 "$pid" 2>/dev/null || ((SECONDS >= until)); then
            tail -n 20 "$redis_dir/redis.log" >&2
            die "redis-server does not start; its log is above ($redis_dir/redis.log)"
        fi
        sleep 0.05
    done
    REDIS_URL=redis+unix://$redis_sock
    export REDIS_URL
}

redis_stop() { # DIR
    redis_paths "$1"
    stop_process "$redis_dir/redis.pid" "$redis_dir" TERM 30 KILL 10
    rm -f "$redis_sock"
}

# ---- Postgres ----

pg_paths() { # DIR
    pg_home=$1/postgres
    if ((EUID == 0)); then
        # A checkout below /root, say, is closed to user postgres: its data then goes to /var/lib.
        local elsewhere
        elsewhere=/var/lib/strat-$(short_hash "$1")
        if [[ -d $elsewhere ]] || { [[ -d $1 ]] && ! as_pg test -x "$1"; }; then pg_home=$elsewhere; fi
    fi
    pg_data=$pg_home/data
    pg_sock_dir=$(socket_dir "$pg_home")
}

# Runs a short command as the Postgres account, away from folders which that may not enter.
as_pg() {
    if ((EUID == 0)); then
        (cd / && LC_ALL=C exec setpriv "${pg_account[@]}" -- "$@")
    else
        LC_ALL=C "$@"
    fi
}

# Where initdb and postgres are: the version that wrote the data, or the newest.
pg_find() {
    local version dir
    if [[ -f $pg_data/PG_VERSION ]]; then
        version=$(<"$pg_data/PG_VERSION")
        dir=/usr/lib/postgresql/$version/bin
        if [[ -x $dir/postgres ]]; then
            pg_bin=$dir
            return
        fi
    fi
    dir=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
    [[ -x $dir ]] || dir=$(command -v postgres) || die "no Postgres server found; run: make setup"
    pg_bin=$(dirname "$dir")
    [[ -z ${version:-} || $("$pg_bin/postgres" --version) == *" $version"[.\ ]* ]] ||
        die "$pg_data was written by Postgres $version, which is not installed (make clean-data starts afresh)"
}

postgres_start() { # DIR MODE
    local pid log until=$((SECONDS + start_seconds)) options=()
    [[ ! ${!PG*} ]] || unset "${!PG@}" # the user's PGHOST and the like are about another server
    pg_paths "$1"
    pg_find
    postgres_stop "$1"
    private_dir "$pg_home" "$pg_uid"
    private_dir "$pg_sock_dir" "$pg_uid"
    if [[ ! -d $pg_data ]]; then
        # Under another name first, so that an interrupted initdb is not taken for a database.
        rm -rf "$pg_data.new"
        as_pg "$pg_bin/initdb" -D "$pg_data.new" -U strat --auth=trust --encoding=UTF8 --locale=C \
            --data-checksums >"$pg_home/initdb.log" 2>&1 || {
            cat "$pg_home/initdb.log" >&2
            die "initdb failed; its output is above"
        }
        mv "$pg_data.new" "$pg_data"
    fi
    [[ $2 == durable ]] || options=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off)
    log=$pg_home/postgres.log
    [[ ! -f $log ]] || mv -f "$log" "$log.1"
    : >"$log"
    pid=''
    until [[ -n $pid ]] && "$pg_bin/pg_isready" -q -h "$pg_sock_dir" -p 5432 -U strat -d postgres; do
        if [[ -n $pid ]] && ((SECONDS >= until)) || { postgres_died && ! grep -q 'shared memory block' "$log"; }; then
            tail -n 20 "$log" >&2
            die "Postgres does not start; its log is above ($log)"
        fi
        # Trying again helps when the last server was killed and its children are still on their way out.
        if [[ -z $pid ]] || postgres_died; then postgres_spawn "$log" "${options[@]}"; fi
        sleep 0.1
    done
    if [[ $("${psql[@]}" -c "SELECT 1 FROM pg_database WHERE datname = 'strat'") != 1 ]]; then
        "${psql[@]}" -c 'CREATE DATABASE strat' >/dev/null
    fi
    DATABASE_URL="postgres://strat@localhost/strat?host=$pg_sock_dir&port=5432"
    export DATABASE_URL
}

postgres_died() { [[ -n $pid ]] && ! kill -0 "$pid" 2>/dev/null; }

postgres_spawn() { # LOG OPTION... ; sets its caller's pid
    local log=$1 account=()
    shift
    ((EUID != 0)) || account=("${pg_account[@]}")
    psql=("$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$pg_sock_dir" -p 5432 -U strat -d postgres)
    # SIGINT is Postgres' fast shutdown: it does not wait for clients.
    (cd / && LC_ALL=C exec setsid setpriv "${account[@]}" --pdeathsig INT -- "$pg_bin/postgres" -D "$pg_data" \
        -c listen_addresses= -c unix_socket_directories="$pg_sock_dir" -c unix_socket_permissions=0700 \
        -c port=5432 -c logging_collector=off "$@") </dev/null >>"$log" 2>&1 &
    pid=$!
    disown "$pid"
    echo "$pid" >"$pg_home/postgres.pid"
}

postgres_stop() { # DIR
    local pid
    pg_paths "$1"
    if [[ ! -f $pg_home/postgres.pid && -f $pg_data/postmaster.pid ]]; then
        head -n 1 "$pg_data/postmaster.pid" >"$pg_home/postgres.pid"
    fi
    stop_process "$pg_home/postgres.pid" "$pg_data" INT 30 QUIT 10 KILL 5
    # A killed Postgres that its parent never collected (PID 1 of some containers) still has its
    # number, and the next one would take it for alive. Only that case needs help with the lock files.
    if [[ -f $pg_data/postmaster.pid ]] && pid=$(head -n 1 "$pg_data/postmaster.pid") &&
        grep -qs '^State:[[:space:]]*Z' "/proc/$pid/status"; then
        rm -f "$pg_data/postmaster.pid" "$pg_sock_dir/.s.PGSQL.5432.lock"
    fi
}

# ---- both ----

servers_start() { # DIR MODULE MODE
    mkdir -p "$1"
    [[ -O $1 ]] || die "$1 belongs to $(stat -c %U "$1"): run as that user, or remove it"
    # Root's Postgres account has to pass through; what is inside is closed to others by itself.
    if ((EUID == 0)); then chmod 711 "$1"; else chmod 700 "$1"; fi
    redis_start "$1" "$2" "$3"
    postgres_start "$1" "$3"
}

servers_stop() { # DIR
    redis_stop "$1"
    postgres_stop "$1"
}

servers_remove() { # DIR
    servers_stop "$1"
    rm -rf "$redis_dir" "$pg_home"
    # Only socket folders that were made elsewhere are left over.
    [[ $redis_sock_dir == "$redis_dir" ]] || rm -rf "$redis_sock_dir"
    [[ $pg_sock_dir == "$pg_home" ]] || rm -rf "$pg_sock_dir"
}
