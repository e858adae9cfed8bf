package compat

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

func TestLimits_sessionsBeyondTheLimitAreRefused(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	first := newSession(t) + "-1"
	a.state(t, first)
	s.restart(t, "--max-sessions", "1", "--sleep-after", "0") // nobody may be put to sleep to make room
	t.Cleanup(func() { s.restart(t) })
	if got := a.state(t, first); got.Count != 2 {
		t.Errorf("the session that lives counts %d", got.Count)
	}
	message := wantError(t, a.call(t.Context(), newSession(t)+"-2", map[string]any{"op": "state"}, nil), "ServiceQuotaExceededException")
	wantWords(t, message, "maxVms limit exceeded")
}

func TestLimits_theLongestIdleSleepsToMakeRoom(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	s.restart(t, "--max-sessions", "1")
	t.Cleanup(func() { s.restart(t) })
	first, second := newSession(t)+"-1", newSession(t)+"-2"
	for turn := 1; turn <= 2; turn++ {
		for _, session := range []string{first, second} {
			if got := a.state(t, session); got.Count != turn {
				t.Errorf("session %s counts %d in turn %d: its memory did not survive its sleep", session, got.Count, turn)
			}
		}
	}
}

func TestLimits_callsAndSessionsBeyondTheirRateAreThrottled(t *testing.T) {
	s := shared(t)
	a := s.deployed(t, probe)
	first := newSession(t) + "-1"
	a.state(t, first)
	t.Cleanup(func() { s.restart(t) })
	s.restart(t, "--session-rate-per-caller", "0.001")
	a.state(t, newSession(t)+"-2")
	a.state(t, first) // lives already
	wantError(t, a.call(t.Context(), newSession(t)+"-3", map[string]any{"op": "state"}, nil), "ThrottlingException")
	s.restart(t, "--call-rate-per-runtime", "0.001")
	a.state(t, first)
	message := wantError(t, a.call(t.Context(), first, map[string]any{"op": "state"}, nil), "ThrottlingException")
	wantWords(t, message, "Rate exceeded")
}

// restart starts the server again with other arguments; its sessions live on.
func (s *server) restart(t *testing.T, args ...string) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s.args = args
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// What `moorage env` prints is all that boto3 needs.
func TestEnv_pointsBoto3Here(t *testing.T) {
	interpreter := python(t)
	s := shared(t)
	a := s.deployed(t, probe)
	const program = `
import boto3, json, sys
answer = boto3.client("bedrock-agentcore").invoke_agent_runtime(agentRuntimeArn=sys.argv[1], payload=b'{"op": "state"}')
print(json.dumps({"answer": json.loads(answer["response"].read()), "url": boto3.client("s3").meta.endpoint_url}))
`
	shell := exec.CommandContext(t.Context(), "bash", "-c", `eval "$("$1" env --dir "$2")" && "$3" -c "$4" "$5"`, "bash", s.bin, s.dir, interpreter, program, a.arn)
	shell.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "AWS_PROFILE=somebody-elses", "AWS_SESSION_TOKEN=left-over"}
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		Answer state
		URL    string
	}
	if err := json.Unmarshal(out, &got); err != nil || got.Answer.Count != 1 || !strings.HasPrefix(got.URL, s.client.Endpoint) {
		t.Errorf("%s (%v)", out, err)
	}
}
