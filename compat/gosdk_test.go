package compat

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore/types"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
)

func TestGoSDK_invokes(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	for turn := 1; turn <= 3; turn++ {
		if s := a.state(t, session); s.Count != turn {
			t.Fatalf("turn %d: the session counts %d", turn, s.Count)
		}
	}
}

// The agent sends its second event only after another call, which the client makes after it read
// the first: a stream that anything on the way held back would stand still.
func TestGoSDK_readsAStreamEventByEvent(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	answer, err := a.server.data().InvokeAgentRuntime(t.Context(), &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &a.arn, RuntimeSessionId: &session, Accept: aws.String("text/event-stream"),
		ContentType: aws.String("application/json"), Payload: []byte(`{"op":"stream"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Response.Close()
	if got := aws.ToString(answer.ContentType); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	if got := aws.ToString(answer.RuntimeSessionId); got != session {
		t.Errorf("the answer names session %q, want %q", got, session)
	}
	events := bufio.NewScanner(answer.Response)
	wantEvent(t, events, 1)
	if err := a.call(t.Context(), session, map[string]any{"op": "release"}, nil); err != nil {
		t.Fatal(err)
	}
	wantEvent(t, events, 2)
	wantEvent(t, events, 3)
	if rest, err := io.ReadAll(answer.Response); err != nil || len(rest) > 0 {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
}

func wantEvent(t *testing.T, events *bufio.Scanner, n int) {
	t.Helper()
	for events.Scan() {
		document, ok := strings.CutPrefix(events.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct{ N int }
		if err := json.Unmarshal([]byte(document), &event); err != nil || event.N != n {
			t.Fatalf("want event %d, got %s (%v)", n, document, err)
		}
		return
	}
	t.Fatalf("the stream ended before event %d: %v", n, events.Err())
}

func TestGoSDK_cancelledCallReachesTheAgent(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	answer, err := a.open(t.Context(), session, `{"op":"hang"}`)
	if err != nil {
		t.Fatal(err)
	}
	wantEvent(t, bufio.NewScanner(answer), 1)
	answer.Close()
	var saw struct{ Disconnected bool }
	if err := a.call(t.Context(), session, map[string]any{"op": "saw_disconnect"}, &saw); err != nil {
		t.Fatal(err)
	}
	if !saw.Disconnected {
		t.Error("the agent went on streaming after its caller left")
	}
}

// The agent reads the body in fits, so that every buffer on its way is full at some time.
func TestGoSDK_largeBodyReachesASlowAgentWhole(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	sent := bytes.Repeat([]byte("0123456789abcdef~"), 20<<20/17)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answer, err := a.server.data().InvokeAgentRuntime(ctx, &data.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &a.arn, RuntimeSessionId: &session, ContentType: aws.String("application/x-late"), Payload: sent,
	})
	if err != nil {
		t.Fatalf("the agent, which answers with the body once it has all of it, did not answer: %v", err)
	}
	defer answer.Response.Close()
	got, err := io.ReadAll(answer.Response)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes came back, the first wrong one at %d (%v)", len(got), len(sent), firstDifference(got, sent), err)
	}
}

// A caller that reads slowly loses nothing.
func TestGoSDK_slowReaderGetsEverything(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	const size = 30_000_000 / 251 * 251
	answer, err := a.open(t.Context(), session, fmt.Sprintf(`{"op":"blob","size":%d}`, size))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	for range 5 { // the answer waits meanwhile, and fills all that is between
		a.state(t, session)
	}
	got, err := io.ReadAll(answer)
	want := make([]byte, 251)
	for i := range want {
		want[i] = byte(i)
	}
	want = bytes.Repeat(want, size/251)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes came, the first wrong one at %d (%v)", len(got), size, firstDifference(got, want), err)
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestGoSDK_runsACommand(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	answer, err := a.server.data().InvokeAgentRuntimeCommand(t.Context(), &data.InvokeAgentRuntimeCommandInput{
		AgentRuntimeArn: &a.arn, RuntimeSessionId: &session,
		Body: &types.InvokeAgentRuntimeCommandRequestBody{Command: aws.String("echo out; echo err >&2; exit 3")},
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := answer.GetStream()
	defer stream.Close()
	var stdout, stderr string
	var started bool
	var stop *types.ContentStopEvent
	for event := range stream.Events() {
		chunk := event.(*types.InvokeAgentRuntimeCommandStreamOutputMemberChunk).Value
		started = started || chunk.ContentStart != nil
		if d := chunk.ContentDelta; d != nil {
			stdout += aws.ToString(d.Stdout)
			stderr += aws.ToString(d.Stderr)
		}
		if chunk.ContentStop != nil {
			stop = chunk.ContentStop
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if !started || stdout != "out\n" || stderr != "err\n" {
		t.Errorf("started %v, stdout %q, stderr %q", started, stdout, stderr)
	}
	if stop == nil || aws.ToInt32(stop.ExitCode) != 3 || stop.Status != types.CommandExecutionStatusCompleted {
		t.Errorf("the command ended with %+v", stop)
	}
}

func TestGoSDK_errorsHaveTheirTypes(t *testing.T) {
	a := shared(t).deployed(t, probe)
	session := newSession(t)
	message := wantError(t, a.call(t.Context(), session, map[string]any{"op": "status", "code": 503, "words": "the upstream is down"}, nil), "RuntimeClientError")
	wantWords(t, message, "Received error (503) from runtime. Please check your CloudWatch logs for more information.", "the upstream is down")
	if strings.Contains(message, "for the owner only") {
		t.Errorf("the agent's answer shows in the error: %s", message)
	}
	unknown := &agent{server: a.server, arn: a.arn[:len(a.arn)-10] + "0000000000"}
	message = wantError(t, unknown.call(t.Context(), session, nil, nil), "ResourceNotFoundException")
	wantWords(t, message, "No endpoint or agent found with qualifier 'DEFAULT' for agent '"+unknown.arn+"'")
	wantError(t, a.call(t.Context(), strings.Repeat("x", 32), nil, nil), "ValidationException")
	wantError(t, a.stopSession(t.Context(), newSession(t)), "ResourceNotFoundException")
}

func TestGoSDK_listsWhatItCreated(t *testing.T) {
	a := shared(t).deployed(t, probe)
	var found bool
	pages := control.NewListAgentRuntimesPaginator(a.server.control(), &control.ListAgentRuntimesInput{MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.AgentRuntimes) > 1 {
			t.Fatalf("a page of one holds %d", len(page.AgentRuntimes))
		}
		for _, r := range page.AgentRuntimes {
			found = found || *r.AgentRuntimeArn == a.arn
		}
	}
	if !found {
		t.Errorf("%s is not in the list", a.arn)
	}
	endpoint, err := a.server.control().GetAgentRuntimeEndpoint(t.Context(), &control.GetAgentRuntimeEndpointInput{AgentRuntimeId: &a.id, EndpointName: aws.String("DEFAULT")})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(endpoint.LiveVersion) != "1" || endpoint.Status != "READY" {
		t.Errorf("DEFAULT is %s on version %s", endpoint.Status, aws.ToString(endpoint.LiveVersion))
	}
}
