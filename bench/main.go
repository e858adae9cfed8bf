// Command bench measures a built moorage and prints one table.
//
// Every row names the agent, its root file system and what it is compared with, and both sides of a
// comparison are measured in turns in the same run: machines differ and are noisy, pairs are less so.
// Cold starts, warm calls and cycles go through the whole data plane: TCP, HTTP, SigV4, session.
//
//	bench [-bin bin/moorage] [-json FILE] [-quick] [-only WHAT]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bench is one run.
type bench struct {
	server *server
	quick  bool
	rows   []row
}

// row is a line of the table.
type row struct {
	What    string  `json:"what"`
	Agent   string  `json:"agent"`
	Root    string  `json:"root"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Beside  float64 `json:"beside"`
	Against string  `json:"against"` // what Beside was measured on
	Samples int     `json:"samples"`
	Goal    string  `json:"goal,omitempty"`
	Met     *bool   `json:"met,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	fmt.Fprintf(os.Stderr, "· %s, %s: %.3g %s (%s: %.3g) %s\n", r.What, r.Agent, r.Value, r.Unit, r.Against, r.Beside, r.Detail)
}

func main() {
	if len(os.Args) > 3 && os.Args[1] == launchCommand {
		fmt.Fprintln(os.Stderr, launch(os.Args[2:]))
		os.Exit(1)
	}
	bin := flag.String("bin", "bin/moorage", "the binary that is measured")
	out := flag.String("json", "", "write the rows to this file, too")
	quick := flag.Bool("quick", false, "a tenth of the samples: to see that it works")
	only := flag.String("only", "", "run only the measurements whose name holds this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *out, *only, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, out, only string, quick bool) (err error) {
	server, err := startServer(ctx, bin)
	if err != nil {
		return err
	}
	defer func() {
		if e := server.down(); err == nil {
			err = e
		}
	}()
	b := &bench{server: server, quick: quick}
	for _, m := range []struct {
		name    string
		measure func(context.Context) error
	}{{"cold", b.coldStarts}, {"pool", b.pooledStarts}, {"restore", b.restores}, {"sleep", b.sleeps}, {"warm", b.warmCalls}, {"throughput", b.throughput}, {"memory", b.memory}, {"cycles", b.cycles}, {"burst", b.burst}, {"density", b.density}, {"telemetry-spans", b.telemetry}, {"telemetry-logs", b.telemetryLogs}, {"telemetry-peer", b.telemetryPeer}, {"identity", b.identity}, {"models", b.models}} {
		if !strings.Contains(m.name, only) {
			continue
		}
		if err := m.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	b.print()
	if out == "" {
		return nil
	}
	doc, err := json.MarshalIndent(map[string]any{"machine": machine(), "at": time.Now().UTC(), "rows": b.rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(doc, '\n'), 0o644)
}

// samples is n, or less of them in a quick run.
func (b *bench) samples(n int) int {
	if b.quick {
		return max(3, n/10)
	}
	return n
}

func (b *bench) print() {
	fmt.Printf("Measured on %s.\n\n", machine())
	fmt.Println("| what | agent | root file system | result | beside | goal | n |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, r := range b.rows {
		fmt.Printf("| %s | %s | %s | **%s %s** | %s | %s | %d |\n", r.What, r.Agent, r.Root, number(r.Value), r.Unit, r.compared(), r.judged(), r.Samples)
	}
	fmt.Println()
	fmt.Println(notes)
}

func (r row) compared() string {
	if r.Against == "" {
		return r.Detail
	}
	s := fmt.Sprintf("%s %s: %s", number(r.Beside), r.Unit, r.Against)
	if r.Detail != "" {
		s += "; " + r.Detail
	}
	return s
}

func (r row) judged() string {
	if r.Met == nil {
		return r.Goal
	}
	if *r.Met {
		return r.Goal + ", met"
	}
	return r.Goal + ", **missed**"
}

func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func goal(text string, met bool) (string, *bool) { return text, &met }

func machine() string {
	var name unix.Utsname
	unix.Uname(&name)
	model := runtime.GOARCH
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = strings.TrimSpace(v)
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("%d × %s, Linux %s, load %s", runtime.NumCPU(), model, unix.ByteSliceToString(name.Release[:]), strings.Join(strings.Fields(string(load))[:1], ""))
}

const notes = `Cold start: from the first byte of InvokeAgentRuntime with a new session to the last byte of the answer, over a
connection that is open already. The bare process: from exec to the last byte of the same answer, asking
every 0.3 ms. Both in turns.
From the pool: the same call on a version that has a paused sandbox ready, in turns with a cold start of the same
agent. The next turn begins when the pool is full again.
From the golden snapshot: the same call on a version that has a snapshot and no ready sandbox, reseeding included; a server
of its own, which keeps none ready.
Warm overhead: the same request on kept connections, in turns through the data plane and on a connection
dialled into the same sandbox; the result is the difference, the absolute times stand beside.
Requests per second: wrk, one thread, signed before the run. nginx proxies to the same sandbox over
connections of the same kind as Moorage's, dialled by the shim: a filter on nginx's socket() and connect() hands it
those, so no bridge stands between. nginx checks no signature and keeps no log.
Identity: what is measured in this process is its whole processor time, garbage collection included, by one caller; added to a call is
the difference of the same percentile of two ways, in turns.
Memory: proportional set size of all address spaces of a sandbox, and its share of the shim, less that of the bare process.
Spans taken: a day of them in its order, 500 a request from four clients, SigV4 included, made on the same machine while they are sent; the processor
time is the server's alone. Queries: from the signed request to the last byte of the answer. The Collector is its OTLP
receiver and file exporter (protobuf, zstd): it acknowledges before anything is synced, and answers no questions.
Model endpoint: streamed answers of one chunk and of 1,000 from a provider on this machine, read to their end through
the endpoint and from the provider itself, in turns. Per call is the difference of the medians of short answers, per
chunk that of long ones less the short ones, by chunk; policies, the audit record and the call's span included.`
