package cli

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"
)

func (a *app) versionsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "versions",
		Short: "List the versions of a runtime",
		Long: `Every deploy that changes something makes a version that never changes again.
Endpoints point at versions: see ` + "`moorage endpoints`" + `.`,
		Example: `  moorage versions --name hello`,
		Args:    arguments(cobra.NoArgs),
	}
	name := a.nameFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.versions(cmd.Context(), *name) }
	return cmd
}

func (a *app) versions(ctx context.Context, name string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	rt, err := c.runtime(ctx, name)
	if err != nil {
		return err
	}
	var list []types.AgentRuntime
	pages := bedrockagentcorecontrol.NewListAgentRuntimeVersionsPaginator(c.control, &bedrockagentcorecontrol.ListAgentRuntimeVersionsInput{AgentRuntimeId: rt.AgentRuntimeId})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		list = append(list, page.AgentRuntimes...)
	}
	if a.json {
		return a.ui.object(map[string]any{"agentRuntimes": runtimeRows(list)})
	}
	t := table{head: []string{"VERSION", "STATUS", "UPDATED", "DESCRIPTION"}, paint: map[int]func(string) string{1: a.ui.outStyle.state}}
	for _, v := range list {
		t.add(aws.ToString(v.AgentRuntimeVersion), string(v.Status), ago(aws.ToTime(v.LastUpdatedAt), time.Now()), aws.ToString(v.Description))
	}
	a.ui.table(t)
	return nil
}

func (a *app) endpointsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "endpoints",
		Aliases: []string{"endpoint"},
		Short:   "List, create, move and delete endpoints",
		Long: `An endpoint is a name that calls go to and that points at one version. DEFAULT
follows the newest; the others stay where they are until they are moved.`,
		Example: `  moorage endpoints
  moorage endpoints create prod --version 3
  moorage endpoints update prod --version 4 --name hello
  moorage invoke --qualifier prod "Hello"`,
		Args: knownCommand,
	}
	name := a.nameFlag(cmd)
	list := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List endpoints", Args: arguments(cobra.NoArgs)}
	listName := a.nameFlag(list)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.listEndpoints(cmd.Context(), *name) }
	list.RunE = func(cmd *cobra.Command, _ []string) error { return a.listEndpoints(cmd.Context(), *listName) }
	cmd.AddCommand(list,
		a.endpointChange("create ENDPOINT", "Create an endpoint, at the newest version unless --version says another", (*client).createEndpoint),
		a.endpointChange("update ENDPOINT", "Move an endpoint to another version", (*client).updateEndpoint),
		a.endpointDelete())
	return cmd
}

func (a *app) listEndpoints(ctx context.Context, name string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	rt, err := c.runtime(ctx, name)
	if err != nil {
		return err
	}
	list, err := c.endpoints(ctx, aws.ToString(rt.AgentRuntimeId))
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(map[string]any{"runtimeEndpoints": list})
	}
	t := table{head: []string{"ENDPOINT", "STATUS", "VERSION", "TARGET", "DESCRIPTION"}, paint: map[int]func(string) string{1: a.ui.outStyle.state}}
	for _, e := range list {
		t.add(e.Name, e.Status, firstOf(e.LiveVersion, "-"), firstOf(e.TargetVersion, "-"), e.Description)
	}
	a.ui.table(t)
	return nil
}

// endpointChange is create or update: both name a version and a description.
func (a *app) endpointChange(use, short string, change func(c *client, ctx context.Context, id, endpoint, version, description string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: arguments(cobra.ExactArgs(1))}
	name := a.nameFlag(cmd)
	version := cmd.Flags().String("version", "", "version that it points at")
	description := cmd.Flags().String("description", "", "what the endpoint is for")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		rt, err := c.runtime(cmd.Context(), *name)
		if err != nil {
			return err
		}
		id := aws.ToString(rt.AgentRuntimeId)
		if err := change(c, cmd.Context(), id, args[0], *version, *description); err != nil {
			return err
		}
		e, err := c.settledEndpoint(cmd.Context(), id, args[0])
		if err != nil {
			return err
		}
		if a.json {
			return a.ui.object(e)
		}
		a.ui.printf("%s\n%s\n", e.line(), e.Arn)
		return nil
	}
	return cmd
}

func (c *client) createEndpoint(ctx context.Context, id, endpoint, version, description string) error {
	_, err := c.control.CreateAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.CreateAgentRuntimeEndpointInput{
		AgentRuntimeId: &id, Name: &endpoint, AgentRuntimeVersion: optional(version), Description: optional(description),
	})
	return err
}

func (c *client) updateEndpoint(ctx context.Context, id, endpoint, version, description string) error {
	_, err := c.control.UpdateAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.UpdateAgentRuntimeEndpointInput{
		AgentRuntimeId: &id, EndpointName: &endpoint, AgentRuntimeVersion: optional(version), Description: optional(description),
	})
	return err
}

// settledEndpoint waits until an endpoint points where it was told to.
func (c *client) settledEndpoint(ctx context.Context, id, endpoint string) (endpointStatus, error) {
	for {
		out, err := c.control.GetAgentRuntimeEndpoint(ctx, &bedrockagentcorecontrol.GetAgentRuntimeEndpointInput{AgentRuntimeId: &id, EndpointName: &endpoint})
		if err != nil {
			return endpointStatus{}, err
		}
		if !inProgress(string(out.Status)) {
			return endpointStatus{
				Name: aws.ToString(out.Name), Arn: aws.ToString(out.AgentRuntimeEndpointArn), Status: string(out.Status),
				LiveVersion: aws.ToString(out.LiveVersion), TargetVersion: aws.ToString(out.TargetVersion),
				Description: aws.ToString(out.Description), FailureReason: aws.ToString(out.FailureReason),
			}, nil
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return endpointStatus{}, err
		}
	}
}

func (a *app) endpointDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "delete ENDPOINT", Aliases: []string{"rm"}, Short: "Delete an endpoint and end its sessions", Args: arguments(cobra.ExactArgs(1))}
	name := a.nameFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		rt, err := c.runtime(cmd.Context(), *name)
		if err != nil {
			return err
		}
		in := &bedrockagentcorecontrol.DeleteAgentRuntimeEndpointInput{AgentRuntimeId: rt.AgentRuntimeId, EndpointName: &args[0]}
		if _, err := c.control.DeleteAgentRuntimeEndpoint(cmd.Context(), in); err != nil {
			return err
		}
		if _, err := c.settledEndpoint(cmd.Context(), aws.ToString(rt.AgentRuntimeId), args[0]); !isNotFound(err) && err != nil {
			return err
		}
		if a.json {
			return a.ui.object(map[string]string{"deleted": args[0]})
		}
		a.ui.printf("deleted endpoint %s of %s\n", args[0], aws.ToString(rt.AgentRuntimeName))
		return nil
	}
	return cmd
}
