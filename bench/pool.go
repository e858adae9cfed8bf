package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// pooledStarts measures new sessions that find a ready sandbox beside cold ones and bare processes, in turns.
func (b *bench) pooledStarts(ctx context.Context) error {
	for _, k := range []kind{goAgent, pythonAgent, heavyAgent} {
		if err := b.pooledStart(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) pooledStart(ctx context.Context, cold kind) error {
	pooled := cold
	pooled.name, pooled.pool = cold.name+"_pool", "2"
	var ready, fresh, bare []time.Duration
	for i := range b.samples(100) + 1 {
		if err := b.awaitPool(ctx, pooled); err != nil {
			return err
		}
		r, err := b.coldOnce(ctx, pooled)
		if err != nil {
			return err
		}
		if err := b.awaitPool(ctx, pooled); err != nil { // its refill is no part of the cold start
			return err
		}
		f, p, err := b.coldAndBare(ctx, cold)
		if err != nil {
			return err
		}
		if i > 0 {
			ready, fresh, bare = append(ready, r), append(fresh, f), append(bare, p)
		}
	}
	for _, q := range []int{50, 99} {
		v := percentile(ready, q)
		limit := map[int]float64{50: 10, 99: 40}[q]
		r := row{
			What: fmt.Sprintf("new session from the pool, p%d", q), Agent: cold.label, Root: erofs, Unit: "ms", Samples: len(ready),
			Value: v, Beside: percentile(fresh, q), Against: "the same agent started cold", Detail: fmt.Sprintf("a bare process %.3g ms", percentile(bare, q)),
		}
		r.Goal, r.Met = goal(fmt.Sprintf("≤ %.0f ms", limit), v <= limit)
		b.add(r)
	}
	if cold.timesFaster > 0 {
		times := percentile(bare, 50) / percentile(ready, 50)
		r := row{What: "new session from the pool, times faster than a bare process", Agent: cold.label, Root: erofs, Unit: "×", Samples: len(ready), Value: times}
		r.Goal, r.Met = goal(fmt.Sprintf("≥ %.0f", cold.timesFaster), times >= cold.timesFaster)
		b.add(r)
	}
	_, err := b.server.command(ctx, "destroy", "--name", pooled.name)
	return err
}

// awaitPool waits until the pool of an agent is full.
func (b *bench) awaitPool(ctx context.Context, k kind) error {
	arn, err := b.server.deploy(ctx, k)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		p, err := b.server.pool(ctx, arn[strings.LastIndexByte(arn, '/')+1:])
		if err != nil || p.full() {
			return err
		}
	}
	return errors.New("the pool does not fill")
}

// pool is how a version's ready sandboxes and its golden snapshot stand.
type pool struct {
	Ready, Filling, Want  int
	Ahead                 bool
	Golden, GoldenProblem string
}

func (p pool) full() bool { return p.Ready > 0 && p.Ready >= p.Want && p.Filling == 0 }

// pool asks about the only live version of a runtime; the zero pool means that it has none.
func (s *server) pool(ctx context.Context, id string) (p pool, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.Endpoint+"/v1/runtimes/"+id+"/pool", nil)
	if err != nil {
		return p, err
	}
	key := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, key, req, hash(""), "bedrock-agentcore", s.Region, time.Now()); err != nil {
		return p, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	var answer struct{ Pools []pool }
	if resp.StatusCode != http.StatusOK {
		return p, fmt.Errorf("GET the pool of %s: status %d", id, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Pools) != 1 {
		return p, err
	}
	return answer.Pools[0], nil
}
