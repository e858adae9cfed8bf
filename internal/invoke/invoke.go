// Package invoke carries one call to an agent and its answer back.
//
// A call is resolved to an endpoint's version, acquires the session, is forwarded with the headers
// that the agent may see, and is streamed back as the agent writes. Nothing that a caller sends can
// pose as the platform: platform headers are dropped on the way in and set here.
//
// The package reads no wire format of AWS's: the faces in aws/… bind requests to a [Call].
package invoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/workload"
	"github.com/moorage-dev/moorage/internal/quota"
	"github.com/moorage-dev/moorage/internal/session"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
)

// Limits of a call. Source: AgentCore quotas.
const (
	MaxPayload    = 100_000_000      // bytes, each way
	answerTimeout = 15 * time.Minute // to the first byte of the answer
	streamTimeout = time.Hour        // to the last one
	minSessionID  = 33
	maxSessionID  = 256
)

// Catalog finds what a call is made to. It must not block.
type Catalog interface {
	Resolve(runtimeID, qualifier string) (moorage.Target, error)
}

// Service makes calls. Its fields are set before the first one.
type Service struct {
	Catalog   Catalog
	Sessions  *session.Manager
	Region    string
	Account   string
	PublicURL string // under which callers reach this server, without a slash at its end
	Log       *slog.Logger
	Shells    Shells          // that are open
	Calls     *calls.Recorder // nil records no spans
	// Workloads makes the tokens that agents are handed; nil for none.
	Workloads *workload.Service

	// Unbound reports whether sessions of a runtime belong to nobody; nil binds all to their owners.
	Unbound func(runtimeID string) bool

	// CallerCalls and RuntimeCalls hold each caller, and each runtime, to so many calls; commands and
	// sockets that open are calls. The zero values bound nothing.
	CallerCalls, RuntimeCalls quota.Meter
}

// Address says which session of which endpoint a call is for.
type Address struct {
	Runtime   string // ARN, or a bare id together with Account
	Account   string
	Qualifier string // endpoint name; empty is DEFAULT
	SessionID string // the caller's; empty has one minted
	// MCPSession is the session's id in MCP, which goes before SessionID and has rules of its own.
	MCPSession string
	Owner      string // sessions of different owners never meet
}

// Call is one invocation.
type Call struct {
	Address
	RequestID string
	Header    http.Header // as the caller sent it; only what the agent may see is forwarded
	Body      io.Reader
	Length    int64 // of Body, -1 when unknown
	// User is on whose behalf the agent works; the zero User gives it no workload access token.
	User workload.User

	// Subprotocol, of a WebSocket, is what the caller is answered with, whatever the agent picks.
	Subprotocol string
}

// Answer is what the agent said. Close its Body when done: that releases the session.
type Answer struct {
	SessionID string
	Status    int
	Header    http.Header   // content type and the protocol's own headers
	Body      io.ReadCloser // has a method Buffered() int: how many bytes it gives without waiting
	Length    int64         // of Body in bytes, -1 when the agent did not say

	conn *connection
}

// Invoke forwards a call and returns when the agent's answer begins. Errors: Invalid, NotFound,
// Busy, Quota, Throttled, and AgentFailed when the agent answers with anything but success, ends, or is too slow.
func (s *Service) Invoke(ctx context.Context, call Call) (*Answer, error) {
	return s.forward(ctx, call, nil)
}

// forward is Invoke without the rules of any protocol. Edit, when there is one, has the last word on
// the request that the agent gets.
func (s *Service) forward(ctx context.Context, call Call, edit func(*connection, *http.Request)) (*Answer, error) {
	conn, err := s.open(ctx, "InvokeAgentRuntime", call)
	if err != nil {
		return nil, err
	}
	conn.edit, conn.words = edit, conn.span.Words()
	ctx, cancel := conn.context(ctx)
	response, err := conn.ask(ctx, call, cancel)
	if err != nil {
		cancel(nil)
		conn.release(err)
		return nil, err
	}
	body := &body{ReadCloser: response.Body, conn: conn, ctx: ctx, left: MaxPayload}
	stop := func() bool { return false }
	if int64(body.Buffered()) != response.ContentLength { // else all of it is here
		stop = time.AfterFunc(streamTimeout, func() { cancel(errTooLong) }).Stop
	}
	body.done = func() { stop(); cancel(nil); conn.release(body.err) }
	return &Answer{SessionID: conn.sessionID, Status: response.StatusCode, Header: answerHeader(response.Header), Body: body, Length: response.ContentLength, conn: conn}, nil
}

// ask sends the call and returns the agent's answer if that is a success.
func (c *connection) ask(ctx context.Context, call Call, cancel context.CancelCauseFunc) (*http.Response, error) {
	sent := &payload{from: call.Body, words: c.words}
	request, err := c.request(ctx, call, sent)
	if err != nil {
		return nil, err
	}
	timer := time.AfterFunc(answerTimeout, func() { cancel(errTooSlow) })
	defer timer.Stop()
	response, err := c.lease.Agent.RoundTrip(request)
	switch {
	case err != nil && ctx.Err() == nil && sent.failure() != nil:
		return nil, sent.failure()
	case err != nil:
		return nil, c.broken(ctx, err)
	case response.StatusCode < 200 || response.StatusCode > 299:
		response.Body.Close()
		return nil, c.agentError(response.StatusCode)
	}
	return response, nil
}

var (
	errTooSlow = moorage.Errorf(moorage.AgentFailed, "the agent did not begin its answer within %s", answerTimeout)
	errTooLong = moorage.Errorf(moorage.AgentFailed, "the answer went on for longer than %s", streamTimeout)
)

// connection is a call's hold on its session.
type connection struct {
	sessionID string
	lease     *session.Lease
	began     time.Time
	workloads *workload.Service
	edit      func(*connection, *http.Request) // of what the agent gets; may be nil
	span      *calls.Span
	words     *calls.Words // of an invocation whose payloads somebody wants
}

// release lets go of the session. Err is what the caller is told, or nil.
func (c *connection) release(err error) {
	c.span.End(err)
	c.lease.Release()
}

// open resolves a call's address and acquires its session, starting it when need be. What it is a call
// of, operation, is on record from the moment at which it is known to be for a runtime that exists.
func (s *Service) open(ctx context.Context, operation string, call Call) (*connection, error) {
	target, key, err := s.resolve(&call.Address)
	if err != nil {
		return nil, err
	}
	span := s.Calls.Begin(calls.Call{
		Operation: operation, RequestID: call.RequestID, Header: call.Header, Owner: call.Owner, Address: identity.AddressOf(ctx),
		Source: telemetry.Source{Runtime: key.RuntimeID, Endpoint: key.Endpoint, Version: target.Version.Label(), Caller: key.CallerID},
	})
	conn, err := s.acquire(ctx, call.Owner, key, target)
	if err != nil {
		span.End(err)
		return nil, err
	}
	span.Join(conn.lease.Session.ID)
	span.Waited(&conn.lease.Session)
	conn.span = span
	return conn, nil
}

func (s *Service) acquire(ctx context.Context, owner string, key session.Key, target moorage.Target) (*connection, error) {
	if err := s.throttle(owner, key.RuntimeID); err != nil {
		return nil, err
	}
	lease, err := s.Sessions.Acquire(ctx, key, target.Version)
	if err != nil {
		return nil, err
	}
	// A deletion that came after resolve may have looked for sessions before this one was there.
	if _, err := s.Catalog.Resolve(key.RuntimeID, key.Endpoint); err != nil {
		lease.Release()
		s.Sessions.Stop(context.WithoutCancel(ctx), key) // NotFound: the deletion saw it after all
		return nil, err
	}
	return &connection{sessionID: key.CallerID, lease: lease, began: time.Now(), workloads: s.Workloads}, nil
}

// resolve checks an address, mints a session id where there is none, and finds the target.
func (s *Service) resolve(a *Address) (target moorage.Target, key session.Key, err error) {
	id, endpoint, err := s.runtimeID(*a)
	if err != nil {
		return target, key, err
	}
	if endpoint != "" && a.Qualifier != "" && endpoint != a.Qualifier {
		return target, key, invalid("qualifier", "the ARN names the endpoint '%s' and the qualifier '%s'; give one of them", endpoint, a.Qualifier)
	}
	if err := a.settle(); err != nil {
		return target, key, err
	}
	if target, err = s.Catalog.Resolve(id, cmp.Or(a.Qualifier, endpoint)); err != nil {
		return target, key, err
	}
	key = session.Key{RuntimeID: id, Endpoint: target.Endpoint.Name, Owner: a.Owner, CallerID: a.SessionID}
	if s.Unbound != nil && s.Unbound(id) {
		key.Owner = moorage.Anybody
	}
	return target, key, nil
}

// settle decides on the session's id.
func (a *Address) settle() error {
	if a.MCPSession != "" {
		a.SessionID = a.MCPSession
		return checkMCPSession(a.SessionID)
	}
	if a.SessionID == "" {
		a.SessionID = newUUID()
	}
	return CheckSessionID(a.SessionID)
}

// CheckSessionID says what is wrong with a caller's id of a session, as a moorage.Invalid.
func CheckSessionID(id string) error {
	const rule = "Value at 'runtimeSessionId' failed to satisfy constraint: "
	if n := utf8.RuneCountInString(id); n < minSessionID || n > maxSessionID {
		return invalid("runtimeSessionId", rule+"Member must have length between %d and %d; it has %d", minSessionID, maxSessionID, n)
	}
	if !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return invalid("runtimeSessionId", rule+"Member must be UTF-8 without control characters")
	}
	return nil
}

func invalid(member, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: member, Message: message}}}
}

// runtimeID accepts both address forms, and an endpoint's ARN. Another region or account holds nothing
// that is known here.
func (s *Service) runtimeID(a Address) (id, endpoint string, err error) {
	if !strings.HasPrefix(a.Runtime, "arn:") {
		if a.Account == "" {
			return "", "", invalid("accountId", "an agent id needs accountId beside it; or give the agent's whole ARN")
		}
		if a.Account != s.Account {
			return "", "", s.unknown(a)
		}
		return a.Runtime, "", nil
	}
	arn, err := moorage.ParseARN(a.Runtime)
	if err != nil {
		return "", "", err
	}
	if id, endpoint, err = arn.RuntimeID(); err != nil {
		return "", "", err
	}
	if arn.Region != s.Region || arn.Account != s.Account {
		return "", "", s.unknown(a)
	}
	return id, endpoint, nil
}

// Protocol names the protocol of the version that new sessions at an address get: HTTP, MCP, A2A or
// AGUI. It is empty where there is no such runtime.
func (s *Service) Protocol(a Address) string {
	config, ok := s.config(a)
	if !ok {
		return ""
	}
	return cmp.Or(config.Protocol.Name, "HTTP")
}

// Names are the ARNs of the runtime and the endpoint at an address, whether or not they exist. What is no
// address comes back as it is.
func (s *Service) Names(a Address) (runtime, endpoint string) {
	id, named, err := s.runtimeID(a)
	if err != nil {
		return a.Runtime, a.Runtime
	}
	return moorage.RuntimeARN(s.Region, s.Account, id).String(), moorage.EndpointARN(s.Region, s.Account, id, cmp.Or(a.Qualifier, named, moorage.DefaultEndpoint)).String()
}

// Authorizer says which tokens may call at an address; nil where callers sign, and where there is no
// such runtime.
func (s *Service) Authorizer(a Address) *moorage.JWTAuthorizer {
	config, _ := s.config(a)
	return config.Authorizer
}

// config is that of the version that new sessions at an address get.
func (s *Service) config(a Address) (c moorage.Config, ok bool) {
	id, endpoint, err := s.runtimeID(a)
	if err != nil {
		return c, false
	}
	target, err := s.Catalog.Resolve(id, cmp.Or(a.Qualifier, endpoint))
	if err != nil { // the runtime may be there all the same
		if target, err = s.Catalog.Resolve(id, moorage.DefaultEndpoint); err != nil {
			return c, false
		}
	}
	return target.Version.Config, true
}

func (s *Service) unknown(a Address) error {
	return moorage.Errorf(moorage.NotFound, "No endpoint or agent found with qualifier '%s' for agent '%s'", cmp.Or(a.Qualifier, moorage.DefaultEndpoint), a.Runtime)
}

// Stop ends a session. NotFound when it does not live.
func (s *Service) Stop(ctx context.Context, a Address) error {
	if a.SessionID == "" {
		return invalid("runtimeSessionId", "Value at 'runtimeSessionId' failed to satisfy constraint: Member must not be null")
	}
	_, key, err := s.resolve(&a)
	if err != nil {
		return err
	}
	return s.Sessions.Stop(ctx, key)
}

// context derives a context that ends with the call, or with the session and its reason.
func (c *connection) context(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.lease.Ended, func() { cancel(context.Cause(c.lease.Ended)) })
	return ctx, func(cause error) { stop(); cancel(cause) }
}

// agentError is the answer to a caller whose call the agent refused or failed. The agent's own body
// is for its owner, not for callers. The first sentence is the cloud service's own.
func (c *connection) agentError(status int) error {
	message := fmt.Sprintf("Received error (%d) from runtime. Please check your CloudWatch logs for more information.", status)
	if words := c.lease.Agent.WordsSince(c.began); len(words) > 0 {
		message += " The agent's last words:\n" + strings.Join(words, "\n")
	}
	return &moorage.Error{Code: moorage.AgentFailed, Message: message}
}

// broken explains why the connection to the agent failed.
func (c *connection) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		var coded *moorage.Error
		if errors.As(cause, &coded) {
			return coded
		}
		return err // the caller went away
	}
	if cause := c.lease.Failure(ctx); cause != nil {
		return cause
	}
	if coded := (*moorage.Error)(nil); errors.As(err, &coded) {
		return err
	}
	return &moorage.Error{Code: moorage.AgentFailed, Message: "the connection to the agent broke", Err: err}
}

// body is an answer's body; closing it, or reading it to its end, releases the session.
type body struct {
	io.ReadCloser
	conn *connection
	ctx  context.Context
	left int64
	err  error // that the reader was told of
	once sync.Once
	done func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.err = moorage.Errorf(moorage.AgentFailed, "the answer is larger than %d bytes", MaxPayload)
		return 0, b.err
	}
	b.conn.words.Answered(p[:n])
	if err != nil && err != io.EOF {
		err = b.conn.broken(b.ctx, err)
		b.err = err
	}
	return n, err
}

// Buffered returns how many bytes a Read gives without waiting.
func (b *body) Buffered() int { return buffered(b.ReadCloser) }

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.done)
	return err
}
