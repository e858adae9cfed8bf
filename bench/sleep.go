package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
)

// sleeps measures how long a session takes to fall asleep, and to answer the call that wakes it, beside
// the first call of a cold one, in turns.
func (b *bench) sleeps(ctx context.Context) error {
	for _, k := range []kind{goAgent, pythonAgent, heavyAgent} {
		if err := b.sleepAndWake(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sleepAndWake(ctx context.Context, k kind) error {
	arn, session, request, err := b.session(ctx, k)
	if err != nil {
		return err
	}
	conn, err := b.server.dial(ctx)
	if err != nil {
		return err
	}
	on := newLine(conn)
	defer on.Close()
	if _, err := on.call(request); err != nil {
		return err
	}
	var down, wake, cold []time.Duration
	var size int64
	for range b.samples(40) {
		began := time.Now()
		if size, err = b.server.sleep(ctx, session); err != nil {
			return err
		}
		down = append(down, time.Since(began))
		took, err := on.call(request)
		if err != nil {
			return err
		}
		wake = append(wake, took)
		if took, err = b.coldOnce(ctx, k); err != nil {
			return err
		}
		cold = append(cold, took)
	}
	seal, unseal, err := b.sealing(size, len(down))
	if err != nil {
		return err
	}
	for _, m := range []struct {
		what          string
		took, sealing []time.Duration
		limit         float64
	}{{"an idle session falls asleep, sealing included, p50", down, seal, k.asleep}, {"a call wakes a sleeping session, unsealing included, p50", wake, unseal, k.awake}} {
		r := row{What: m.what, Agent: k.label, Root: erofs, Unit: "ms", Samples: len(m.took), Value: percentile(m.took, 50),
			Beside: percentile(cold, 50), Against: "the same agent started cold",
			Detail: fmt.Sprintf("p95 %.3g ms; that alone, of the same %.3g MB, %.3g ms", percentile(m.took, 95), float64(size)/1e6, percentile(m.sealing, 50))}
		r.Goal, r.Met = goal(fmt.Sprintf("≤ %.0f ms", m.limit), r.Value <= m.limit)
		b.add(r)
	}
	return b.stopSession(ctx, on, arn, session)
}

// sealing times what sleep and wake do to the bytes of a snapshot, apart from the engine: encrypt them to the
// server's disk and wait for that, and decrypt them.
func (b *bench) sealing(size int64, times int) (seal, unseal []time.Duration, err error) {
	image := make([]byte, size)
	rand.Read(image)
	dir := filepath.Join(b.server.work, "sealed")
	for range times {
		began := time.Now()
		w, err := snapshot.Create(dir, snapshot.Manifest{})
		if err != nil {
			return nil, nil, err
		}
		if err := errors.Join(w.Write("image", bytes.NewReader(image)), w.Commit()); err != nil {
			return nil, nil, errors.Join(err, w.Abort())
		}
		seal = append(seal, time.Since(began))
		began = time.Now()
		s, err := snapshot.Open(dir)
		if err != nil {
			return nil, nil, err
		}
		if err := s.WritePart(io.Discard, "image"); err != nil {
			return nil, nil, err
		}
		unseal = append(unseal, time.Since(began))
	}
	return seal, unseal, snapshot.Remove(dir)
}

// sleep puts a session to sleep and returns what it takes on disk.
func (s *server) sleep(ctx context.Context, session string) (bytes int64, err error) {
	req, err := http.NewRequestWithContext(ctx, "POST", s.Endpoint+"/v1/sessions/"+session+"/sleep", strings.NewReader(""))
	if err != nil {
		return 0, err
	}
	key := aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, key, req, hash(""), "bedrock-agentcore", s.Region, time.Now()); err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		SleepBytes int64
		Message    string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("sleep: status %d %s, %w", resp.StatusCode, answer.Message, err)
	}
	return answer.SleepBytes, nil
}
