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

func (a *app) forkCmd() *cobra.Command {
	var count int
	var names []string
	cmd := &cobra.Command{
		Use:   "fork ID",
		Short: "Make branches of a session at this moment",
		Long: `Fork makes further sessions of one: each remembers what it does up to this moment,
memory and files, and goes its own way from there. The session itself goes on.

A session that is in use is waited for, for half a minute at most. Its
connections outward are cut, as in sleep. Branches belong to whoever owns the
session, who calls them by ids of their own: given with --session, or made up.

An agent that does not give its random generators new entropy (see
docs/SECURITY.md) makes branches that share them with it; the answer says so.`,
		Example: `  moorage sessions fork s4x2
  moorage sessions fork s4x2 -n 8
  moorage sessions fork s4x2 --session what-if-00000000000000000000000001`,
		Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeSessions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(names) > 0 && !cmd.Flags().Changed("count") {
				count = len(names)
			}
			return a.forkSession(cmd.Context(), args[0], count, names)
		},
	}
	cmd.Flags().IntVarP(&count, "count", "n", 1, "how many branches")
	cmd.Flags().StringArrayVar(&names, "session", nil, fmt.Sprintf("the id by which a branch is called, %d to %d characters; once for each", minSessionID, maxSessionID))
	return cmd
}

// forked is the server's answer to a fork.
type forked struct {
	Parent   sessionInfo   `json:"parent"`
	Branches []sessionInfo `json:"branches"`
}

func (a *app) forkSession(ctx context.Context, word string, count int, names []string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	parent, err := c.findSession(ctx, word)
	if err != nil {
		return err
	}
	raw, err := a.fork(ctx, c, parent, url.Values{"count": {strconv.Itoa(count)}, "sessionId": names})
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(raw)
	}
	var answer forked
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	a.showFork(answer)
	return nil
}

// fork asks the server for branches, and shows that it takes its time.
func (a *app) fork(ctx context.Context, c *client, parent sessionInfo, query url.Values) (raw json.RawMessage, err error) {
	p := newProgress(a.ui)
	defer p.close()
	p.begin("fork %s of %s", parent.ID, parent.runtimeName())
	err = c.v1(ctx, "POST", "sessions/"+url.PathEscape(parent.ID)+"/fork", query, &raw)
	return raw, err
}

func (a *app) showFork(f forked) {
	t := table{head: []string{"BRANCH", "STARTED", "MEMORY", "SESSION"}}
	for _, b := range f.Branches {
		t.add(b.ID, b.start(), size(b.MemoryBytes), b.SessionID)
	}
	a.ui.table(t)
	if why := f.Branches[0].Shares; why != "" {
		a.ui.note("each branch %s", why)
	}
}

// lineage says where a branch comes from.
func (s sessionInfo) lineage(now time.Time) (out []field) {
	if s.ParentID == "" {
		return nil
	}
	out = []field{{"branch of", fmt.Sprintf("%s, as it was %s (%s)", s.ParentID, s.ForkedAt.Local().Format(time.DateTime), ago(s.ForkedAt, now))}}
	if s.Shares != "" {
		out = append(out, field{"note", "it " + s.Shares})
	}
	return out
}
