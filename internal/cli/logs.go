package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"
)

// logQuery says which lines logs shows.
type logQuery struct {
	name, session, version string
	tail                   int
	follow                 bool
}

// logLine is one line that an agent printed.
type logLine struct {
	Time    time.Time `json:"time"`
	Stream  string    `json:"stream"` // stdout or stderr
	Message string    `json:"message"`
	Session string    `json:"session"` // internal id
	Version string    `json:"version"`
}

func (a *app) logsCmd() *cobra.Command {
	var q logQuery
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show what an agent printed",
		Long: `Logs shows what the sandboxes of a runtime printed to stdout and stderr, those of
sessions that ended included. With --json every line is an object of its own. What an
agent printed before it failed to start is in ` + "`moorage status`" + `.`,
		Example: `  moorage logs --name hello --tail 20
  moorage logs --follow
  moorage logs --session s4x2 --json`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.logs(cmd.Context(), q) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&q.name, "name", "n", "", "name, id or ARN of the runtime (default: moorage.yaml's, or the only one)")
	flags.StringVarP(&q.session, "session", "s", "", "only this session, live or ended")
	flags.StringVar(&q.version, "version", "", "only this version")
	flags.IntVar(&q.tail, "tail", 100, "begin with so many lines from the end")
	flags.BoolVarP(&q.follow, "follow", "f", false, "go on with new lines as they come")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeNames) // these fail only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("session", a.completeSessions)
	return cmd
}

func (a *app) logs(ctx context.Context, q logQuery) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	path, err := c.logPath(ctx, q)
	if err != nil {
		return err
	}
	query := url.Values{"tail": {strconv.Itoa(q.tail)}}
	if q.follow {
		query.Set("follow", "true")
	}
	body, err := c.v1Stream(ctx, "GET", path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	err = a.ui.logLines(body, q.version, a.json)
	if q.follow && ctx.Err() != nil { // following ends when its reader has had enough
		return nil
	}
	return err
}

func (c *client) logPath(ctx context.Context, q logQuery) (string, error) {
	if q.session != "" {
		s, err := c.findSession(ctx, q.session)
		return "sessions/" + url.PathEscape(s.ID) + "/logs", err
	}
	rt, err := c.runtime(ctx, q.name)
	return "runtimes/" + url.PathEscape(aws.ToString(rt.AgentRuntimeId)) + "/logs", err
}

// logLines prints lines of NDJSON as they come, for people or as they are; those of one version, or
// all where that is empty.
func (u *ui) logLines(body io.Reader, version string, raw bool) error {
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			if err := u.logLine(line, version, raw); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (u *ui) logLine(line []byte, version string, raw bool) error {
	var l logLine
	if err := json.Unmarshal(line, &l); err != nil {
		return fmt.Errorf("read the server's log: %w", err)
	}
	if version != "" && l.Version != version {
		return nil
	}
	if raw {
		_, err := u.out.Write(line)
		return err
	}
	text := strings.TrimRight(l.Message, "\n")
	if l.Stream == "stderr" {
		text = u.outStyle.paint("33", text)
	}
	u.printf("%s %s\n", u.outStyle.dim(l.Time.Local().Format("15:04:05.000")+" "+l.Session[:min(len(l.Session), 8)]), text)
	return nil
}
