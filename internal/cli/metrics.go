package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
)

// metricAnswer is a metric over time.
type metricAnswer struct {
	Name   string `json:"name"`
	Series []struct {
		Labels map[string]string `json:"labels"`
		Points []metricPoint     `json:"points"`
	} `json:"series"`
}

type metricPoint struct {
	Time   time.Time `json:"time"`
	Count  int64     `json:"count"`
	Errors int64     `json:"errors"`
	Sum    float64   `json:"sum"`
	Mean   float64   `json:"mean"`
	P50    float64   `json:"p50"`
	P95    float64   `json:"p95"`
	P99    float64   `json:"p99"`
}

// metricQuery says which metric is shown.
type metricQuery struct {
	metric, name, since, step string
	by                        []string
}

func (a *app) metricsCmd() *cobra.Command {
	var q metricQuery
	cmd := &cobra.Command{
		Use:   "metrics [METRIC]",
		Short: "Show calls, latency, tokens and cost over time",
		Long: `Metrics shows a metric over time, or lists those that there are. What the platform draws
from calls and spans has names that begin with moorage; the others are what agents
measure themselves. Durations are milliseconds.`,
		Example: `  moorage metrics
  moorage metrics moorage.calls --since 24h --step 1h
  moorage metrics moorage.tokens.input --by model
  moorage metrics moorage.spans --by kind,name --name hello`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.metricNames(cmd.Context(), q.name)
			}
			q.metric = args[0]
			return a.metric(cmd.Context(), q)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&q.name, "name", "n", "", "name, id or ARN of a runtime (default: all)")
	flags.StringVar(&q.since, "since", "1h", "from then on: 15m, 24h, or a time such as 2026-11-22T06:10:00Z")
	flags.StringVar(&q.step, "step", "", "one line for so long: 1m, 1h (default: about 120 lines)")
	flags.StringSliceVar(&q.by, "by", nil, "split by runtime, endpoint or labels of the metric")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeNames) // this fails only for a flag that is not there
	return cmd
}

func (a *app) metricNames(ctx context.Context, name string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	query := url.Values{}
	if err := c.withRuntime(ctx, query, name); err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.v1(ctx, "GET", "metrics/names", query, &raw); err != nil {
		return err
	}
	if a.json {
		return a.ui.object(raw)
	}
	var answer struct {
		Metrics []struct {
			Name, Unit string
			Labels     []string
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("read the server's metrics: %w", err)
	}
	if len(answer.Metrics) == 0 {
		a.ui.note("no metrics yet; invoke an agent")
		return nil
	}
	t := table{head: []string{"METRIC", "UNIT", "SPLIT BY"}}
	for _, m := range answer.Metrics {
		t.add(oneLine(m.Name), oneLine(m.Unit), oneLine(strings.Join(append([]string{"runtime", "endpoint"}, m.Labels...), ", ")))
	}
	a.ui.table(t)
	return nil
}

// withRuntime narrows a query to a runtime, unless name is empty.
func (c *client) withRuntime(ctx context.Context, query url.Values, name string) error {
	if name == "" {
		return nil
	}
	rt, err := c.runtime(ctx, name)
	query.Set("runtime", aws.ToString(rt.AgentRuntimeId))
	return err
}

func (a *app) metric(ctx context.Context, q metricQuery) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	query := url.Values{"name": {q.metric}, "since": {q.since}, "by": {strings.Join(q.by, ",")}}
	if q.step != "" {
		query.Set("step", q.step)
	}
	if err := c.withRuntime(ctx, query, q.name); err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.v1(ctx, "GET", "metrics", query, &raw); err != nil {
		return err
	}
	if a.json {
		return a.ui.object(raw)
	}
	var answer metricAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("read the server's metric: %w", err)
	}
	a.ui.metric(answer, q.by)
	return nil
}

func (u *ui) metric(m metricAnswer, by []string) {
	t := table{head: []string{"TIME"}}
	for _, name := range by {
		t.head = append(t.head, strings.ToUpper(oneLine(name)))
	}
	t.head = append(t.head, "COUNT", "FAILED", "SUM", "MEAN", "P50", "P95", "P99")
	for _, s := range m.Series {
		for _, p := range s.Points {
			row := []string{p.Time.Local().Format("01-02 15:04")}
			for _, name := range by {
				row = append(row, clip(oneLine(s.Labels[name]), 40))
			}
			row = append(row, strconv.FormatInt(p.Count, 10), strconv.FormatInt(p.Errors, 10))
			for _, v := range []float64{p.Sum, p.Mean, p.P50, p.P95, p.P99} {
				row = append(row, figures(v))
			}
			t.add(row...)
		}
	}
	if len(t.rows) == 0 {
		u.note("nothing was measured in this time")
		return
	}
	u.table(t)
}

// figures writes a number in three figures, or whole where it is larger.
func figures(v float64) string {
	if v >= 1000 || v <= -1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return fmt.Sprintf("%.3g", v)
}
