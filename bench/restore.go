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
// A snapshot that was used stays decrypted for some seconds: the first way is measured once it is not, and again at once. The others
// have their turns meanwhile, for a machine that has rested is slower than any.
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

// decrypted is longer than a snapshot that was used stays so.
const decrypted = 6 * time.Second

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
	var clone, again, fresh, bare []time.Duration
	sealed := way.pool == "0"
	for i := range b.samples(40) + 1 {
		if err := b.awaitGolden(ctx, cloned); err != nil {
			return err
		}
		c, err := b.coldOnce(ctx, cloned)
		var a time.Duration
		if err == nil && sealed {
			a, err = b.coldOnce(ctx, cloned)
		}
		if err != nil {
			return err
		}
		if i > 0 {
			clone, again = append(clone, c), append(again, a)
		}
		for used := time.Now(); ; {
			f, p, err := b.coldAndBare(ctx, cold)
			if err != nil {
				return err
			}
			if i > 0 {
				fresh, bare = append(fresh, f), append(bare, p)
			}
			if !sealed || time.Since(used) > decrypted {
				break
			}
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
	if sealed {
		b.add(row{
			What: way.what + " once more, at once, p50", Agent: cold.label, Root: erofs, Unit: "ms", Samples: len(again),
			Value: percentile(again, 50), Beside: v, Against: "the first time", Detail: fmt.Sprintf("p95 %.3g ms", percentile(again, 95)),
		})
	}
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
	}
	return fmt.Errorf("no golden snapshot, or no engine: %+v", p)
}
