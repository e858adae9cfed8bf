package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// throughput measures requests per second beside nginx in front of the same sandbox.
func (b *bench) throughput(ctx context.Context) error {
	if err := have("wrk"); err != nil {
		return err
	}
	arn, session, request, err := b.session(ctx, goAgent)
	if err != nil {
		return err
	}
	conn, err := b.server.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	on := newLine(conn)
	if _, err := on.call(request); err != nil {
		return err
	}
	defer b.stopSession(ctx, on, arn, session)
	boxes, err := b.server.sandboxes(ctx, session)
	if err != nil || len(boxes) != 1 {
		return fmt.Errorf("%d sandboxes: %w", len(boxes), err)
	}
	proxy, err := startNginx(ctx, b.server.work, boxes[0])
	if err != nil {
		return err
	}
	defer proxy.stop()
	signed, err := b.server.invoke(ctx, arn, session)
	if err != nil {
		return err
	}
	plain, err := http.ReadRequest(newReader(plainRequest()))
	if err != nil {
		return err
	}
	for _, connections := range []int{1, 8, 64} {
		if err := b.compareLoad(ctx, connections, signed, plain, proxy.address); err != nil {
			return err
		}
	}
	return nil
}

// compareLoad runs both in turns and takes the medians.
func (b *bench) compareLoad(ctx context.Context, connections int, signed, plain *http.Request, proxy string) error {
	ourScript, err := b.script("ours.lua", signed)
	if err != nil {
		return err
	}
	proxyScript, err := b.script("nginx.lua", plain)
	if err != nil {
		return err
	}
	seconds, rounds := 4, 5
	if b.quick {
		seconds, rounds = 1, 3
	}
	var ours, theirs, cost []float64
	for range rounds {
		used := b.server.cpu()
		o, err := wrk(ctx, connections, seconds, ourScript, "http://"+signed.URL.Host)
		if err != nil {
			return err
		}
		cost = append(cost, float64((b.server.cpu()-used).Microseconds())/(o*float64(seconds)))
		n, err := wrk(ctx, connections, seconds, proxyScript, "http://"+proxy)
		if err != nil {
			return fmt.Errorf("nginx: %w", err)
		}
		ours, theirs = append(ours, o), append(theirs, n)
	}
	r := row{
		What: fmt.Sprintf("throughput, %d connections", connections), Agent: goAgent.label, Root: erofs, Unit: "req/s", Samples: rounds,
		Value: median(ours), Beside: median(theirs), Against: "nginx in front of the same sandbox",
	}
	share := r.Value / r.Beside
	r.Detail = fmt.Sprintf("%.0f %% of it; %.0f µs of the server's processor a request", 100*share, median(cost))
	r.Goal, r.Met = goal("≥ 70 %", share >= 0.7)
	b.add(r)
	return nil
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// script makes wrk send one fixed request: wrk prepares it once, no Lua runs per request.
func (b *bench) script(name string, r *http.Request) (string, error) {
	var lua strings.Builder
	fmt.Fprintf(&lua, "wrk.method = %q\nwrk.path = %q\nwrk.body = %q\n", r.Method, r.URL.RequestURI(), payload)
	for key, values := range r.Header {
		fmt.Fprintf(&lua, "wrk.headers[%q] = %q\n", key, values[0])
	}
	// An answer that is none must not count as one.
	lua.WriteString("function done(summary, latency, requests) print('failed ' .. summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout) end\n")
	path := filepath.Join(b.server.work, name)
	return path, os.WriteFile(path, []byte(lua.String()), 0o644)
}

var rate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

func wrk(ctx context.Context, connections, seconds int, script, url string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds+30)*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(seconds)+"s", "-s", script, url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	found := rate.FindSubmatch(out)
	if found == nil || !bytes.Contains(out, []byte("failed 0")) {
		return 0, fmt.Errorf("wrk saw failures: %s", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

func newReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }
