package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"

	"github.com/moorage-dev/moorage"
)

func (a *app) statusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show a runtime, or list all of them",
		Long: `Status shows one runtime: its version, endpoints and sessions, what its sessions spent
on models today (UTC) and what they may, and for one that failed the reason, the exit
code and the agent's last words. Where several are deployed and none is named it lists
them all.`,
		Example: `  moorage status
  moorage status --name hello --json`,
		Args: arguments(cobra.NoArgs),
	}
	name := a.nameFlag(cmd)
	all := cmd.Flags().Bool("all", false, "list all runtimes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), *name, *all) }
	return cmd
}

// runtimeStatus is what status reports with --json.
type runtimeStatus struct {
	AgentRuntimeArn     string           `json:"agentRuntimeArn"`
	AgentRuntimeID      string           `json:"agentRuntimeId"`
	AgentRuntimeName    string           `json:"agentRuntimeName"`
	AgentRuntimeVersion string           `json:"agentRuntimeVersion"`
	Status              string           `json:"status"`
	FailureReason       string           `json:"failureReason,omitempty"`
	LastWords           []string         `json:"lastWords,omitempty"`
	CreatedAt           time.Time        `json:"createdAt"`
	LastUpdatedAt       time.Time        `json:"lastUpdatedAt"`
	Endpoints           []endpointStatus `json:"endpoints"`
	LiveSessions        int              `json:"liveSessions"`
	Pools               []poolStatus     `json:"pools,omitempty"`
	SpendingToday       spending         `json:"spendingToday"` // on models, in this day of UTC
	SessionBudget       *spending        `json:"sessionBudget,omitempty"`
}

// endpointStatus is one endpoint with --json.
type endpointStatus struct {
	Name          string `json:"name"`
	Arn           string `json:"agentRuntimeEndpointArn"`
	Status        string `json:"status"`
	LiveVersion   string `json:"liveVersion,omitempty"`
	TargetVersion string `json:"targetVersion,omitempty"`
	Description   string `json:"description,omitempty"`
	FailureReason string `json:"failureReason,omitempty"`
}

func (a *app) status(ctx context.Context, name string, all bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	list, err := c.runtimes(ctx)
	if err != nil {
		return err
	}
	if all || name == "" && configuredName() == "" && len(list) != 1 {
		return a.listRuntimes(list)
	}
	rt, err := c.runtime(ctx, name)
	if err != nil {
		return err
	}
	s, err := c.runtimeStatus(ctx, aws.ToString(rt.AgentRuntimeId))
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(s)
	}
	a.ui.fields(s.fields(a.ui, time.Now()))
	return nil
}

func (a *app) listRuntimes(list []types.AgentRuntime) error {
	if a.json {
		return a.ui.object(map[string]any{"agentRuntimes": runtimeRows(list)})
	}
	if len(list) == 0 {
		a.ui.note("nothing is deployed yet: moorage deploy DIR --entrypoint agent.py")
		return nil
	}
	t := table{head: []string{"NAME", "VERSION", "STATUS", "UPDATED", "DESCRIPTION"}, paint: map[int]func(string) string{2: a.ui.outStyle.state}}
	for _, rt := range list {
		t.add(aws.ToString(rt.AgentRuntimeName), aws.ToString(rt.AgentRuntimeVersion), string(rt.Status), ago(aws.ToTime(rt.LastUpdatedAt), time.Now()), aws.ToString(rt.Description))
	}
	a.ui.table(t)
	return nil
}

// runtimeRows are list items in the API's own words.
func runtimeRows(list []types.AgentRuntime) []map[string]any {
	rows := []map[string]any{}
	for _, rt := range list {
		rows = append(rows, map[string]any{
			"agentRuntimeArn": rt.AgentRuntimeArn, "agentRuntimeId": rt.AgentRuntimeId, "agentRuntimeName": rt.AgentRuntimeName,
			"agentRuntimeVersion": rt.AgentRuntimeVersion, "status": rt.Status, "description": rt.Description, "lastUpdatedAt": rt.LastUpdatedAt,
		})
	}
	return rows
}

// runtimeStatus gathers what is known of a runtime. Its environment is left out: secrets live there.
func (c *client) runtimeStatus(ctx context.Context, id string) (*runtimeStatus, error) {
	rt, err := c.get(ctx, id, "")
	if err != nil {
		return nil, err
	}
	s := &runtimeStatus{
		AgentRuntimeArn: aws.ToString(rt.AgentRuntimeArn), AgentRuntimeID: id, AgentRuntimeName: aws.ToString(rt.AgentRuntimeName),
		AgentRuntimeVersion: aws.ToString(rt.AgentRuntimeVersion), Status: string(rt.Status), FailureReason: aws.ToString(rt.FailureReason),
		CreatedAt: aws.ToTime(rt.CreatedAt), LastUpdatedAt: aws.ToTime(rt.LastUpdatedAt),
	}
	if strings.HasSuffix(s.Status, "FAILED") {
		b, err := c.build(ctx, id, s.AgentRuntimeVersion)
		if err != nil {
			return nil, err
		}
		s.FailureReason, s.LastWords = firstOf(s.FailureReason, b.FailureReason), b.LastWords
	}
	if s.Endpoints, err = c.endpoints(ctx, id); err != nil {
		return nil, err
	}
	live, _, err := c.sessions(ctx, id, false)
	if err != nil {
		return nil, err
	}
	s.LiveSessions = len(live)
	if s.Pools, err = c.pools(ctx, id); err != nil {
		return nil, err
	}
	s.SpendingToday, s.SessionBudget, err = c.budgets(ctx, id)
	return s, err
}

// endpoints lists the endpoints of a runtime.
func (c *client) endpoints(ctx context.Context, id string) ([]endpointStatus, error) {
	out := []endpointStatus{}
	pages := bedrockagentcorecontrol.NewListAgentRuntimeEndpointsPaginator(c.control, &bedrockagentcorecontrol.ListAgentRuntimeEndpointsInput{AgentRuntimeId: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range page.RuntimeEndpoints {
			out = append(out, endpointStatus{
				Name: aws.ToString(e.Name), Arn: aws.ToString(e.AgentRuntimeEndpointArn), Status: string(e.Status),
				LiveVersion: aws.ToString(e.LiveVersion), TargetVersion: aws.ToString(e.TargetVersion), Description: aws.ToString(e.Description),
			})
		}
	}
	return out, nil
}

// liveVersion is the version that DEFAULT sends new sessions to; empty when there is none or when
// the server does not say.
func (c *client) liveVersion(ctx context.Context, id string) string {
	list, err := c.endpoints(ctx, id)
	if err != nil {
		return ""
	}
	for _, e := range list {
		if e.Name == moorage.DefaultEndpoint {
			return e.LiveVersion
		}
	}
	return ""
}

func (s *runtimeStatus) fields(u *ui, now time.Time) []field {
	out := []field{
		{"name", u.outStyle.bold(s.AgentRuntimeName)}, {"status", u.outStyle.state(s.Status)}, {"version", s.AgentRuntimeVersion},
		{"arn", s.AgentRuntimeArn}, {"updated", ago(s.LastUpdatedAt, now)},
	}
	for _, e := range s.Endpoints {
		out = append(out, field{"endpoint", e.line()})
	}
	out = append(out, field{"sessions", fmt.Sprintf("%d live", s.LiveSessions)})
	for _, p := range s.Pools {
		out = append(out, field{"pool", p.line()})
	}
	out = append(out, field{"models today", s.SpendingToday.line()})
	if s.SessionBudget != nil {
		out = append(out, field{"each session", s.SessionBudget.limits()})
	}
	if s.FailureReason != "" {
		out = append(out, field{"failure", u.outStyle.red(s.FailureReason)})
	}
	if words := lastWords(s.FailureReason, s.LastWords); len(words) > 0 {
		out = append(out, field{"last words", strings.Join(words, "\n")})
	}
	return out
}

// line says where an endpoint stands: "DEFAULT: version 2", or on its way to another.
func (e endpointStatus) line() string {
	text := e.Name + ": "
	switch {
	case e.LiveVersion == "":
		text += "no version answers yet"
	default:
		text += "version " + e.LiveVersion
	}
	if e.TargetVersion != "" && e.TargetVersion != e.LiveVersion {
		text += ", moving to " + e.TargetVersion
	}
	if e.Status != "READY" {
		text += " (" + e.Status + ")"
	}
	return text
}
