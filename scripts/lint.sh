#!/usr/bin/env bash
# The part of `make lint` that is not Rust's: shell scripts, container files, units, and what the dependencies may be.
# Each by a tool that `make setup-test` fetches; one that is missing is named and left out.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
PATH=$PATH:$run_dir/venv/bin
missing=()
has() { command -v "$1" >/dev/null || {
    missing+=("$1")
    false
}; }

if has shellcheck; then shellcheck -x scripts/*.sh examples/redis-cli/*.sh .ci/run; fi
if has hadolint; then hadolint deploy/docker/Dockerfile; fi
# What is copied from the checkout is there, and what is built in one stage finds its libraries in the others.
while read -r _ source _; do
    [[ -e $source ]] || die "deploy/docker/Dockerfile copies $source, which is not there"
done < <(grep '^COPY [^-]' deploy/docker/Dockerfile)
releases=$(sed -nE 's/^FROM [^ ]*(bookworm|trixie)[^ ]* .*/\1/p; t; s/^FROM ([^ ]+) .*/\1/p' deploy/docker/Dockerfile | sort -u)
[[ $releases != *$'\n'* ]] || die "the stages of deploy/docker/Dockerfile are of several releases: ${releases//$'\n'/, }"
if has cargo-deny; then cargo-deny --log-level error check licenses bans sources; fi
# Not only YAML: every secret, volume and dependency that a service names has to be there.
if python=$run_dir/venv/bin/python && "$python" -c 'import yaml' 2>/dev/null; then
    "$python" - deploy/docker/compose.yaml <<'PYTHON'
import sys, yaml

compose = yaml.safe_load(open(sys.argv[1]))
services = compose["services"]
for name, service in services.items():
    used = [("secrets", secret) for secret in service.get("secrets", [])]
    used += [("volumes", volume.split(":")[0]) for volume in service.get("volumes", [])]
    used += [("services", other) for other in service.get("depends_on", {})]
    for kind, what in used:
        if what not in compose.get(kind, {}):
            sys.exit(f"{sys.argv[1]}: service {name} names {what}, which is not among the {kind}")
PYTHON
else
    missing+=(PyYAML)
fi
((${#missing[@]} == 0)) || say "not checked, for want of ${missing[*]}; make setup-test fetches them"
