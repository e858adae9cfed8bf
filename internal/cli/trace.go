package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// wholeTrace is a trace as the server shows it.
type wholeTrace struct {
	traceSummary
	Spans []traceSpan `json:"spans"` // parents before their children
	Logs  []traceLog  `json:"logs"`
}

type traceSpan struct {
	SpanID     string         `json:"spanId"`
	Depth      int            `json:"depth"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Noise      bool           `json:"noise"`
	OffsetMs   float64        `json:"offsetMs"`
	DurationMs float64        `json:"durationMs"`
	Error      string         `json:"error"`
	Model      *traceModel    `json:"model"`
	Input      []traceMessage `json:"input"`
	Output     []traceMessage `json:"output"`
	Tool       *traceTool     `json:"tool"`
}

type traceModel struct {
	Name         string  `json:"name"`
	InputTokens  int64   `json:"inputTokens"`
	OutputTokens int64   `json:"outputTokens"`
	CostUSD      float64 `json:"costUsd"`
	Counted      bool    `json:"counted"`
}

type traceTool struct {
	Arguments json.RawMessage `json:"arguments"`
	Result    json.RawMessage `json:"result"`
}

type traceMessage struct {
	Role  string `json:"role"`
	Parts []struct {
		Type, Text, Name string
		Value            json.RawMessage
	} `json:"parts"`
}

type traceLog struct {
	Time    time.Time `json:"time"`
	Stream  string    `json:"stream"`
	Message string    `json:"message"`
}

// traceView says how much of a trace is shown.
type traceView struct {
	all, content bool
	export       string
}

func (a *app) traceCmd() *cobra.Command {
	var v traceView
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Show one call, step by step",
		Long: `Trace draws a trace as a waterfall: every step at its time, below the step that caused it.
Plumbing, such as the single messages of a web server, is folded and counted. Solid is
a step; its colour says what kind it is.`,
		Example: `  moorage trace 69203c2a5f6b8f1d2c3e4a5b6c7d8e9f
  moorage trace 69203c2a5f6b8f1d2c3e4a5b6c7d8e9f --content
  moorage trace 69203c2a5f6b8f1d2c3e4a5b6c7d8e9f --export perfetto >call.json   # open it at ui.perfetto.dev`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.trace(cmd.Context(), args[0], v) },
	}
	cmd.Flags().BoolVar(&v.all, "all", false, "show the plumbing too")
	cmd.Flags().StringVar(&v.export, "export", "", "print it in a format of other tools: otlp or perfetto")
	cmd.Flags().BoolVar(&v.content, "content", false, "show messages, tool arguments and results, and log lines")
	return cmd
}

func (a *app) trace(ctx context.Context, id string, v traceView) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	query := ""
	if v.export != "" {
		query = "?format=" + url.QueryEscape(v.export)
	}
	if err := c.v1(ctx, "GET", "traces/"+url.PathEscape(id)+query, nil, &raw); err != nil {
		return err
	}
	if a.json || v.export != "" {
		return a.ui.object(raw)
	}
	var t wholeTrace
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("read the server's trace: %w", err)
	}
	a.ui.waterfall(t, v, columns())
	return nil
}

// columns is how wide the terminal is, as far as the environment says.
func columns() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n >= 60 {
		return min(n, 200)
	}
	return 100
}

// tailWidth is how many columns of a waterfall come after the bars.
const tailWidth = 26

// waterfall draws a trace.
func (u *ui) waterfall(t wholeTrace, v traceView, width int) {
	u.traceHead(t)
	names := min(48, (width-tailWidth)/2)
	scale := waterScale{total: max(t.DurationMs, lastMs(t.Spans), 0.001), width: width - tailWidth - names - 2}
	folded := 0
	for _, s := range t.Spans {
		if s.Noise && !v.all {
			folded++
			continue
		}
		u.waterRow(s, names, scale)
		if v.content {
			u.spanContent(s)
		}
	}
	if folded > 0 {
		u.printf("%s\n", u.outStyle.dim(fmt.Sprintf("+ %d spans of plumbing; --all shows them", folded)))
	}
	for _, l := range t.Logs {
		if v.content {
			u.printf("%s %s\n", u.outStyle.dim(l.Time.Local().Format("15:04:05.000")+" "+l.Stream), printable(l.Message))
		}
	}
}

func (u *ui) traceHead(t wholeTrace) {
	facts := []string{fmt.Sprintf("%d spans", len(t.Spans)), span(t.DurationMs)}
	if n := t.InputTokens + t.OutputTokens; n > 0 {
		facts = append(facts, fmt.Sprintf("%d tokens", n))
	}
	if t.CostUSD > 0 {
		facts = append(facts, cost(t.CostUSD))
	}
	u.printf("%s  %s\n", u.outStyle.bold(printable(t.Name)), strings.Join(facts, " · "))
	u.printf("%s\n", u.outStyle.dim(fmt.Sprintf("trace %s  session %s  %s", t.TraceID, printable(t.SessionID), t.Start.Local().Format(time.DateTime))))
	if t.Error != "" {
		u.printf("%s\n", u.outStyle.red(printable(t.Error)))
	}
}

func lastMs(spans []traceSpan) (last float64) {
	for _, s := range spans {
		last = max(last, s.OffsetMs+s.DurationMs)
	}
	return last
}

// waterScale maps time to columns.
type waterScale struct {
	total float64 // ms
	width int
}

// bar is a span's place in time: at least one column of it is solid.
func (w waterScale) bar(from, length float64) (before, solid int) {
	before = min(int(from/w.total*float64(w.width)), w.width-1)
	solid = max(1, int(length/w.total*float64(w.width)+0.5))
	return max(before, 0), min(solid, w.width-max(before, 0))
}

// kindColours are those of the console, as near as terminals come.
var kindColours = map[string]string{"agent": "34", "model": "35", "tool": "33", "retrieval": "36", "memory": "36", "service": "1"}

func (u *ui) waterRow(s traceSpan, names int, scale waterScale) {
	indent := strings.Repeat("  ", min(s.Depth, 12))
	name := clip(indent+oneLine(s.Name), names)
	before, solid := scale.bar(s.OffsetMs, s.DurationMs)
	bar := strings.Repeat(" ", before) + u.outStyle.paint(kindColours[s.Kind], strings.Repeat("█", solid)) + strings.Repeat(" ", scale.width-before-solid)
	tail := span(s.DurationMs)
	if s.Model != nil && s.Model.Counted {
		tail += fmt.Sprintf("  %d tok", s.Model.InputTokens+s.Model.OutputTokens)
	}
	if s.Error != "" {
		tail += "  " + u.outStyle.red("failed")
	}
	u.printf("%s %s %s\n", name+strings.Repeat(" ", names-utf8.RuneCountInString(name)), bar, tail)
}

func (u *ui) spanContent(s traceSpan) {
	indent := strings.Repeat("  ", min(s.Depth, 12)+1)
	line := func(label, text string) {
		if text != "" && text != "null" {
			u.printf("%s%s %s\n", indent, u.outStyle.dim(label), strings.ReplaceAll(printable(text), "\n", "\n"+indent+"  "))
		}
	}
	if s.Tool != nil {
		line("arguments", string(s.Tool.Arguments))
		line("result", string(s.Tool.Result))
	} else {
		for _, m := range append(s.Input, s.Output...) {
			for _, p := range m.Parts {
				line(m.Role, strings.TrimSpace(strings.Join([]string{p.Text, p.Name, string(p.Value)}, " ")))
			}
		}
	}
	line("error", s.Error)
}

// span writes a duration in three figures: 41 ms, 2.28 s.
func span(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.3g ms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.3g s", ms/1000)
	}
	return seconds(milliseconds(ms))
}

// printable leaves line ends and tabs of what an agent wrote, and takes out what could command a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return -1
		}
		return r
	}, s)
}

// oneLine is printable text without line ends.
func oneLine(s string) string { return strings.Join(strings.Fields(printable(s)), " ") }

// clip shortens text to n characters.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
