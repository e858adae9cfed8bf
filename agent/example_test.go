package agent_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/coder/websocket"

	"github.com/moorage-dev/moorage/agent"
)

// call sends one call to an entrypoint and prints the answer, as the platform would get it.
func call(entrypoint http.Handler, payload string) {
	server := httptest.NewServer(&agent.Server{Entrypoint: entrypoint})
	defer server.Close()
	resp, err := http.Post(server.URL+"/invocations", "application/json", strings.NewReader(payload))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, strings.TrimSpace(string(body)), err)
}

func ExampleHandle() {
	type Question struct {
		Prompt string `json:"prompt"`
	}
	type Answer struct {
		Text string `json:"text"`
	}
	entrypoint := agent.Handle(func(ctx context.Context, q Question) (Answer, error) {
		return Answer{"You said: " + q.Prompt}, nil
	})
	call(entrypoint, `{"prompt":"hello"}`) // in main: agent.Main(entrypoint)
	// Output: 200 {"text":"You said: hello"} <nil>
}

func ExampleStream() {
	type Question struct {
		Prompt string `json:"prompt"`
	}
	entrypoint := agent.Stream(func(ctx context.Context, q Question) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for word := range strings.FieldsSeq(q.Prompt) {
				if !yield(word, nil) {
					return // the caller has gone
				}
			}
		}
	})
	call(entrypoint, `{"prompt":"one two"}`)
	// Output:
	// 200 data: "one"
	//
	// data: "two" <nil>
}

func ExampleGo() {
	entrypoint := agent.Handle(func(ctx context.Context, topic string) (string, error) {
		agent.Go(ctx, func(ctx context.Context) {
			// The session stays alive until this returns; ctx ends when the agent has to stop.
		})
		return "looking into " + topic, nil
	})
	call(entrypoint, `"tides"`)
	// Output: 200 "looking into tides" <nil>
}

func ExampleErrorf() {
	entrypoint := agent.Handle(func(ctx context.Context, order int) (string, error) {
		return "", agent.Errorf(http.StatusNotFound, "there is no order %d", order)
	})
	call(entrypoint, `7`)
	// Output: 404 {"error":"there is no order 7"} <nil>
}

func ExampleRequestOf() {
	handle := func(ctx context.Context, _ any) (string, error) {
		request := agent.RequestOf(ctx)
		return "session " + request.SessionID + " of tenant " + request.Header.Get("X-Tenant"), nil
	}
	server := &agent.Server{Entrypoint: agent.Handle(handle)}
	r := httptest.NewRequest("POST", "/invocations", strings.NewReader("{}"))
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "s-1")
	r.Header.Set("X-Tenant", "acme") // reaches agents whose allow-list names it
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: "session s-1 of tenant acme"
}

func ExampleServer_raw() {
	// Any http.Handler does for bodies that are not JSON.
	call(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d bytes", n)
	}), "\x89PNG")
	// Output: 200 4 bytes <nil>
}

func ExampleServer_webSocket() {
	server := httptest.NewServer(&agent.Server{
		WebSocket: func(ctx context.Context, conn *websocket.Conn) error {
			kind, message, err := conn.Read(ctx)
			if err != nil {
				return err
			}
			return conn.Write(ctx, kind, append([]byte("You said: "), message...))
		},
	})
	defer server.Close()
	ctx := context.Background()
	conn, _, err := websocket.Dial(ctx, server.URL+"/ws", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	_, message, err := conn.Read(ctx)
	fmt.Println(string(message), err)
	// Output: You said: hello <nil>
}
