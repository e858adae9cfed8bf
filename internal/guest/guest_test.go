package guest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
)

// serve runs s on a socket and returns a client for each sandbox and port, as a gateway makes them.
func serve(t *testing.T, s *Server) func(sandbox string, port uint16) *http.Client {
	t.Helper()
	s.Log = slog.New(slog.DiscardHandler)
	path := filepath.Join(t.TempDir(), "guest.sock")
	l, err := door.Listen(path, s.Log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func(sandbox string, port uint16) *http.Client {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return door.Dial(ctx, path, sandbox, port)
		}}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
}

// said makes a request and returns the answer's status and body.
func said(t *testing.T, c *http.Client, r *http.Request) (int, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func request(t *testing.T, method, url string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestTelemetry_isAttributedByTheSandboxThatDialled(t *testing.T) {
	var owned atomic.Bool
	var asked atomic.Int64
	client := serve(t, &Server{
		Occupant: func(_ context.Context, sandbox string) (Occupant, error) {
			asked.Add(1)
			switch {
			case sandbox != "one" && sandbox != "two":
				return Occupant{}, moorage.Errorf(moorage.NotFound, "there is no sandbox %s", sandbox)
			case sandbox == "one" && owned.Load():
				return Occupant{Sandbox: sandbox, Session: "session of one"}, nil
			}
			return Occupant{Sandbox: sandbox}, nil
		},
		Telemetry: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := OccupantOf(r.Context())
			fmt.Fprintf(w, "%s/%s", who.Sandbox, who.Session)
		}),
	})
	one, two := client("one", door.OTLPHTTP), client("two", door.OTLPHTTP)
	ask := func(c *http.Client) string {
		_, body := said(t, c, request(t, "POST", "http://169.254.169.254:4318/v1/traces", "X-Sandbox", "two"))
		return body
	}
	if a, b := ask(one), ask(two); a != "one/" || b != "two/" {
		t.Errorf("told %q and %q", a, b)
	}
	owned.Store(true) // on a connection that was open before
	if a := ask(one); a != "one/session of one" {
		t.Errorf("after its hand-over, told %q", a)
	}
	before := asked.Load()
	ask(one)
	if asked.Load() != before {
		t.Error("whose a sandbox is was looked up again, though that changes no more")
	}
	if status, body := said(t, client("three", door.OTLPHTTP), request(t, "POST", "http://169.254.169.254:4318/v1/traces")); status != 404 || !strings.Contains(body, "three") {
		t.Errorf("an unknown sandbox is told %d %q", status, body)
	}
}

func TestServe_boundsHowFastASandboxAsks(t *testing.T) {
	client := serve(t, metadataServer(t))
	one, other := client("session", door.Metadata), client("other", door.Metadata)
	refused := 0
	for range 2 * pace.Burst {
		if status, _ := said(t, one, request(t, "PUT", machine+"/latest/api/token", ttlHeader, "60")); status == 429 {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("%d requests at once are answered", 2*pace.Burst)
	}
	if status, body := said(t, other, request(t, "PUT", machine+"/latest/api/token", ttlHeader, "60")); status != 200 {
		t.Errorf("another sandbox pays for it: %d %s", status, body)
	}
}

// gRPC speaks HTTP/2 without TLS.
func TestTelemetry_comesOverHTTP2(t *testing.T) {
	s := metadataServer(t)
	s.Telemetry = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	c := serve(t, s)("session", door.OTLPGRPC)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c.Transport.(*http.Transport).Protocols = protocols
	if status, body := said(t, c, request(t, "POST", "http://169.254.169.254:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export")); status != 200 || body != "HTTP/2.0" {
		t.Errorf("%d %s", status, body)
	}
}

func TestEnvironment_theOwnersValuesWin(t *testing.T) {
	type vars = map[string]string
	const (
		credentials = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
		sts         = "AWS_ENDPOINT_URL_STS"
		collector   = "OTEL_EXPORTER_OTLP_ENDPOINT"
		protocol    = "OTEL_EXPORTER_OTLP_PROTOCOL"
		delay       = "OTEL_BSP_SCHEDULE_DELAY"
		models      = "OPENAI_BASE_URL"
	)
	for name, c := range map[string]struct {
		set          vars
		has, without []string
	}{
		"nothing set":           {nil, []string{credentials, sts, collector, protocol, delay, models, "OPENAI_API_KEY"}, nil},
		"a key for OpenAI":      {vars{"OPENAI_API_KEY": "sk-x"}, []string{credentials}, []string{models}},
		"OpenAI elsewhere":      {vars{models: "http://x/v1"}, []string{credentials}, []string{models, "OPENAI_API_KEY"}},
		"keys for AWS":          {vars{"AWS_ACCESS_KEY_ID": "AKIA"}, []string{collector}, []string{credentials, sts}},
		"a profile":             {vars{"AWS_PROFILE": "p"}, []string{collector}, []string{credentials, sts}},
		"an endpoint for all":   {vars{"AWS_ENDPOINT_URL": "http://x"}, []string{credentials}, []string{sts}},
		"an endpoint for STS":   {vars{sts: "http://x"}, []string{credentials}, []string{sts}},
		"a collector":           {vars{collector: "http://x:4317"}, []string{delay, credentials}, []string{collector, protocol}},
		"a collector of traces": {vars{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, []string{delay}, []string{collector, protocol, "OTEL_TRACES_EXPORTER"}},
		"a delay":               {vars{delay: "5000"}, []string{collector}, []string{delay}},
		"no telemetry":          {vars{"DISABLE_ADOT_OBSERVABILITY": "True"}, []string{credentials}, []string{collector, delay, "AGENT_OBSERVABILITY_ENABLED"}},
	} {
		got := Environment("demo", c.set)
		for _, want := range c.has {
			if got[want] == "" {
				t.Errorf("%s: %s is missing", name, want)
			}
		}
		for _, not := range c.without {
			if v, ok := got[not]; ok {
				t.Errorf("%s: %s is %q", name, not, v)
			}
		}
	}
}
