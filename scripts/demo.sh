#!/usr/bin/env bash
# Deploys two real agents, one Python and one Go, each session in a gVisor sandbox of its own, and
# talks to them through the commands and through boto3. Ends with nothing left running.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d -t moorage-demo-XXXXXX)
port=${MOORAGE_DEMO_PORT:-9400}
moorage=bin/moorage
export MOORAGE_DIR="$dir"

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '\033[36m$ %s\033[0m\n' "$*"; "$@"; }

"$moorage" serve --dir "$dir" --listen "127.0.0.1:$port" >"$dir/server.log" 2>&1 &
server=$!
finish() {
	status=$?
	title "The end: nothing is left running"
	run "$moorage" down --dir "$dir" || true
	wait "$server" 2>/dev/null || true
	[ "$status" = 0 ] || { echo; echo "The demo failed; the server's log:"; tail -40 "$dir/server.log"; }
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
for _ in $(seq 200); do
	kill -0 "$server" 2>/dev/null || { cat "$dir/server.log"; exit 1; }
	[ -e "$dir/client.json" ] && break
	sleep 0.1
done

title "A Python agent, from a directory"
run "$moorage" deploy examples/hello-python --name hello_python --entrypoint main.py
session=demo-session-$(date +%s)-0123456789abcdefghij
run "$moorage" invoke --name hello_python --session "$session" --payload '{"prompt": "good morning"}'
echo
run "$moorage" invoke --name hello_python --session "$session" --payload '{"prompt": "and again", "stream": true}'
echo

title "A Go agent, as an image that was built without Docker"
run "$moorage" deploy examples/hello-go --name hello_go
run "$moorage" invoke --name hello_go --payload '{"prompt": "good morning"}'
echo

title "The same, by boto3"
eval "$("$moorage" env --dir "$dir")"
.cache/venv/bin/python - <<'PY'
import json, boto3
control, data = boto3.client("bedrock-agentcore-control"), boto3.client("bedrock-agentcore")
for runtime in control.list_agent_runtimes()["agentRuntimes"]:
    answer = data.invoke_agent_runtime(agentRuntimeArn=runtime["agentRuntimeArn"], payload=json.dumps({"prompt": "hello from boto3"}))
    print(runtime["agentRuntimeName"], answer["runtimeSessionId"], answer["response"].read().decode().strip()[:120])
PY

title "Every session has a sandbox of its own"
run "$moorage" sessions
run "$moorage" exec --name hello_python --session "$session" -- sh -c 'uname -a; ps 2>/dev/null || ls /proc | grep -c "^[0-9]"'

title "What the agent printed"
run "$moorage" logs --name hello_python

title "The newsroom: a team of agents writes an article from facts, with a knowledge base and a model that needs no key"
run "$moorage" kb create newsroom --from examples/newsroom/knowledge | tee "$dir/kb"
GOWORK=off run "$moorage" deploy examples/newsroom --name newsroom --env "KNOWLEDGE_BASE_ID=$(tail -1 "$dir/kb")"
python3 -c 'import json, sys; print(json.dumps({"facts": open(sys.argv[1]).read()}))' examples/newsroom/facts/mediscan.txt >"$dir/facts.json"
printf '\033[36m$ %s\033[0m\n' "$moorage invoke --name newsroom --payload @facts.json"
"$moorage" invoke --name newsroom --payload "@$dir/facts.json" >"$dir/story.json"
python3 scripts/story.py "$dir/story.json"
run "$moorage" trace "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["traceId"])' "$dir/story.json")"
title "Its trajectory in the browser"
run "$moorage" console
if [ -t 0 ]; then
	printf '\nOpen the link now; Enter ends the demo. '
	read -r _
fi

title "Destroyed"
run "$moorage" destroy --name newsroom
run "$moorage" kb delete newsroom
run "$moorage" destroy --name hello_python
run "$moorage" destroy --name hello_go
