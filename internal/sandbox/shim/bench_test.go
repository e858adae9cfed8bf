package shim

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

func openBench(b *testing.B) *Client {
	b.Helper()
	dir := b.TempDir()
	c, err := Open(b.Context(), Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		if err := Shutdown(context.Background(), dir); err != nil {
			b.Error(err)
		}
	})
	return c
}

// report prints the percentiles that docs quote.
func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	ms := func(q int) float64 { return float64(took[min(len(took)-1, len(took)*q/100)]) / 1e6 }
	b.ReportMetric(ms(50), "p50-ms")
	b.ReportMetric(ms(99), "p99-ms")
	b.ReportMetric(ms(0), "min-ms")
}

// BenchmarkStart is from Create to the first whole reply of a static Go agent on EROFS.
// Run with: go test ./internal/sandbox/shim -run ^$ -bench Start -benchtime 20x
func BenchmarkStart(b *testing.B) {
	for name, network := range map[string]sandbox.Network{"loopback": {}, "gateway": {Egress: sandbox.EgressPublic}} {
		b.Run(name, func(b *testing.B) {
			c := openBench(b)
			var took []time.Duration
			for b.Loop() {
				asked := spec(b)
				asked.Network = network
				began := time.Now()
				box, err := c.Create(b.Context(), asked)
				if err != nil {
					b.Fatal(err)
				}
				for ping(box) != nil {
					time.Sleep(200 * time.Microsecond)
				}
				took = append(took, time.Since(began))
				b.StopTimer()
				if err := box.Stop(b.Context(), 0); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			report(b, took)
		})
	}
}

// BenchmarkDial is a new connection into a running sandbox, without a request on it.
func BenchmarkDial(b *testing.B) {
	c := openBench(b)
	box, err := c.Create(b.Context(), spec(b))
	if err != nil {
		b.Fatal(err)
	}
	for ping(box) != nil {
		time.Sleep(time.Millisecond)
	}
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		conn, err := box.Dial(b.Context(), 8080)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		conn.Close()
	}
	report(b, took)
}

// BenchmarkCycle is a whole life: create, first reply, stop, nothing left. It fails when the shim
// keeps descriptors or threads of sandboxes that are gone.
func BenchmarkCycle(b *testing.B) {
	c := openBench(b)
	cycle := func() {
		asked := spec(b)
		asked.Network.Egress = sandbox.EgressPublic
		box, err := c.Create(b.Context(), asked)
		if err != nil {
			b.Fatal(err)
		}
		for ping(box) != nil {
			time.Sleep(200 * time.Microsecond)
		}
		if err := box.Stop(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
	cycle()
	pid := shimPID(b, c.current)
	before := held(b, pid)
	for b.Loop() {
		cycle()
	}
	if after := held(b, pid); after > before+8 {
		b.Errorf("the shim held %d descriptors and holds %d", before, after)
	}
}

func held(b *testing.B, pid int) int {
	b.Helper()
	fds, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		b.Fatal(err)
	}
	return len(fds)
}
