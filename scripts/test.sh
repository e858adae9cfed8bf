#!/usr/bin/env bash
# Every test that CI runs. A package that fails is run once more; what passed only then is named as
# unsteady. Lists what was skipped, and why, at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 MOORAGE_BIN="$PWD/bin/moorage" MOORAGE_PYTHON="$PWD/.cache/venv/bin/python"
go run ./internal/sandbox/gvisor/mend -out .cache/engine
export GOWORK="$PWD/.cache/engine/go.work" # the engine with its faults mended
log=$(mktemp) unsteady=$(mktemp) part=$(mktemp)
trap 'rm -f "$log" "$unsteady" "$part"' EXIT
status=0

once() { # once DIR ARGS...: all output to $part, the verdicts to the terminal
	local dir=$1
	shift
	(cd "$dir" && go test -v "$@") 2>&1 | tee "$part" |
		{ grep -E '^(ok|FAIL|panic)|^\s*--- FAIL' || true; }
}

run() { # run DIR ARGS...
	local dir=$1 failed
	if once "$@"; then
		cat "$part" >>"$log"
		return
	fi
	failed=$(awk -F'\t' '$1 == "FAIL" && $2 != "" { split($2, p, " "); print p[1] }' "$part" | sort -u | tr '\n' ' ')
	words >>"$unsteady"
	if [ -z "$failed" ]; then
		cat "$part" >>"$log"
		status=1
		return
	fi
	passing "$part" >>"$log"
	echo "Once more: $failed"
	# shellcheck disable=SC2086 # one word per package
	once "$dir" -count=1 -timeout 20m $failed || status=1
	cat "$part" >>"$log"
}

passing() { # the output of the packages that passed: a package's lines end with its verdict
	awk -F'\t' '{ lines = lines $0 "\n" }
		$1 == "FAIL" && $2 != "" { lines = "" }
		/^(ok|\?) / { printf "%s", lines; lines = "" }' "$1"
}

words() { # what the failing tests of $part said, and where a test stood that ran out of time
	awk '
		/^=== (RUN|CONT|NAME)/ { test = $3; next }
		/^ *--- (PASS|SKIP):/ { delete said[$3]; next }
		/^ *--- FAIL:/ { failed[++n] = $3; next }
		/^panic:/ { panicked = 1 }
		panicked && ++lines <= 300 { print; next }
		{ said[test] = said[test] "\n" $0 }
		END { for (i = 1; i <= n; i++) print "\n" failed[i] said[failed[i]] }' "$part" | tail -n 400
}

unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; status=1; }
go vet ./... || status=1
run . -timeout 8m ./...
for module in agent internal/aws/gen internal/aws/compat bench examples/hello-go; do
	run "$module" -timeout 8m ./...
done
for module in compat hostile; do
	run "$module" -timeout 20m -count=1 ./... # Go's cache of results does not look at the binary that they drive
done
# Outside the workspace: their dependencies are not the server's.
GOWORK=off run examples/newsroom -timeout 8m -count=1 ./...
GOWORK=off run agent/otel -timeout 8m ./...

if [ -s "$unsteady" ]; then
	echo
	echo "What the tests said that failed at first:"
	cat "$unsteady"
fi

echo
echo "Skipped, and why:"
grep -B1 -E '^\s*--- SKIP' "$log" | grep -v '^--$' | sed 's/^/  /' || echo "  nothing"
passed=$(grep -cE '^\s*--- PASS' "$log")
failed=$(grep -cE '^\s*--- FAIL' "$log")
skipped=$(grep -cE '^\s*--- SKIP' "$log")
echo
[ ! -s "$unsteady" ] || [ $status != 0 ] || echo "Unsteady: see above what failed at first and passed when it was run again."
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] || status=1
exit $status
