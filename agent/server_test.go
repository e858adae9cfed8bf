package agent_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/moorage-dev/moorage/agent"
)

type question struct {
	Prompt string `json:"prompt"`
}

type answer struct {
	Text string `json:"text"`
}

// serve runs s on a port of its own. What it returns stops it, and says what Serve returned.
func serve(t *testing.T, s *agent.Server) (url string, stop func() error) {
	t.Helper()
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	stop = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(20 * time.Second):
			return errors.New("the server did not stop")
		}
	}
	t.Cleanup(func() { stop() })
	return "http://" + listener.Addr().String(), stop
}

type reply struct {
	status int
	kind   string
	body   string
}

func post(t *testing.T, url, body string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/invocations", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), string(raw)}
}

func TestHandle_answers(t *testing.T) {
	url, _ := serve(t, &agent.Server{MaxBody: 100, Entrypoint: agent.Handle(func(_ context.Context, q question) (answer, error) {
		switch q.Prompt {
		case "fail":
			return answer{}, errors.New("no idea")
		case "teapot":
			return answer{}, fmt.Errorf("brew: %w", agent.Errorf(418, "I'm a teapot"))
		case "panic":
			panic("out of order")
		}
		return answer{"You said <" + q.Prompt + ">"}, nil
	})})
	const kind = "application/json"
	for body, want := range map[string]reply{
		`{"prompt":"héllo"}`:                 {200, kind, `{"text":"You said <héllo>"}`},
		`{"prompt":"fail"}`:                  {500, kind, `{"error":"no idea"}`},
		`{"prompt":"teapot"}`:                {418, kind, `{"error":"I'm a teapot"}`},
		`{"prompt":"panic"}`:                 {500, kind, `{"error":"out of order"}`},
		`{"prompt"`:                          {400, kind, `{"error":"Invalid JSON","details":"unexpected end of JSON input"}`},
		``:                                   {400, kind, `{"error":"Invalid JSON","details":"unexpected end of JSON input"}`},
		`{"prompt":7}`:                       {400, kind, `{"error":"Invalid JSON","details":"json: cannot unmarshal number into Go struct field question.prompt of type string"}`},
		"{\"prompt\":\"\xff\"}":              {400, kind, `{"error":"Invalid encoding","details":"the payload is not UTF-8"}`},
		`"` + strings.Repeat("x", 100) + `"`: {413, kind, `{"error":"Payload too large","details":"the limit is 100 bytes"}`},
		`{"prompt":"` + strings.Repeat("x", 80) + `"}`: {200, kind, `{"text":"You said <` + strings.Repeat("x", 80) + `>"}`},
	} {
		if got := post(t, url, body); got != want {
			t.Errorf("%.40s: got %+v, want %+v", body, got, want)
		}
	}
}

func TestServer_withoutEntrypointSaysSo(t *testing.T) {
	url, _ := serve(t, &agent.Server{})
	if got, want := post(t, url, "{}"), (reply{500, "application/json", `{"error":"No entrypoint defined"}`}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	resp, err := http.Get(url + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("GET /ws without a handler is %d, want 404", resp.StatusCode)
	}
}

func TestServer_rawBodies(t *testing.T) {
	url, _ := serve(t, &agent.Server{Entrypoint: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		io.Copy(w, r.Body)
	})})
	if got, want := post(t, url, "\x00\xff", "Content-Type", "image/x"), (reply{200, "image/x", "\x00\xff"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestServer_panicAfterTheAnswerBeganCutsIt(t *testing.T) {
	url, _ := serve(t, &agent.Server{Entrypoint: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("half"))
		http.NewResponseController(w).Flush()
		panic("out of order")
	})})
	resp, err := http.Post(url+"/invocations", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if raw, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("half an answer, %q, looks whole", raw)
	}
}

func TestStream_endings(t *testing.T) {
	url, _ := serve(t, &agent.Server{Entrypoint: agent.Stream(func(_ context.Context, q question) iter.Seq2[any, error] {
		return func(yield func(any, error) bool) {
			for _, word := range strings.Fields(q.Prompt) {
				switch word {
				case "fail":
					yield(nil, errors.New("no idea"))
					return
				case "panic":
					panic("out of order")
				case "mute":
					yield(func() {}, nil)
					return
				}
				if !yield(answer{word}, nil) {
					return
				}
			}
		}
	})})
	const events, kind = "text/event-stream", "application/json"
	for body, want := range map[string]reply{
		`{"prompt":"a <b>"}`:   {200, events, "data: {\"text\":\"a\"}\n\ndata: {\"text\":\"<b>\"}\n\n"},
		`{"prompt":""}`:        {200, events, ""},
		`{"prompt":"fail"}`:    {500, kind, `{"error":"no idea"}`},
		`{"prompt":"a fail"}`:  {200, events, "data: {\"text\":\"a\"}\n\ndata: {\"error\":\"no idea\",\"error_type\":\"errors.errorString\",\"message\":\"An error occurred during streaming\"}\n\n"},
		`{"prompt":"a panic"}`: {200, events, "data: {\"text\":\"a\"}\n\ndata: {\"error\":\"panic: out of order\",\"error_type\":\"fmt.wrapError\",\"message\":\"An error occurred during streaming\"}\n\n"},
		`{"prompt":"mute"}`:    {500, kind, `{"error":"part of the answer has no JSON form: json: unsupported type: func()"}`},
		`{`:                    {400, kind, `{"error":"Invalid JSON","details":"unexpected end of JSON input"}`},
	} {
		if got := post(t, url, body); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", body, got, want)
		}
	}
}

func TestStream_eachPartIsSentAtOnceAndTheCallerMayLeave(t *testing.T) {
	more, left := make(chan bool), make(chan struct{})
	url, _ := serve(t, &agent.Server{Entrypoint: agent.Stream(func(ctx context.Context, _ any) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			defer close(left)
			for i := 0; ; i++ {
				if !yield(i, nil) {
					return
				}
				select {
				case <-more:
				case <-ctx.Done():
					return
				}
			}
		}
	})})
	ctx, leave := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", url+"/invocations", strings.NewReader("{}"))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 { // the next part is made only after this one arrived
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("part %d: got %q", i, lines.Text())
		}
		more <- true
	}
	leave()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the iterator was not stopped when the caller left")
	}
}

func TestRequestOf_whatThePlatformSays(t *testing.T) {
	var got agent.Request
	s := &agent.Server{Entrypoint: agent.Handle(func(ctx context.Context, _ any) (any, error) { got = agent.RequestOf(ctx); return nil, nil })}
	url, _ := serve(t, s)
	post(t, url, "{}",
		"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "session", "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id", "request",
		"WorkloadAccessToken", "old", "X-Amz-Bedrock-AgentCore-Identity-WAT", "new", "OAuth2CallbackUrl", "https://cb",
		"Authorization", "Bearer b", "X-Tenant", "t", "X-Amzn-Bedrock-AgentCore-Runtime-Custom-A", "a",
		"traceparent", "00-1-2-01", "tracestate", "s=1", "baggage", "k=v", "X-Amzn-Trace-Id", "Root=1", "Cookie", "c=1")
	want := agent.Request{SessionID: "session", RequestID: "request", WorkloadToken: "new", OAuth2CallbackURL: "https://cb",
		Header: http.Header{"Authorization": {"Bearer b"}, "X-Tenant": {"t"}, "X-Amzn-Bedrock-Agentcore-Runtime-Custom-A": {"a"}},
		Trace:  agent.Trace{Parent: "00-1-2-01", State: "s=1", Baggage: "k=v", AmazonID: "Root=1"}}
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	out := http.Header{}
	got.Trace.Propagate(out)
	if len(out) != 4 || out.Get("traceparent") != "00-1-2-01" {
		t.Errorf("propagated %v", out)
	}
	post(t, url, "{}", "WorkloadAccessToken", "old")
	if got.WorkloadToken != "old" || len(got.RequestID) != 36 || got.SessionID != "" {
		t.Errorf("got %#v, want the old token and a request id of our own", got)
	}
}

func TestRequest_logsNoSecrets(t *testing.T) {
	var out bytes.Buffer
	request := agent.Request{SessionID: "s", WorkloadToken: "canary", Header: http.Header{"Authorization": {"canary"}}}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "request", request)
	if strings.Contains(out.String(), "canary") || !strings.Contains(out.String(), `"sessionId":"s"`) {
		t.Errorf("logged %s", out.String())
	}
}

type ping struct {
	Status  agent.Status `json:"status"`
	Changed int64        `json:"time_of_last_update"`
}

func askPing(t *testing.T, s *agent.Server) (p ping) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/ping", nil))
	if w.Code != 200 {
		t.Fatalf("ping is %d", w.Code)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPing_changesWhenWorkBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := &agent.Server{}, time.Now()
		expect := func(status agent.Status, since time.Duration) {
			t.Helper()
			if got, want := askPing(t, s), (ping{status, start.Add(since).Unix()}); got != want {
				t.Errorf("after %s: got %+v, want %+v", time.Since(start), got, want)
			}
		}
		expect(agent.Healthy, 0)
		time.Sleep(10 * time.Second)
		expect(agent.Healthy, 0)
		s.Go(t.Context(), func(context.Context) { time.Sleep(20 * time.Second) }) // until 30
		s.Go(t.Context(), func(context.Context) { time.Sleep(50 * time.Second) }) // until 60
		time.Sleep(35 * time.Second)
		expect(agent.HealthyBusy, 10*time.Second)
		time.Sleep(55 * time.Second) // 100: noticed at its time, not at the next ping
		expect(agent.Healthy, 60*time.Second)

		s.Force(agent.HealthyBusy)
		expect(agent.HealthyBusy, 100*time.Second)
		time.Sleep(time.Second)
		s.Force("")
		expect(agent.Healthy, 101*time.Second)
		done := s.Busy()
		time.Sleep(time.Second)
		done()
		done()
		expect(agent.Healthy, 102*time.Second)
	})
}

func TestPing_customStatusYieldsToForceAndFallsBack(t *testing.T) {
	answer := agent.HealthyBusy
	s := &agent.Server{Log: slog.New(slog.DiscardHandler), Ping: func() agent.Status {
		if answer == "panic" {
			panic("out of order")
		}
		return answer
	}}
	expect := func(want agent.Status) {
		t.Helper()
		if got := askPing(t, s).Status; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	expect(agent.HealthyBusy)
	s.Force(agent.Healthy)
	expect(agent.Healthy)
	s.Force("")
	answer = ""
	expect(agent.Healthy)
	answer = "panic"
	expect(agent.Healthy)
	defer s.Busy()()
	expect(agent.HealthyBusy)
}

func TestGo_outlivesItsCallAndEndsWithTheAgent(t *testing.T) {
	started, saved := make(chan struct{}), make(chan string, 1)
	s := &agent.Server{Entrypoint: agent.Handle(func(ctx context.Context, _ any) (string, error) {
		agent.Go(ctx, func(ctx context.Context) { panic("this one only") })
		agent.Go(ctx, func(ctx context.Context) {
			close(started)
			<-ctx.Done()
			saved <- agent.RequestOf(ctx).SessionID
		})
		return "ok", nil
	})}
	url, stop := serve(t, s)
	post(t, url, "{}", "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "session")
	<-started
	if status, _ := s.Status(); status != agent.HealthyBusy {
		t.Errorf("status is %s while a task runs", status)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	select {
	case id := <-saved:
		if id != "session" {
			t.Errorf("the task saw session %q", id)
		}
	default:
		t.Error("the agent ended before its task")
	}
}

func TestServe_callsInProgressFinishWithinGrace(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	url, stop := serve(t, &agent.Server{Entrypoint: agent.Handle(func(context.Context, any) (string, error) {
		close(begun)
		<-finish
		return "whole", nil
	})})
	got := make(chan reply, 1)
	go func() { got <- post(t, url, "{}") }()
	<-begun
	time.AfterFunc(50*time.Millisecond, func() { close(finish) })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if r := <-got; r.body != `"whole"` {
		t.Errorf("got %+v", r)
	}
}

func TestServe_whatOutlivesGraceIsCut(t *testing.T) {
	begun := make(chan struct{})
	s := &agent.Server{Grace: 50 * time.Millisecond}
	url, stop := serve(t, s)
	s.Go(t.Context(), func(context.Context) { close(begun); <-t.Context().Done() })
	<-begun
	if _, err := http.Get(url + "/ping"); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err == nil || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("got %v, want an error that names the grace", err)
	}
}

func TestRun_endsOnSIGTERM(t *testing.T) {
	// The test listens for the signal too, so that one sent before Run does kills nobody.
	ours := make(chan os.Signal, 1)
	signal.Notify(ours, syscall.SIGTERM)
	defer signal.Stop(ours)
	s := &agent.Server{Addr: "127.0.0.1:0"}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			return
		case <-deadline:
			t.Fatal("Run did not end")
		case <-tick.C:
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}
	}
}

func TestWebSocket_conversation(t *testing.T) {
	s := &agent.Server{WebSocket: func(ctx context.Context, conn *websocket.Conn) error {
		for {
			kind, message, err := conn.Read(ctx)
			switch {
			case err != nil:
				return err
			case string(message) == "bye":
				return nil
			case string(message) == "fail":
				return errors.New("no idea")
			case string(message) == "panic":
				panic("out of order")
			}
			if err := conn.Write(ctx, kind, append([]byte(agent.RequestOf(ctx).SessionID+" "), message...)); err != nil {
				return err
			}
		}
	}}
	url, stop := serve(t, s)
	dial := func() *websocket.Conn {
		header := http.Header{"Origin": {"https://elsewhere.example"}, "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": {"session"}}
		conn, _, err := websocket.Dial(t.Context(), url+"/ws", &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.CloseNow() })
		return conn
	}
	send := func(conn *websocket.Conn, message string) (string, error) {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		_, got, err := conn.Read(t.Context())
		return string(got), err
	}
	large := strings.Repeat("x", 60<<10)
	conn := dial()
	conn.SetReadLimit(1 << 20)
	if got, err := send(conn, large); err != nil || got != "session "+large {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	for message, want := range map[string]websocket.StatusCode{
		"bye": websocket.StatusNormalClosure, "fail": websocket.StatusInternalError, "panic": websocket.StatusInternalError,
	} {
		if _, err := send(dial(), message); websocket.CloseStatus(err) != want {
			t.Errorf("%s: closed with %v, want %d", message, err, want)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the agent stopped with %v, want going away", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
