package warm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

// WarmUp is a call that an agent gets before its golden is frozen, so that clones find loaded what it
// loads with its first call. The zero value is none. The call belongs to no session.
type WarmUp struct {
	Path    string // GET this
	Payload []byte // or POST this JSON where invocations go
}

const warmUpPatience = 30 * time.Second

// ParseWarmUp reads the setting: a path, such as /warm, or JSON. As AWS's tags cannot hold JSON, that
// may be in base64.
func ParseWarmUp(text string) (WarmUp, error) {
	payload := []byte(text)
	switch {
	case text == "":
		return WarmUp{}, nil
	case strings.HasPrefix(text, "/"):
		return WarmUp{Path: text}, nil
	case !json.Valid(payload):
		payload, _ = base64.StdEncoding.DecodeString(text)
	}
	if !json.Valid(payload) {
		return WarmUp{}, moorage.Errorf(moorage.Invalid, "a warm-up call is a path that begins with /, or JSON, plain or in base64; %q is neither", text)
	}
	return WarmUp{Payload: payload}, nil
}

func (w WarmUp) request(ctx context.Context, p moorage.Protocol) (*http.Request, error) {
	if w.Path != "" {
		return http.NewRequestWithContext(ctx, "GET", "http://agent"+w.Path, nil)
	}
	r, err := http.NewRequestWithContext(ctx, "POST", "http://agent"+p.Path, bytes.NewReader(w.Payload))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
	}
	return r, err
}

// warmUp makes the call and reads the answer to its end.
func (a *Agent) warmUp(ctx context.Context, w WarmUp) error {
	if w.Path == "" && w.Payload == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, warmUpPatience)
	defer cancel()
	r, err := w.request(ctx, a.Protocol)
	if err != nil {
		return err
	}
	resp, err := a.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the agent answered status %d", resp.StatusCode)
	}
	return nil
}
