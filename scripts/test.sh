#!/usr/bin/env bash
# Every test that CI runs. Lists what was skipped, and why, at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 MOORAGE_BIN="$PWD/bin/moorage" MOORAGE_PYTHON="$PWD/.cache/venv/bin/python"
go run ./internal/sandbox/gvisor/mend -out .cache/engine
export GOWORK="$PWD/.cache/engine/go.work" # the engine with its faults mended
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0

run() { # run DIR ARGS...
	local dir=$1
	shift
	(cd "$dir" && go test -v -timeout 20m "$@") 2>&1 | tee -a "$log" |
		{ grep -E '^(ok|FAIL|panic)|^\s*--- FAIL' || true; } || status=1
}

unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; status=1; }
go vet ./... || status=1
run . ./...
for module in agent internal/aws/gen internal/aws/compat bench examples/hello-go; do
	run "$module" ./...
done
for module in compat hostile; do
	run "$module" -count=1 ./... # Go's cache of results does not look at the binary that they drive
done
# Outside the workspace: their dependencies are not the server's.
GOWORK=off run examples/newsroom -count=1 ./...
GOWORK=off run agent/otel ./...

if grep -qE '^\s*--- FAIL|^panic' "$log"; then
	echo
	echo "What the failing tests said:"
	awk '
		/^=== (RUN|CONT|NAME)/ { test = $3; next }
		/^ *--- (PASS|SKIP):/ { delete said[$3]; next }
		/^ *--- FAIL:/ { failed[++n] = $3; next }
		{ said[test] = said[test] "\n" $0 }
		END { for (i = 1; i <= n; i++) print "\n" failed[i] said[failed[i]] }' "$log" | tail -n 400
fi

echo
echo "Skipped, and why:"
grep -B1 -E '^\s*--- SKIP' "$log" | grep -v '^--$' | sed 's/^/  /' || echo "  nothing"
passed=$(grep -cE '^\s*--- PASS' "$log")
failed=$(grep -cE '^\s*--- FAIL' "$log")
skipped=$(grep -cE '^\s*--- SKIP' "$log")
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] || status=1
exit $status
