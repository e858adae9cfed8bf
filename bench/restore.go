package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// heavyAgent imports what agents usually do.
var heavyAgent = kind{name: "bench_heavy", label: "heavy Python (boto3, pydantic, Strands)", dir: "bench/heavy", entry: "main.py", perGiB: 12, timesFaster: 8, asleep: 180, awake: 220,
	bare: func(ctx context.Context, work string) (*exec.Cmd, error) {
		python, err := realPython()
		if err != nil {
			return nil, err
		}
		packages := filepath.Join(work, "heavy")
		if _, err := os.Stat(packages); err != nil {
			install := exec.CommandContext(ctx, python, "-m", "pip", "install", "-q", "--target", packages, "-r", "bench/heavy/requirements.txt")
			if out, err := install.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("install what the heavy agent imports: %w: %s", err, out)
			}
		}
		return exec.CommandContext(ctx, "env", "PYTHONPATH="+packages, python, "-u", "bench/heavy/main.py"), nil
	}}

// restores measures new sessions of versions that have a golden snapshot and no ready sandbox, beside
// fresh starts and bare processes, in turns: with nothing but the snapshot, and into an engine that waits for
// it. They are on servers of their own, whose memory for sandboxes kept ready is nothing, or as much as two engines take.
func (b *bench) restores(ctx context.Context) error {
	for _, way := range []restoring{
		{"new session from the golden snapshot", "1", "0", 130, 180},
		{"new session from the golden snapshot, into an engine that waits", "40M", "1", 90, 140},
	} {
		if err := b.restoring(ctx, way); err != nil {
			return err
		}
	}
	return nil
}

// restoring is a way for a session to start from a snapshot.
type restoring struct {
	what, memory, pool string
	light, heavy       float64 // ms that it may take
}

func (b *bench) restoring(ctx context.Context, way restoring) (err error) {
	server, err := startServer(ctx, b.server.bin, "--pool-memory", way.memory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.down()) }()
	on := &bench{server: server, quick: b.quick}
	err = on.restore(ctx, pythonAgent, way, way.light)
	if err == nil {
		err = on.restore(ctx, heavyAgent, way, way.heavy)
	}
	b.rows = append(b.rows, on.rows...)
	return err
}

func (b *bench) restore(ctx context.Context, cold kind, way restoring, limit float64) error {
	cloned := cold
	cloned.name, cloned.pool = cold.name+"_clone", way.pool
	var clone, fresh, bare []time.Duration
	for i := range b.samples(40) + 1 {
		if err := b.awaitGolden(ctx, cloned); err != nil {
			return err
		}
		c, err := b.coldOnce(ctx, cloned)
		if err != nil {
			return err
		}
		f, p, err := b.coldAndBare(ctx, cold)
		if err != nil {
			return err
		}
		if i > 0 {
			clone, fresh, bare = append(clone, c), append(fresh, f), append(bare, p)
		}
	}
	v := percentile(clone, 50)
	r := row{
		What: way.what + ", p50", Agent: cold.label, Root: erofs, Unit: "ms", Samples: len(clone),
		Value: v, Beside: percentile(fresh, 50), Against: "the same agent started afresh",
		Detail: fmt.Sprintf("p95 %.3g ms; a bare process %.3g ms", percentile(clone, 95), percentile(bare, 50)),
	}
	r.Goal, r.Met = goal(fmt.Sprintf("≤ %.0f ms", limit), v <= limit)
	b.add(r)
	return nil
}

// awaitGolden waits until an agent has its golden snapshot; and an engine that waits for that, where it shall.
func (b *bench) awaitGolden(ctx context.Context, k kind) error {
	arn, err := b.server.deploy(ctx, k)
	if err != nil {
		return err
	}
	var p pool
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if p, err = b.server.pool(ctx, arn[strings.LastIndexByte(arn, '/')+1:]); err != nil || p.Golden == "kept" && (p.Ahead || k.pool == "0") {
			return err
		}
		if p.Golden == "degraded" {
			break
		}
	}
	return fmt.Errorf("no golden snapshot, or no engine: %+v", p)
}
