#!/usr/bin/env bash
# `make install`, and the installer of a release's tarball: puts module, engine, settings, units and pages where they
# belong. What an operator has changed stays: a newer version of such a file is put beside it as NAME.new.
#   PREFIX=/usr/local   programs, units, pages        SYSCONFDIR=/etc       settings
#   STATEDIR=/var/lib   data                          RUNDIR=/run           sockets
#   MODULEDIR           the module; /usr/lib/redis/modules, from where Debian's own unit of Redis loads code, or where
#                       PREFIX is neither /usr nor /usr/local, PREFIX/lib/redis/modules
#   DESTDIR=            a folder that stands for / (for packages)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DESTDIR=${DESTDIR:-} PREFIX=${PREFIX:-/usr/local} SYSCONFDIR=${SYSCONFDIR:-/etc}
STATEDIR=${STATEDIR:-/var/lib} RUNDIR=${RUNDIR:-/run}
case $PREFIX in
    /usr | /usr/local) MODULEDIR=${MODULEDIR:-/usr/lib/redis/modules} ;;
    *) MODULEDIR=${MODULEDIR:-$PREFIX/lib/redis/modules} ;;
esac
for folder in "$PREFIX" "$SYSCONFDIR" "$STATEDIR" "$RUNDIR" "$MODULEDIR"; do
    # They end up in units and settings, where anything else would need quotes of different kinds.
    [[ $folder =~ ^/[A-Za-z0-9/._-]*$ ]] || die "'$folder' is not an absolute path of letters, digits and / . _ -"
done

engine=${STRAT_ENGINE:-$engine} module=${STRAT_MODULE:-$module}
if [[ -f $root/bin/strat-engine ]]; then # an unpacked release
    engine=$root/bin/strat-engine module=$root/lib/libstrat.so
fi
check_built

put() { # MODE FILE TARGET
    install -D -m "$1" "$2" "$DESTDIR$3"
}

# With the paths of this installation in it.
filled() { # FILE
    sed -e "s|@PREFIX@|$PREFIX|g" -e "s|@SYSCONFDIR@|$SYSCONFDIR|g" -e "s|@STATEDIR@|$STATEDIR|g" \
        -e "s|@RUNDIR@|$RUNDIR|g" -e "s|@MODULEDIR@|$MODULEDIR|g" "$1"
}

put_filled() { # MODE FILE TARGET
    filled "$2" | install -D -m "$1" /dev/stdin "$DESTDIR$3"
}

# An operator's file: never replaced, and never without a word.
keep_filled() { # MODE FILE TARGET
    local target=$DESTDIR$3
    if [[ ! -e $target ]]; then
        put_filled "$1" "$2" "$3"
    elif ! filled "$2" | cmp -s - "$target"; then
        put_filled "$1" "$2" "$3.new"
        say "$3 was changed and stays; what is new in this version is beside it: $3.new"
    fi
}

# Redis loads no module that may not be executed.
put 755 "$module" "$MODULEDIR/libstrat.so"
put 755 "$engine" "$PREFIX/bin/strat-engine"
for tool in backup passwords; do put 755 "$root/scripts/$tool.sh" "$PREFIX/bin/strat-$tool"; done

# The rules that come with each version, less the line that names the checkout's module.
grep -v '^loadmodule ' "$root/redis.conf" | install -D -m 644 /dev/stdin "$DESTDIR$PREFIX/share/strat/redis.conf"
keep_filled 640 "$root/deploy/redis/redis-production.conf" "$SYSCONFDIR/strat/redis.conf"
# A folder of its own: ACL SAVE writes a new file beside the old one.
install -d -m 750 "$DESTDIR$SYSCONFDIR/strat/acl"
keep_filled 640 "$root/deploy/redis/users.acl" "$SYSCONFDIR/strat/acl/users.acl"
keep_filled 600 "$root/deploy/engine/engine.toml" "$SYSCONFDIR/strat/engine.toml"

for unit in strat-engine redis-strat; do
    put_filled 644 "$root/deploy/systemd/$unit.service" "$PREFIX/lib/systemd/system/$unit.service"
done
put_filled 644 "$root/deploy/systemd/strat.sysusers" "$PREFIX/lib/sysusers.d/strat.conf"

for page in README.md CHANGELOG.md LICENSE; do put 644 "$root/$page" "$PREFIX/share/doc/strat/$page"; done
(cd "$root" && find docs -type f -print) | while read -r page; do
    put 644 "$root/$page" "$PREFIX/share/doc/strat/$page"
done

if [[ -z $DESTDIR ]]; then
    # Redis' account reads its settings and writes its users; without that account they stay root's.
    if ((EUID == 0)) && getent group redis >/dev/null; then
        chgrp redis "$SYSCONFDIR/strat/redis.conf" "$SYSCONFDIR/strat/acl/users.acl"
        chown redis:redis "$SYSCONFDIR/strat/acl" "$SYSCONFDIR/strat/acl/users.acl"
    fi
    say "installed; what comes next is in $PREFIX/share/doc/strat/docs/operations.md"
fi
