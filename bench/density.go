package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	sleepers = 1000
	sampled  = 100
	abreast  = 4 // sessions that are opened and put to sleep at once
)

// density fills the machine with sleeping sessions, and asks some of them what they remember.
func (b *bench) density(ctx context.Context) error {
	n := sleepers
	if b.quick {
		n = sleepers / 10
	}
	before, err := b.residentMemory()
	if err != nil {
		return err
	}
	sessions, disk, err := b.fallAsleep(ctx, n)
	if err != nil {
		return err
	}
	after, err := b.residentMemory()
	if err != nil {
		return err
	}
	right, asked, err := b.askAgain(ctx, sessions)
	if err != nil {
		return err
	}
	r := row{
		What: fmt.Sprintf("%d sleeping sessions, bytes of each on disk", n), Agent: pythonAgent.label, Root: erofs, Unit: "MB", Samples: n,
		Value: float64(disk) / float64(n) / 1e6, Beside: float64(after-before) / 1e6, Against: "MB that server and shim grew by in all",
		Detail: fmt.Sprintf("%d of %d asked remember everything", right, asked),
	}
	r.Goal, r.Met = goal("all remember", right == asked)
	b.add(r)
	return b.stopAll(ctx, pythonAgent, sessions)
}

// fallAsleep opens n sessions, each with one turn behind it, and puts each to sleep.
func (b *bench) fallAsleep(ctx context.Context, n int) (sessions []string, disk int64, err error) {
	if _, err := b.server.deploy(ctx, pythonAgent); err != nil {
		return nil, 0, err
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(abreast)
	for range n {
		group.Go(func() error {
			session, _, err := b.openOnce(ctx, pythonAgent)
			if err != nil {
				return err
			}
			bytes, err := b.server.sleep(ctx, session)
			mu.Lock()
			defer mu.Unlock()
			sessions, disk = append(sessions, session), disk+bytes
			return err
		})
	}
	return sessions, disk, group.Wait()
}

// askAgain calls some sessions once more and counts those that know of the turn before.
func (b *bench) askAgain(ctx context.Context, sessions []string) (right, asked int, err error) {
	for _, i := range rand.Perm(len(sessions))[:min(sampled, len(sessions))] {
		answer, err := b.answer(ctx, pythonAgent, sessions[i])
		if err != nil {
			return 0, 0, err
		}
		asked++
		if strings.Contains(answer, "turn 2 of this session") {
			right++
		}
		if _, err := b.server.sleep(ctx, sessions[i]); err != nil {
			return 0, 0, err
		}
	}
	return right, asked, nil
}

// answer calls a session and returns what its agent says.
func (b *bench) answer(ctx context.Context, k kind, session string) (string, error) {
	req, err := b.server.invoke(ctx, b.server.agents[k.name], session)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	var said struct{ Answer string }
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	return said.Answer, err
}

// residentMemory is that of the server and its shim, in bytes.
func (b *bench) residentMemory() (int64, error) {
	shim, err := b.shimMemory()
	if err != nil {
		return 0, err
	}
	server, err := proportional(b.server.process.Process.Pid)
	return shim + server, err
}
