package server

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/logs"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
)

// How often sessions are asked for what they use: those that are at work, and those that rest in memory.
const (
	meterEvery = 5 * time.Second
	meterRest  = time.Minute
)

// metered is what a session had used when it was asked last.
type metered struct {
	at  time.Time
	cpu time.Duration
	// asleep: it slept then. What follows, until it was awake, was sleep, too.
	asleep bool
}

// since is what was used between then and now, and what is metered now. A session that cannot say what it used at
// the moment says too little: that it used less than before. What it used is not to be counted twice then.
func (m metered) since(now time.Time, cpu time.Duration) (elapsed, used time.Duration, next metered) {
	next = metered{at: now, cpu: max(cpu, m.cpu)}
	elapsed = max(now.Sub(m.at), 0)
	if m.asleep {
		elapsed = min(elapsed, meterEvery)
	}
	return elapsed, next.cpu - m.cpu, next
}

// Keys of marks: sessions live on while servers come and go, and what one wrote down the next does not write again.
const (
	usedMark = "usage.cpu/" // nanoseconds of the processor
	seenMark = "usage.at/"  // nanoseconds since 1970
)

func (m metered) marks(session string) []telemetry.Mark {
	return []telemetry.Mark{{Key: usedMark + session, Next: int64(m.cpu)}, {Key: seenMark + session, Next: m.at.UnixNano()}}
}

// meteredBefore is what another server wrote down of a session; all of it is new where none did.
func (h *house) meteredBefore(ctx context.Context, s moorage.Session) (metered, error) {
	cpu, err := h.telemetry.Mark(ctx, usedMark+s.ID)
	if err != nil {
		return metered{}, err
	}
	at, err := h.telemetry.Mark(ctx, seenMark+s.ID)
	if err != nil || at == 0 {
		return metered{at: s.CreatedAt}, err
	}
	return metered{at: time.Unix(0, at), cpu: time.Duration(cpu)}, nil
}

// meter writes down what sessions use until ctx ends: processor and memory by endpoint, as metrics and,
// by session, as the usage logs that AWS vends.
func (h *house) meter(ctx context.Context) {
	seen := map[string]metered{}
	h.rounds.metering.Run(ctx, func() time.Duration {
		now, all := time.Now(), h.sessions.List()
		if err := h.meterOnce(ctx, now, all, seen); err != nil && ctx.Err() == nil {
			h.Log.Warn("write down what sessions use", "err", err)
			return meterEvery
		}
		return nextMetering(now, all)
	})
}

// nextMetering is when to look again: once in each minute while all sessions rest, and not at all where there are none.
func nextMetering(now time.Time, all []moorage.Session) time.Duration {
	switch {
	case len(all) == 0:
		return 0
	case slices.ContainsFunc(all, func(s moorage.Session) bool { return !s.State.Rests() }):
		return meterEvery
	}
	return now.Truncate(meterRest).Add(meterRest).Sub(now)
}

func (h *house) meterOnce(ctx context.Context, now time.Time, all []moorage.Session, seen map[string]metered) error {
	batch := telemetry.Batch{Received: now}
	live := map[string]bool{}
	for _, s := range all {
		live[s.ID] = true
		last, known := seen[s.ID]
		if !known {
			var err error
			if last, err = h.meteredBefore(ctx, s); err != nil {
				return err
			}
		}
		if s.State == moorage.Asleep || s.State == moorage.Paused && now.Sub(last.at) < meterRest-meterEvery {
			if s.State == moorage.Asleep {
				last.at, last.asleep = now, true
			}
			seen[s.ID] = last
			continue
		}
		stats := h.sessions.Stats(ctx, s.ID)
		elapsed, used, next := last.since(now, stats.CPU)
		seen[s.ID] = next
		u := spent{s, now, elapsed, used, stats.MemoryBytes}
		batch.Points, batch.Marks = append(batch.Points, u.points()...), append(batch.Marks, next.marks(s.ID)...)
		lines, err := h.usageLog(u)
		if err != nil {
			return err
		}
		batch.Lines = append(batch.Lines, lines)
	}
	for id := range seen {
		if !live[id] {
			delete(seen, id)
		}
	}
	if len(all) > 0 {
		active := float64(len(all))
		batch.Points = append(batch.Points, telemetry.Point{
			Series: telemetry.Series{Name: telemetry.SessionsActive, Unit: "Count"}, Time: now.UnixNano(), Value: active, Count: 1, Min: active, Max: active,
			Parts: []telemetry.Observed{{Value: active, Count: 1}},
		})
	}
	if len(batch.Points) == 0 {
		return nil
	}
	return h.telemetry.Append(ctx, batch)
}

// spent is what a session used in a stretch of time.
type spent struct {
	moorage.Session
	at      time.Time
	elapsed time.Duration
	cpu     time.Duration
	memory  int64 // bytes at the end of it
}

func (u spent) processorHours() float64 { return u.cpu.Hours() }
func (u spent) memoryHours() float64    { return float64(u.memory) / (1 << 30) * u.elapsed.Hours() }

func (u spent) points() (out []telemetry.Point) {
	for name, v := range map[string]float64{telemetry.ProcessorHours: u.processorHours(), telemetry.MemoryHours: u.memoryHours()} {
		out = append(out, telemetry.Point{
			Series: telemetry.Series{Runtime: u.RuntimeID, Endpoint: u.Endpoint, Name: name}, Time: u.at.UnixNano(), Value: v, Count: 1, Min: v, Max: v,
		})
	}
	return out
}

// usageGroup is the log group in which a runtime's usage is. At AWS it is the user's to choose.
func usageGroup(runtimeID string) string { return logs.UsagePrefix + runtimeID }

// usageLog is one record of AgentCore's USAGE_LOGS.
func (h *house) usageLog(u spent) (telemetry.Lines, error) {
	arn := moorage.RuntimeARN(h.Region, h.account, u.RuntimeID).String()
	text, err := json.Marshal(map[string]any{
		"resource_arn": arn, "event_timestamp": u.at.UnixMilli(),
		"resource": map[string]any{"cloud.provider": "aws", "service.name": "AgentCore.Runtime", "cloud.region": h.Region},
		"attributes": map[string]any{
			"account.id": h.account, "time_elapsed_seconds": u.elapsed.Seconds(), "agent.name": runtimeName(u.RuntimeID), "region": h.Region,
			"session.id": u.CallerID, "resource.id": arn + "/runtime-endpoint/" + u.Endpoint,
		},
		"metrics": map[string]any{"agent.runtime.vcpu.hours.used": u.processorHours(), "agent.runtime.memory.gb_hours.used": u.memoryHours()},
	})
	if err != nil {
		return telemetry.Lines{}, err
	}
	doc := plog.NewLogs()
	record := doc.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	record.SetTimestamp(pcommon.NewTimestampFromTime(u.at))
	record.Body().SetStr(string(text))
	record.Attributes().PutStr(archive.LogStreamKey, logs.VendedStream)
	packed, err := h.telemetry.Codec().PackLogs(doc)
	from := telemetry.Source{Group: usageGroup(u.RuntimeID)}
	return telemetry.Lines{Source: from, Doc: packed, Count: 1, First: u.at.UnixNano(), Last: u.at.UnixNano()}, err
}

// runtimeName is the name in a runtime's id: it has no hyphen.
func runtimeName(id string) string {
	name, _, _ := strings.Cut(id, "-")
	return name
}
