package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// traceQuery says which traces are listed.
type traceQuery struct {
	name, session, since string
	failed               bool
	limit                int
}

// traceSummary is a trace in a list.
type traceSummary struct {
	TraceID      string    `json:"traceId"`
	SessionID    string    `json:"sessionId"`
	Runtime      string    `json:"runtime"`
	Name         string    `json:"name"`
	Start        time.Time `json:"start"`
	DurationMs   float64   `json:"durationMs"`
	Spans        int       `json:"spans"`
	Hidden       int       `json:"hidden"`
	Errors       int       `json:"errors"`
	Error        string    `json:"error"`
	ModelCalls   int       `json:"modelCalls"`
	ToolCalls    int       `json:"toolCalls"`
	InputTokens  int64     `json:"inputTokens"`
	OutputTokens int64     `json:"outputTokens"`
	CostUSD      float64   `json:"costUsd"`
}

func (a *app) tracesCmd() *cobra.Command {
	var q traceQuery
	cmd := &cobra.Command{
		Use:   "traces",
		Short: "List what agents did, call by call",
		Long: `Traces lists the traces of all agents, or of one, the newest first: how long each took,
what it cost, and why it failed if it did. A trace is there within a second of the
call, and grows while the agent works.`,
		Example: `  moorage traces --name hello --since 15m
  moorage traces --failed
  moorage trace 69203c2a5f6b8f1d2c3e4a5b6c7d8e9f`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.traces(cmd.Context(), q) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&q.name, "name", "n", "", "name, id or ARN of a runtime (default: all)")
	flags.StringVarP(&q.session, "session", "s", "", "only this session, live or ended")
	flags.StringVar(&q.since, "since", "", "only those since then: 15m, 24h, or a time such as 2026-11-22T06:10:00Z")
	flags.BoolVar(&q.failed, "failed", false, "only those with a failure in them")
	flags.IntVar(&q.limit, "limit", 20, "so many at most")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeNames) // these fail only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("session", a.completeSessions)
	return cmd
}

func (a *app) traces(ctx context.Context, q traceQuery) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	query, err := c.tracesQuery(ctx, q)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.v1(ctx, "GET", "traces", query, &raw); err != nil {
		return err
	}
	if a.json {
		return a.ui.object(raw)
	}
	var page struct{ Traces []traceSummary }
	if err := json.Unmarshal(raw, &page); err != nil {
		return fmt.Errorf("read the server's traces: %w", err)
	}
	if len(page.Traces) == 0 {
		a.ui.note("no traces; invoke an agent, and its trace is here within a second")
		return nil
	}
	a.ui.traceTable(page.Traces, time.Now())
	return nil
}

func (c *client) tracesQuery(ctx context.Context, q traceQuery) (url.Values, error) {
	query := url.Values{"limit": {strconv.Itoa(q.limit)}}
	if err := c.withRuntime(ctx, query, q.name); err != nil {
		return nil, err
	}
	if q.session != "" {
		s, err := c.findSession(ctx, q.session)
		if err != nil {
			return nil, err
		}
		query.Set("session", s.ID)
	}
	if q.since != "" {
		query.Set("since", q.since)
	}
	if q.failed {
		query.Set("failed", "true")
	}
	return query, nil
}

func (u *ui) traceTable(traces []traceSummary, now time.Time) {
	t := table{head: []string{"STARTED", "TRACE", "NAME", "TOOK", "SPANS", "MODEL", "TOOLS", "TOKENS", "COST", "ERROR"}}
	t.paint = map[int]func(string) string{9: u.outStyle.red}
	for _, s := range traces {
		t.add(ago(s.Start, now), s.TraceID, clip(oneLine(s.Name), 32), seconds(milliseconds(s.DurationMs)), strconv.Itoa(s.Spans), strconv.Itoa(s.ModelCalls),
			strconv.Itoa(s.ToolCalls), strconv.FormatInt(s.InputTokens+s.OutputTokens, 10), cost(s.CostUSD), clip(oneLine(s.Error), 60))
	}
	u.table(t)
}

// cost writes dollars with as many digits as say something.
func cost(usd float64) string {
	switch {
	case usd == 0:
		return "-"
	case usd < 0.01:
		return fmt.Sprintf("$%.5f", usd)
	}
	return fmt.Sprintf("$%.2f", usd)
}
