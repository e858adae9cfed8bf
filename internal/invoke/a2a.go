package invoke

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

const (
	cardPath    = "/.well-known/agent-card.json"
	cardTimeout = 30 * time.Second
	maxCard     = 1 << 20 // bytes
)

// AgentCard returns the card of an A2A agent, its addresses replaced by those under which the agent is
// called here. Call's Body counts for nothing. Errors are those of Invoke.
func (s *Service) AgentCard(ctx context.Context, call Call) (card json.RawMessage, sessionID string, err error) {
	if protocol := s.Protocol(call.Address); protocol != "" && protocol != "A2A" {
		return nil, "", moorage.Errorf(moorage.Invalid, "agents that speak A2A have a card; this one speaks %s", protocol)
	}
	conn, err := s.open(ctx, "GetAgentCard", call)
	if err != nil {
		return nil, "", err
	}
	defer func() { conn.release(err) }()
	ctx, cancel := conn.context(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeout(ctx, cardTimeout)
	defer stop()
	raw, err := conn.card(ctx, call)
	if err != nil {
		return nil, "", err
	}
	card, err = publicCard(raw, s.invocations(call.Address))
	return card, conn.sessionID, err
}

// card asks the agent for its card.
func (c *connection) card(ctx context.Context, call Call) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://agent"+cardPath, nil)
	if err != nil {
		return nil, err
	}
	if r.Header, err = c.headers(ctx, call); err != nil {
		return nil, err
	}
	answer, err := c.lease.Agent.RoundTrip(r)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, c.agentError(answer.StatusCode)
	}
	card, err := io.ReadAll(io.LimitReader(answer.Body, maxCard+1))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if len(card) > maxCard {
		return nil, moorage.Errorf(moorage.AgentFailed, "the agent's card is larger than %d bytes", maxCard)
	}
	return card, nil
}

// invocations is the address under which callers reach what a is an address of. Its ARN has no
// character that a path and a query escape differently, and clients are used to an escaped colon.
func (s *Service) invocations(a Address) string {
	at := s.PublicURL + "/runtimes/" + url.QueryEscape(a.Runtime) + "/invocations/"
	query := url.Values{}
	if a.Qualifier != "" && a.Qualifier != moorage.DefaultEndpoint {
		query.Set("qualifier", a.Qualifier)
	}
	if !strings.HasPrefix(a.Runtime, "arn:") {
		query.Set("accountId", a.Account)
	}
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	return at
}

// publicCard rewrites a card, of A2A 0.3 or 1.0. Interfaces other than JSON-RPC's are left out, as
// calls reach the agent on one path only, and signatures, as they were made over another card.
func publicCard(raw []byte, public string) (json.RawMessage, error) {
	card := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &card); err != nil {
		return nil, &moorage.Error{Code: moorage.AgentFailed, Message: "the agent's card is no JSON object", Err: err}
	}
	address, err := json.Marshal(public)
	if err != nil {
		return nil, err
	}
	delete(card, "signatures")
	if card["url"] != nil {
		card["url"], card["preferredTransport"] = address, json.RawMessage(`"JSONRPC"`)
	}
	for _, list := range []string{"supportedInterfaces", "additionalInterfaces"} {
		if card[list] == nil {
			continue
		}
		if card[list], err = publicInterfaces(card[list], address); err != nil {
			return nil, &moorage.Error{Code: moorage.AgentFailed, Message: "the agent's card has malformed " + list, Err: err}
		}
	}
	return encode(card)
}

func publicInterfaces(raw, address json.RawMessage) (json.RawMessage, error) {
	var all []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	kept := []map[string]json.RawMessage{}
	for _, i := range all {
		if binding := cmp.Or(string(i["protocolBinding"]), string(i["transport"])); binding == `"JSONRPC"` {
			i["url"] = address
			kept = append(kept, i)
		}
	}
	return encode(kept)
}

// encode is json.Marshal that leaves the & of addresses readable.
func encode(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(out.Bytes()), err
}
