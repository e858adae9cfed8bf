package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// telemetryPeer sends the same spans to Moorage and to the OpenTelemetry Collector, in turns.
func (b *bench) telemetryPeer(ctx context.Context) (err error) {
	s, err := startServer(ctx, b.server.bin)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.down(); err == nil {
			err = e
		}
	}()
	c, err := startCollector(ctx, s.work)
	if err != nil {
		return err
	}
	defer c.stop()
	o := &observatory{server: s, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	const turns = 4
	requests := b.samples(250)
	o.day(turns * requests)
	var ours, theirs time.Duration
	used := o.cpu()
	for turn := range turns {
		first := turn * requests
		took, err := flood(requests, func(i int) error { return o.send(ctx, o.request(uint64(first+i))) })
		if err != nil {
			return err
		}
		ours += took
		took, err = flood(requests, func(i int) error {
			return o.doAt(ctx, c.endpoint, "POST", "traces", o.request(uint64(first+i)), nil)
		})
		if err != nil {
			return err
		}
		theirs += took
	}
	used = o.cpu() - used
	if err := c.stop(); err != nil {
		return err
	}
	spans := float64(turns * requests * spansPerRequest)
	b.add(row{What: "spans taken, in turns", Agent: "Moorage", Root: "OTLP/HTTP", Value: spans / ours.Seconds(), Unit: "spans/s", Samples: int(spans),
		Beside: spans / theirs.Seconds(), Against: "the Collector with its file exporter", Detail: fmt.Sprintf("%.2f of it; %.1f and %.1f µs of processor, %.0f and %.0f B on disk per span",
			theirs.Seconds()/ours.Seconds(), used.Seconds()*1e6/spans, c.used().Seconds()*1e6/spans, float64(o.disk())/spans, float64(c.disk())/spans)})
	return nil
}

// collector is the OpenTelemetry Collector's OTLP receiver and file exporter.
type collector struct {
	process        *exec.Cmd
	endpoint, file string
	ended          bool
}

// startCollector builds and starts it; the module is the benchmark's own.
func startCollector(ctx context.Context, work string) (*collector, error) {
	bin := filepath.Join(work, "collector")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, ".")
	build.Dir, build.Env = "bench/collector", append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the Collector: %w: %s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	free.Close()
	c := &collector{endpoint: "http://" + address, file: filepath.Join(work, "spans.pb")}
	c.process = exec.CommandContext(ctx, bin, address, c.file)
	c.process.Stderr = os.Stderr
	if err := c.process.Start(); err != nil {
		return nil, err
	}
	for range 1000 {
		if conn, err := net.Dial("tcp", address); err == nil {
			return c, conn.Close()
		}
		wait(ctx, 20*time.Millisecond)
	}
	return nil, errors.Join(errors.New("the Collector did not start"), c.stop())
}

// stop ends it, once everything is written. It may be called more than once.
func (c *collector) stop() error {
	if c.ended {
		return nil
	}
	c.ended = true
	if err := c.process.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	if err := c.process.Wait(); err != nil && !strings.Contains(err.Error(), "signal") {
		return err
	}
	return nil
}

// used is its processor time, once it has ended.
func (c *collector) used() time.Duration {
	return c.process.ProcessState.UserTime() + c.process.ProcessState.SystemTime()
}

func (c *collector) disk() int64 {
	info, err := os.Stat(c.file)
	if err != nil {
		return 0
	}
	return info.Size()
}
