#!/usr/bin/env bash
# The benchmark table: scripts/bench.sh [-json FILE] [-quick] [-only WHAT,...]. Installs nginx and wrk
# where they are missing. Results mean most on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in nginx wrk; do
	command -v "$tool" >/dev/null && continue
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "$tool is missing: install the package $tool" >&2
		exit 1
	fi
	apt-get install -y -qq "$tool" >/dev/null
	[ "$tool" != nginx ] || systemctl disable --now nginx >/dev/null 2>&1 || true
done

go run ./internal/sandbox/gvisor/mend -out .cache/engine
export CGO_ENABLED=0 GOWORK="$PWD/.cache/engine/go.work"
go build -o .cache/bench ./bench
exec .cache/bench "$@"
