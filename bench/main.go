// Command bench measures a built moorage and prints one table.
//
// Every row names the agent, its root file system and what it is compared with, and both sides of a
// comparison are measured in turns in the same run: machines differ and are noisy, pairs are less so.
// Cold starts, warm calls and cycles go through the whole data plane: TCP, HTTP, SigV4, session.
//
//	bench [-bin bin/moorage] [-json FILE] [-quick] [-only WHAT,...]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
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
	fmt.Fprintf(os.Stderr, "· %s, %s: %s %s; %s\n", r.What, r.Agent, number(r.Value), r.Unit, r.compared())
}

func main() {
	if len(os.Args) > 3 && os.Args[1] == launchCommand {
		fmt.Fprintln(os.Stderr, launch(os.Args[2:]))
		os.Exit(1)
	}
	bin := flag.String("bin", "bin/moorage", "the binary that is measured")
	out := flag.String("json", "", "write the rows to this file, too")
	quick := flag.Bool("quick", false, "a tenth of the samples: to see that it works")
	only := flag.String("only", "", "run only the measurements whose name holds one of these, separated by commas")
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
	var notes []string
	for _, m := range b.measurements() {
		if !m.named(only) {
			continue
		}
		if err := m.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if m.note != "" && !slices.Contains(notes, m.note) {
			notes = append(notes, m.note)
		}
	}
	b.print(notes)
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

func (b *bench) print(notes []string) {
	fmt.Printf("Measured on %s.\n\n", machine())
	fmt.Println("| what | agent | root file system | result | beside | goal | n |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, r := range b.rows {
		fmt.Printf("| %s | %s | %s | **%s %s** | %s | %s | %d |\n", r.What, r.Agent, r.Root, number(r.Value), r.Unit, r.compared(), r.judged(), r.Samples)
	}
	fmt.Println()
	fmt.Println(strings.Join(notes, "\n"))
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
