#!/usr/bin/env bash
# Every test that CI runs. What fails is run once more; what passed only then is named as unsteady.
# Lists what was skipped, and why, at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 MOORAGE_BIN="$PWD/bin/moorage" MOORAGE_PYTHON="$PWD/.cache/venv/bin/python"
go run ./internal/sandbox/gvisor/mend -out .cache/engine
export GOWORK="$PWD/.cache/engine/go.work" # the engine with its faults mended
export GOFLAGS=-trimpath                   # as make builds, or all that both need would be compiled twice
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0

once() { # once PART DIR ARGS...: all output to PART, the verdicts to the terminal
	local part=$1 dir=$2
	shift 2
	(cd "$dir" && go test -vet=off -v "$@") 2>&1 | tee "$part" |
		{ grep -E '^(ok|FAIL|panic)|^\s*--- FAIL' || true; }
}

run() { # run DIR ARGS...: in files of its own, so that several may run at once
	local dir=$1 to verdict=0 package tests
	to=$(mktemp -d "$out/XXXX")
	once "$to/part" "$@" || verdict=1
	if [ $verdict = 0 ]; then
		cat "$to/part" >>"$to/log"
		return
	fi
	words "$to/part" >"$to/unsteady"
	failing "$to/part" >"$to/failing"
	[ -s "$to/failing" ] || { cat "$to/part" >>"$to/log"; return 1; }
	verdict=0
	lasting "$to/part" >>"$to/log"
	while read -r package tests; do
		echo "Once more: $package ${tests//|/ }"
		once "$to/again" "$dir" -count=1 -timeout 40m ${tests:+-run "^($tests)\$"} "$package" </dev/null || verdict=1
		cat "$to/again" >>"$to/log"
	done <"$to/failing"
	return $verdict
}

failing() { # a line for each package that failed: its name, and the tests that did, unless it was cut off before its end
	awk -F'\t' '
		/^--- FAIL: / { split($0, f, " "); tests = tests (tests == "" ? "" : "|") f[3] }
		$0 == "FAIL" { ended = 1 }
		$1 == "FAIL" && $2 != "" { split($2, p, " "); print p[1], ended ? tests : "" }
		$1 == "FAIL" && $2 != "" || /^(ok|\?) / { tests = ""; ended = 0 }' "$1"
}

lasting() { # what stays true of a first run: all that passed, but for packages that were cut off
	awk -F'\t' '
		/^ *--- FAIL: / { next }
		$0 == "FAIL" { ended = 1 }
		{ lines = lines $0 "\n" }
		$1 == "FAIL" && $2 != "" && !ended { lines = "" }
		$1 == "FAIL" && $2 != "" || /^(ok|\?) / { printf "%s", lines; lines = ""; ended = 0 }' "$1"
}

words() { # what the failing tests of a part said, and where a test stood that ran out of time
	awk '
		/^=== (RUN|CONT|NAME)/ { test = $3; next }
		/^ *--- (PASS|SKIP):/ { delete said[$3]; next }
		/^ *--- FAIL:/ { failed[++n] = $3; next }
		/^panic:/ { panicked = 1 }
		panicked && ++lines <= 300 { print; next }
		{ said[test] = said[test] "\n" $0 }
		END { for (i = 1; i <= n; i++) print "\n" failed[i] said[failed[i]] }' "$1" | tail -n 400
}

unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; status=1; }
modules=(agent internal/aws/gen internal/aws/compat bench examples/hello-go)
go vet ./... $(printf './%s/... ' "${modules[@]}" hostile compat) || status=1 # at once: each go test would look at what they share again
run . -timeout 8m ./... || status=1
for module in "${modules[@]}"; do
	run "$module" -timeout 8m ./... || status=1
done
# These two drive the binary, at which Go's cache of results does not look, and wait most of their time; the console's tests wait for a browser.
{
	run hostile -timeout 40m -count=1 ./... || status=1
	run compat -timeout 40m -count=1 -run '^TestConsole' . || status=1
	exit $status
} &
run compat -timeout 40m -count=1 -skip '^TestConsole' ./... || status=1
wait $! || status=1
# Outside the workspace: their dependencies are not the server's.
(cd examples/newsroom && GOWORK=off go vet ./...) || status=1
GOWORK=off run examples/newsroom -timeout 8m -count=1 ./... || status=1
(cd agent/otel && GOWORK=off go vet ./...) || status=1
GOWORK=off run agent/otel -timeout 8m ./... || status=1

cat "$out"/*/log >"$out/log"
cat "$out"/*/unsteady >"$out/unsteady" 2>/dev/null
if [ -s "$out/unsteady" ]; then
	echo
	echo "What the tests said that failed at first:"
	cat "$out/unsteady"
fi

echo
echo "Skipped, and why:"
grep -B1 -E '^\s*--- SKIP' "$out/log" | grep -v '^--$' | sed 's/^/  /' || echo "  nothing"
passed=$(grep -cE '^\s*--- PASS' "$out/log")
failed=$(grep -cE '^\s*--- FAIL' "$out/log")
skipped=$(grep -cE '^\s*--- SKIP' "$out/log")
echo
[ ! -s "$out/unsteady" ] || [ $status != 0 ] || echo "Unsteady: see above what failed at first and passed when it was run again."
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] || status=1
exit $status
