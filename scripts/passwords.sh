#!/usr/bin/env bash
# Lets users of an ACL file in: each gets a password of its own, which is printed once and kept nowhere but as a hash.
#   strat-passwords /etc/strat/acl/users.acl engine admin feed
# Users that are let in already are refused: ACL SETUSER name resetpass >new changes a password while the server runs.
set -euo pipefail

die() {
    printf 'strat-passwords: %s\n' "$*" >&2
    exit 1
}

(($# >= 2)) || die "usage: strat-passwords FILE USER..."
file=$1
shift
[[ -w $file ]] || die "$file is not there or may not be written"
for user in "$@"; do
    [[ $user =~ ^[A-Za-z0-9_.@-]+$ ]] || die "'$user' is no name of a user"
    grep -q "^user $user off " "$file" || die "$file has no line 'user $user off ...'"
done

# Beside the file, with its owner and mode, so that the last step is one that happens or does not.
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
cp -p "$file" "$new"
for user in "$@"; do
    password=$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')
    hash=$(printf '%s' "$password" | sha256sum | cut -d' ' -f1)
    sed -i "s/^user $user off /user $user on #$hash /" "$new"
    printf '%s %s\n' "$user" "$password"
done
mv "$new" "$file"
