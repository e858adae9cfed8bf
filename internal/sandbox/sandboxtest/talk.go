package sandboxtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

// agent talks to the test agent in a sandbox.
type agent struct {
	http *http.Client
}

func talk(t *testing.T, box sandbox.Sandbox) agent {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return box.Dial(ctx, 8080) }}
	t.Cleanup(transport.CloseIdleConnections)
	return agent{&http.Client{Transport: transport, Timeout: patience}}
}

// awaitAgent returns once the agent answers.
func awaitAgent(t *testing.T, box sandbox.Sandbox) agent {
	t.Helper()
	a := talk(t, box)
	var last error
	eventually(t, "the agent answers", func() bool {
		_, last = a.get("/ping")
		return last == nil
	})
	return a
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it never happened that", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// get asks the agent; a status that is not 200 is an error with its body.
func (a agent) get(path string, query ...string) (string, error) {
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	r, err := a.http.Get("http://agent" + path + "?" + values.Encode())
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != 200 {
		err = errors.New(strings.TrimSpace(string(b)))
	}
	return string(b), err
}

func (a agent) must(t *testing.T, path string, query ...string) string {
	t.Helper()
	out, err := a.get(path, query...)
	if err != nil {
		t.Fatalf("%s %v: %v", path, query, err)
	}
	return out
}

// wait returns the exit within our patience.
func wait(t *testing.T, box sandbox.Sandbox) sandbox.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	exit, err := box.Wait(ctx)
	if err != nil {
		t.Fatal("wait:", err)
	}
	if exit.Cause == "" || exit.At.IsZero() {
		t.Errorf("the exit tells too little: %+v", exit)
	}
	return exit
}

func lastLine(t *testing.T, box sandbox.Sandbox, stream string) string {
	t.Helper()
	lines, err := journal.Last(box.Info().LogDir, 1, stream)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		return ""
	}
	return lines[0].Text
}

func wantCode(t *testing.T, err error, code moorage.Code) {
	t.Helper()
	if moorage.CodeOf(err) != code {
		t.Errorf("error %v has the code %q, want %q", err, moorage.CodeOf(err), code)
	}
}
