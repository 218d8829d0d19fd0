#!/usr/bin/env bash
# `make release`: a tarball of the built module and engine with everything that installs them, and its checksum, in
# target/release-tarball. The same commit and programs give the same bytes.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

engine=${STRAT_ENGINE:-$engine} module=${STRAT_MODULE:-$module}
check_built
version=$("$engine" --version | cut -d' ' -f2)
name=strat-$version-linux-$(uname -m)
out=${CARGO_TARGET_DIR:-$root/target}/release-tarball
# The last commit's time, unless the environment says another, as is the custom of reproducible builds.
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}

mkdir -p "$out"
stage=$(mktemp -d "$out/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
top=$stage/$name
mkdir -p "$top/bin" "$top/lib" "$top/scripts"
# Without the lines of the sources, which are nine tenths of it; names of functions stay, for backtraces.
strip --strip-debug -o "$top/bin/strat-engine" "$engine"
strip --strip-debug -o "$top/lib/libstrat.so" "$module"
chmod 755 "$top/bin/strat-engine" "$top/lib/libstrat.so"
cp "$root"/scripts/{lib,install,backup,passwords}.sh "$top/scripts/"
cp -r "$root/deploy" "$root/docs" "$top/"
cp "$root/README.md" "$root/CHANGELOG.md" "$root/LICENSE" "$root/redis.conf" "$top/"

tarball=$out/$name.tar.gz
chmod -R u=rwX,go=rX "$top"
tar -C "$stage" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"$tarball.new"
mv "$tarball.new" "$tarball"
(cd "$out" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
say "$tarball"
say "$(cat "$tarball.sha256")"
