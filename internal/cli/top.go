package cli

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// tracedSession is what a session's traces add up to.
type tracedSession struct {
	SessionID    string  `json:"sessionId"`
	Traces       int     `json:"traces"`
	Errors       int     `json:"errors"`
	InputTokens  int64   `json:"inputTokens"`
	OutputTokens int64   `json:"outputTokens"`
	CostUSD      float64 `json:"costUsd"`
	P95Ms        float64 `json:"p95Ms"`
}

// usedSession is a live session, what it uses and what it did.
type usedSession struct {
	sessionInfo
	CPUPercent float64       `json:"cpuPercent"` // of one core, since the picture before
	Did        tracedSession `json:"did"`
}

func (a *app) topCmd() *cobra.Command {
	var once bool
	every := 2 * time.Second
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch live sessions: processor, memory, tokens, cost",
		Long: `Top shows the live sessions, the busiest first, with what they use of the machine and what
their calls add up to. It draws anew until it is interrupted.`,
		Example: `  moorage top
  moorage top --once --json`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 200*time.Millisecond {
				return usagef("--every is at least 200ms")
			}
			return a.top(cmd.Context(), every, once || !a.ui.outTTY)
		},
	}
	cmd.Flags().DurationVar(&every, "every", every, "draw so often")
	cmd.Flags().BoolVar(&once, "once", false, "draw once and end, as it does when stdout is no terminal")
	return cmd
}

func (a *app) top(ctx context.Context, every time.Duration, once bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	before := picture{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		list, err := c.used(ctx, &before)
		if err != nil {
			return err
		}
		if !once || !first { // the first picture has nothing to compare with
			if done, err := a.drawTop(list, once); done || err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil // watching ends when its reader has had enough
		case <-tick.C:
		}
	}
}

func (a *app) drawTop(list []usedSession, once bool) (done bool, err error) {
	if a.json {
		return once, a.ui.object(map[string]any{"sessions": list})
	}
	if !once {
		a.ui.printf("\x1b[H\x1b[2J")
	}
	a.ui.topTable(list, time.Now())
	return once, nil
}

// picture is how much processor time each session had used at a moment.
type picture struct {
	at  time.Time
	cpu map[string]float64 // ms, by session
}

// used lists the live sessions, the busiest first.
func (c *client) used(ctx context.Context, before *picture) ([]usedSession, error) {
	live, _, err := c.sessions(ctx, "", false)
	if err != nil {
		return nil, err
	}
	var page struct{ Sessions []tracedSession }
	if err := c.v1(ctx, "GET", "telemetry/sessions", url.Values{"limit": {"1000"}}, &page); err != nil {
		return nil, err
	}
	did := map[string]tracedSession{}
	for _, s := range page.Sessions {
		did[s.SessionID] = s
	}
	now := picture{time.Now(), map[string]float64{}}
	out := []usedSession{}
	for _, s := range live {
		now.cpu[s.ID] = s.CPUMs
		u := usedSession{sessionInfo: s, Did: did[s.ID]}
		if past := now.at.Sub(before.at); before.cpu != nil && past > 0 {
			u.CPUPercent = max(0, (s.CPUMs-before.cpu[s.ID])/float64(past.Milliseconds())*100)
		}
		out = append(out, u)
	}
	*before = now
	slices.SortFunc(out, func(a, b usedSession) int {
		return cmp.Or(cmp.Compare(b.CPUPercent, a.CPUPercent), cmp.Compare(b.MemoryBytes, a.MemoryBytes), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

func (u *ui) topTable(list []usedSession, now time.Time) {
	memory, percent, usd := int64(0), 0.0, 0.0
	t := table{head: []string{"SESSION", "RUNTIME", "STATE", "CPU", "MEMORY", "CALLS", "FAILED", "P95", "TOKENS", "COST", "ACTIVE"}}
	t.paint = map[int]func(string) string{2: u.outStyle.state}
	for _, s := range list {
		memory, percent, usd = memory+s.MemoryBytes, percent+s.CPUPercent, usd+s.Did.CostUSD
		t.add(s.ID, s.runtimeName(), s.State, figures(s.CPUPercent)+"%", size(s.MemoryBytes), strconv.Itoa(s.Did.Traces), strconv.Itoa(s.Did.Errors),
			span(s.Did.P95Ms), strconv.FormatInt(s.Did.InputTokens+s.Did.OutputTokens, 10), cost(s.Did.CostUSD), ago(s.LastActiveAt, now))
	}
	u.printf("%d sessions · %s%% of a core · %s · %s\n\n", len(list), figures(percent), size(memory), cost(usd))
	u.table(t)
}
