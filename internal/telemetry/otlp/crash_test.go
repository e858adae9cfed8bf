package otlp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/otlp"
)

// inletDir names the directory that a process of its own takes telemetry into, until it is killed.
const inletDir = "MOORAGE_TEST_INLET"

func TestMain(m *testing.M) {
	if dir := os.Getenv(inletDir); dir != "" {
		takeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func takeUntilKilled(dir string) {
	a, err := archive.Open(context.Background(), archive.Options{Dir: dir, Partition: 2 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	srv := httptest.NewServer(otlp.New(a.Append, a.Codec(), slog.New(slog.DiscardHandler)))
	fmt.Println(srv.URL)
	select {}
}

// Whatever was acknowledged is there when the server was killed, whenever that is; and what a client sends
// again since it saw no answer counts once.
func TestAppend_nothingAcknowledgedIsLostByAKill(t *testing.T) {
	dir := t.TempDir()
	var traces atomic.Uint64
	acknowledged := sync.Map{}
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), inletDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		url, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		sendUntilKilled(t, strings.TrimSpace(url), &traces, &acknowledged, func() { cmd.Process.Kill() })
		cmd.Wait()
	}
	s := openStation(t, archive.Options{Dir: dir})
	n := 0
	acknowledged.Range(func(id, _ any) bool {
		n++
		if got := s.trace(t, id.(uint64)); len(got.Spans) != 4 || got.Input != 21245 {
			t.Errorf("of trace %d there are %d spans and %d tokens", id, len(got.Spans), got.Input)
		}
		return !t.Failed()
	})
	if n < 100 {
		t.Errorf("only %d traces were acknowledged", n)
	}
	last, list := "", 0
	for {
		page, next, err := s.Traces(t.Context(), archive.Query{Limit: 1000, After: last})
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range page {
			if each.Input != 21245 || each.ModelCalls != 1 {
				t.Fatalf("the sums of a trace are %+v", each)
			}
		}
		if list += len(page); next == "" {
			break
		}
		last = next
	}
	if list < n {
		t.Errorf("%d traces are listed of %d", list, n)
	}
}

// sendUntilKilled sends traces from four clients, each of them twice, and kills the server in between.
func sendUntilKilled(t *testing.T, url string, traces *atomic.Uint64, acknowledged *sync.Map, kill func()) {
	var clients sync.WaitGroup
	var taken atomic.Int64
	for range 4 {
		clients.Go(func() {
			for {
				id := traces.Add(1)
				for range 2 {
					resp, err := http.Post(url+"/v1/traces", "application/x-protobuf", bytes.NewReader(modelCallOf(t, id)))
					if err != nil {
						return // killed
					}
					resp.Body.Close()
					if resp.StatusCode != http.StatusOK {
						t.Errorf("status %d", resp.StatusCode)
						return
					}
					acknowledged.Store(id, true)
				}
				if taken.Add(1) == 50 {
					kill()
				}
			}
		})
	}
	clients.Wait()
}

// modelCallOf is modelCall in a trace of its own.
func modelCallOf(t *testing.T, trace uint64) []byte {
	s := newSheet()
	modelCall(s)
	for _, span := range s.spans.All() {
		span.SetTraceID(traceID(trace))
	}
	raw, err := ptraceotlp.NewExportRequestFromTraces(s.Traces).MarshalProto()
	if err != nil {
		t.Error(err)
	}
	return raw
}
