// Package agentcore is the data plane's face: it binds the API of Amazon Bedrock AgentCore
// (2024-02-28) to the invoke room, and adds the places that the service model lacks (WebSocket,
// CORS). Types and constraints are generated; see api.gen.go.
package agentcore

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/invoke"
)

type handlers struct{ invoke *invoke.Service }

// owner returns to whom the session of a call belongs: the caller, and the user that it speaks for.
func owner(ctx context.Context, user string) string {
	return identity.CallerOf(ctx).OwnerFor(user)
}

// user returns on whose behalf the agent of a call works: the subject of the token that it came with, or the
// user that a caller who signed speaks for.
func user(ctx context.Context, id string) workload.User {
	in := identity.InboundOf(ctx)
	if c := identity.CallerOf(ctx); c.Source == moorage.JWT {
		return workload.User{Issuer: c.Issuer, Subject: c.Subject, Token: in.Token, Expires: in.Expires, Through: in.Through}
	}
	return workload.User{ID: id, Through: in.Through}
}

// Serve adds the operations that Moorage offers to svc.
func Serve(svc *wire.Service, s *invoke.Service) {
	h := handlers{s}
	wire.Handle(svc, InvokeAgentRuntime, h.call)
	wire.Handle(svc, InvokeAgentRuntimeCommand, h.command)
	wire.Handle(svc, StopRuntimeSession, h.stop)
	wire.Handle(svc, GetAgentCard, h.card)
	svc.Use(h.inEnvelopes)
	svc.Use(bearerOfBrowsers)
	svc.Route("InvokeAgentRuntimeWithWebSocketStream", "GET", "/runtimes/{agentRuntimeArn}/ws", http.HandlerFunc(h.webSocket))
	svc.Route("InvokeAgentRuntimeCommandShell", "GET", "/runtimes/{agentRuntimeArn}/ws/shells", http.HandlerFunc(h.shell))
}

func (h handlers) call(ctx context.Context, in *InvokeAgentRuntimeInput) (*InvokeAgentRuntimeOutput, error) {
	call := wire.CallOf(ctx)
	forward := h.invoke.Invoke
	if envelopeOf(ctx).protocolIs("MCP") {
		forward = h.invoke.InvokeMCP
	}
	answer, err := forward(ctx, invoke.Call{
		Address: invoke.Address{
			Runtime: in.AgentRuntimeArn, Account: value(in.AccountId), Qualifier: value(in.Qualifier),
			SessionID: value(in.RuntimeSessionId), Owner: owner(ctx, value(in.RuntimeUserId)),
		},
		RequestID: call.RequestID, Header: call.RequestHeader(), Body: in.Payload, Length: call.ContentLength(),
		User: user(ctx, value(in.RuntimeUserId)),
	})
	if err != nil {
		return nil, err
	}
	if answer.Length >= 0 {
		call.ResponseHeader().Set("Content-Length", strconv.FormatInt(answer.Length, 10))
	}
	get := func(name string) *string {
		v := answer.Header.Get(name)
		if v == "" {
			return nil
		}
		return new(v)
	}
	out := &InvokeAgentRuntimeOutput{
		RuntimeSessionId: &answer.SessionID, ContentType: answer.Header.Get("Content-Type"), Response: envelopeOf(ctx).finish(ctx, answer),
		McpSessionId: get("Mcp-Session-Id"), McpProtocolVersion: get("Mcp-Protocol-Version"),
		TraceId: get("X-Amzn-Trace-Id"), TraceParent: get("Traceparent"), TraceState: get("Tracestate"), Baggage: get("Baggage"),
	}
	if out.ContentType == "" {
		out.ContentType = "application/octet-stream"
	}
	if out.McpSessionId != nil { // of an MCP server: its clients tell 202 from 200
		status := int32(answer.Status)
		out.StatusCode = &status
	}
	return out, nil
}

func (h handlers) command(ctx context.Context, in *InvokeAgentRuntimeCommandInput) (*InvokeAgentRuntimeCommandOutput, error) {
	// The service model leaves this rule to its text. Source: AgentCore API reference, InvokeAgentRuntimeCommandRequestBody.
	if t := in.Body.Timeout; t != nil && (*t < 1 || *t > 3600) {
		message := "Value at 'body.timeout' failed to satisfy constraint: Member must be between 1 and 3600"
		return nil, &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: "body.timeout", Message: message}}}
	}
	command, err := h.invoke.Command(ctx, invoke.Address{
		Runtime: in.AgentRuntimeArn, Account: value(in.AccountId), Qualifier: value(in.Qualifier),
		SessionID: value(in.RuntimeSessionId), Owner: owner(ctx, wire.CallOf(ctx).RequestHeader().Get(invoke.HeaderUser)),
	}, in.Body.Command, time.Duration(value(in.Body.Timeout))*time.Second)
	if err != nil {
		return nil, err
	}
	return &InvokeAgentRuntimeCommandOutput{
		RuntimeSessionId: &command.SessionID, ContentType: "application/vnd.amazon.eventstream",
		Stream: func(yield func(InvokeAgentRuntimeCommandStreamOutput, error) bool) {
			for e, err := range command.Run(ctx) {
				if !yield(chunk(event(e)), err) {
					return
				}
			}
		},
	}, nil
}

func chunk(c ResponseChunk) InvokeAgentRuntimeCommandStreamOutput {
	return InvokeAgentRuntimeCommandStreamOutput{Chunk: &c}
}

func event(e invoke.CommandEvent) ResponseChunk {
	switch {
	case e.Started:
		return ResponseChunk{ContentStart: &ContentStartEvent{}}
	case e.Result != nil && e.Result.TimedOut:
		return ResponseChunk{ContentStop: &ContentStopEvent{ExitCode: int32(e.Result.Code), Status: CommandExecutionStatusTimedOut}}
	case e.Result != nil:
		return ResponseChunk{ContentStop: &ContentStopEvent{ExitCode: int32(e.Result.Code), Status: CommandExecutionStatusCompleted}}
	case e.Stderr != "":
		return ResponseChunk{ContentDelta: &ContentDeltaEvent{Stderr: &e.Stderr}}
	}
	return ResponseChunk{ContentDelta: &ContentDeltaEvent{Stdout: &e.Stdout}}
}

func (h handlers) stop(ctx context.Context, in *StopRuntimeSessionInput) (*StopRuntimeSessionOutput, error) {
	err := h.invoke.Stop(ctx, invoke.Address{
		Runtime: in.AgentRuntimeArn, Account: wire.CallOf(ctx).Query("accountId"), Qualifier: value(in.Qualifier),
		SessionID: in.RuntimeSessionId, Owner: owner(ctx, wire.CallOf(ctx).RequestHeader().Get(invoke.HeaderUser)),
	})
	if err != nil {
		return nil, err
	}
	return &StopRuntimeSessionOutput{RuntimeSessionId: &in.RuntimeSessionId}, nil
}

func (h handlers) card(ctx context.Context, in *GetAgentCardInput) (*GetAgentCardOutput, error) {
	call := wire.CallOf(ctx)
	card, session, err := h.invoke.AgentCard(ctx, invoke.Call{
		Address: invoke.Address{
			Runtime: in.AgentRuntimeArn, Account: call.Query("accountId"), Qualifier: value(in.Qualifier),
			SessionID: value(in.RuntimeSessionId), Owner: owner(ctx, call.RequestHeader().Get(invoke.HeaderUser)),
		},
		RequestID: call.RequestID, Header: call.RequestHeader(),
	})
	if err != nil {
		return nil, err
	}
	return &GetAgentCardOutput{RuntimeSessionId: &session, AgentCard: card}, nil
}

// value returns what p points at, or the zero value.
func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
