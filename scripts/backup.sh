#!/usr/bin/env bash
# Keeps what is true for good: the Postgres database. Redis needs no backup of its own, since the engine rebuilds it from
# the database and the broker. DATABASE_URL says which one.
#
#   strat-backup dump FOLDER [KEEP]   makes FOLDER/strat-<time>.dump, looks whether it can be read back, and keeps the
#                                     newest KEEP (14). Trading goes on meanwhile.
#   strat-backup restore FILE         puts one back into an empty database. Stop every engine first, and flush Redis
#                                     (FLUSHALL) afterwards: it may know of later things than the database does.
set -euo pipefail

die() {
    printf 'strat-backup: %s\n' "$*" >&2
    exit 1
}
usage() { die "usage: DATABASE_URL=postgres://... strat-backup dump FOLDER [KEEP] | restore FILE"; }

# A program's arguments are everybody's to read, its environment is not: the URL's password goes there.
take_password() {
    [[ -n ${DATABASE_URL:-} ]] || die "DATABASE_URL does not say which database"
    url=$DATABASE_URL
    if [[ $url =~ ^(postgres(ql)?://[^:/@?]*):([^@]*)@(.*)$ ]]; then
        url=${BASH_REMATCH[1]}@${BASH_REMATCH[4]}
        local coded=${BASH_REMATCH[3]}
        PGPASSWORD=$(printf '%b' "${coded//%/\\x}")
        export PGPASSWORD
    fi
    export PGAPPNAME=strat-backup PGCONNECT_TIMEOUT=10
}

need() { command -v "$1" >/dev/null || die "no $1: install postgresql-client, not older than the server"; }

part=''
dump() { # FOLDER KEEP
    local folder=$1 file old
    need pg_dump
    umask 077
    mkdir -p "$folder"
    # One that was cut short must not be taken for a dump: it gets its name when it is complete.
    part=$folder/.strat-backup.$$
    trap 'rm -f "$part"' EXIT
    # One snapshot of everything.
    pg_dump --format=custom --no-owner --no-privileges --lock-wait-timeout=10s --dbname="$url" --file="$part"
    pg_restore --list "$part" >/dev/null || die "the dump cannot be read back"
    file=$folder/strat-$(date -u +%Y%m%dT%H%M%SZ).dump
    sync "$part"
    mv "$part" "$file"
    printf '%s\n' "$file"
    mapfile -t old < <(find "$folder" -maxdepth 1 -name 'strat-*.dump' -type f | sort -r | tail -n +$(($2 + 1)))
    ((${#old[@]} == 0)) || rm -f -- "${old[@]}"
}

restore() { # FILE
    local tables
    need pg_restore
    [[ -r $1 ]] || die "$1 cannot be read"
    tables=$(psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$url" \
        -c "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    [[ $tables == 0 ]] || die "the database has $tables tables already; restore into an empty one (createdb), so that" \
        "nothing is overwritten by mistake"
    # All of it or nothing.
    pg_restore --single-transaction --exit-on-error --no-owner --no-privileges --dbname="$url" "$1"
    printf 'restored; next: FLUSHALL on Redis, then start the engine\n'
}

case ${1:-} in
    dump)
        [[ -n ${2:-} && ${3:-14} =~ ^[1-9][0-9]*$ ]] || usage
        take_password
        dump "$2" "${3:-14}"
        ;;
    restore)
        [[ -n ${2:-} ]] || usage
        take_password
        restore "$2"
        ;;
    *) usage ;;
esac
