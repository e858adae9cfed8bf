package warm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
)

// Agent is a started agent: its sandbox, and an HTTP client whose connections end in it.
type Agent struct {
	Sandbox   sandbox.Sandbox
	Protocol  moorage.Protocol // resolved: port and path are set
	StartedBy string           // pool, restore or cold; empty when adopted
	StartTook time.Duration    // from the request to the first answer
	Steps     []moorage.Step   // of the start, in order; nil when adopted

	client client
}

func newAgent(box sandbox.Sandbox, p moorage.Protocol) *Agent {
	a := &Agent{Sandbox: box, Protocol: p.Resolved()}
	a.client.dial = a.Dial
	return a
}

// Dial connects to the agent's port.
func (a *Agent) Dial(ctx context.Context) (net.Conn, error) {
	return a.Sandbox.Dial(ctx, uint16(a.Protocol.Port))
}

// RoundTrip sends one request to the agent, whatever host its URL names. It returns when the head of
// the answer is there; the caller's context decides how long that may take. The answer's body tells by
// a method Buffered() int how many bytes it gives without waiting. Errors are AgentFailed where the
// agent is at fault.
func (a *Agent) RoundTrip(r *http.Request) (*http.Response, error) { return a.client.RoundTrip(r) }

// Close drops idle connections; it does not stop the sandbox.
func (a *Agent) Close() { a.client.CloseIdleConnections() }

// Health is an agent's own word on how it is.
type Health struct {
	Busy bool // HealthyBusy: work goes on that no open call shows
	// Since is when the status last changed, by the agent's own account; zero when it does not say.
	Since time.Time
}

const pingTimeout = 5 * time.Second

// Ping asks the agent how it is. MCP servers have no ping: a port that answers is healthy.
// Source: AgentCore developer guide, HTTP protocol contract.
func (a *Agent) Ping(ctx context.Context) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if a.Protocol.Name == "MCP" {
		c, err := a.Dial(ctx)
		if err != nil {
			return Health{}, err
		}
		return Health{}, c.Close()
	}
	r, err := http.NewRequestWithContext(ctx, "GET", "http://agent/ping", nil)
	if err != nil {
		return Health{}, err
	}
	resp, err := a.RoundTrip(r)
	if err != nil {
		return Health{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return Health{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return Health{}, fmt.Errorf("GET /ping answered status %d", resp.StatusCode)
	}
	return parseHealth(body, time.Now()), nil
}

// parseHealth reads a ping body. Whatever cannot be understood counts as a plain Healthy, since an
// agent that answers 200 is alive.
func parseHealth(body []byte, now time.Time) Health {
	var p struct {
		Status any             `json:"status"`
		Since  json.RawMessage `json:"time_of_last_update"`
	}
	if json.Unmarshal(body, &p) != nil {
		return Health{}
	}
	return Health{Busy: p.Status == "HealthyBusy", Since: parseInstant(p.Since, now)}
}

// timeForms are those of SDKs: JavaScript's toISOString, and Python's isoformat, which says no zone.
var timeForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"}

// parseInstant accepts the forms that SDKs send: seconds or milliseconds since 1970, as a number
// or a string, and ISO 8601. Anything else, or an instant in the future, is no instant.
func parseInstant(raw json.RawMessage, now time.Time) (t time.Time) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < 1e14 {
		if n > 1e11 { // seconds stay below this until the year 5138
			n /= 1000
		}
		t = time.UnixMilli(int64(n * 1000))
	}
	for _, form := range timeForms {
		if iso, err := time.Parse(form, text); err == nil {
			t = iso
		}
	}
	if t.After(now.Add(time.Minute)) {
		return time.Time{}
	}
	return t.UTC()
}

// answers makes one readiness probe.
func (a *Agent) answers(ctx context.Context) error {
	_, err := a.Ping(ctx)
	return err
}

// probe names the readiness probe for messages.
func (a *Agent) probe() string {
	if a.Protocol.Name == "MCP" {
		return fmt.Sprintf("on port %d", a.Protocol.Port)
	}
	return fmt.Sprintf("GET /ping on port %d", a.Protocol.Port)
}
