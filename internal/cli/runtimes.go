package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"
)

// runtimes lists every runtime of the account, by name.
func (c *client) runtimes(ctx context.Context) ([]types.AgentRuntime, error) {
	var out []types.AgentRuntime
	pages := bedrockagentcorecontrol.NewListAgentRuntimesPaginator(c.control, &bedrockagentcorecontrol.ListAgentRuntimesInput{MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, page.AgentRuntimes...)
	}
	slices.SortFunc(out, func(a, b types.AgentRuntime) int {
		return strings.Compare(aws.ToString(a.AgentRuntimeName), aws.ToString(b.AgentRuntimeName))
	})
	return out, nil
}

// errSeveral means that no name was given where more than one runtime could be meant.
var errSeveral = errors.New("several runtimes")

// runtime finds the runtime that a command means: by name, id or ARN; without a word the one that
// the current directory's moorage.yaml names, else the only one there is, else the one named like
// the directory.
func (c *client) runtime(ctx context.Context, word string) (types.AgentRuntime, error) {
	all, err := c.runtimes(ctx)
	if err != nil {
		return types.AgentRuntime{}, err
	}
	if word == "" {
		word = configuredName()
	}
	if word == "" && len(all) == 1 {
		return all[0], nil
	}
	if rt, ok := pick(all, firstOf(word, directoryName())); ok {
		return rt, nil
	}
	switch {
	case word != "":
		return types.AgentRuntime{}, unknownRuntime(word, all)
	case len(all) == 0:
		return types.AgentRuntime{}, advise(errors.New("nothing is deployed yet"), "deploy an agent: moorage deploy DIR --entrypoint agent.py")
	}
	return types.AgentRuntime{}, usageError{advise(fmt.Errorf("%w are deployed, and this directory is none of theirs", errSeveral),
		"say which: --name %s", strings.Join(names(all), " | "))}
}

func pick(all []types.AgentRuntime, word string) (types.AgentRuntime, bool) {
	for _, rt := range all {
		if word == aws.ToString(rt.AgentRuntimeName) || word == aws.ToString(rt.AgentRuntimeId) || word == aws.ToString(rt.AgentRuntimeArn) {
			return rt, true
		}
	}
	return types.AgentRuntime{}, false
}

func names(all []types.AgentRuntime) []string {
	var out []string
	for _, rt := range all {
		out = append(out, aws.ToString(rt.AgentRuntimeName))
	}
	return out
}

func unknownRuntime(word string, all []types.AgentRuntime) error {
	err := fmt.Errorf("there is no runtime %q", word)
	if len(all) == 0 {
		return advise(err, "nothing is deployed yet: moorage deploy DIR --name %s --entrypoint agent.py", shellWord(word))
	}
	return advise(err, "deployed are: %s", strings.Join(names(all), ", "))
}

// configuredName is the name that the current directory's files give, or none.
func configuredName() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	p, err := loadProject(dir)
	if err != nil {
		return ""
	}
	return p.Name
}

func directoryName() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	return nameFrom(filepath.Clean(dir))
}

// get is the whole description of a runtime's version; an empty version is the latest.
func (c *client) get(ctx context.Context, id, version string) (*bedrockagentcorecontrol.GetAgentRuntimeOutput, error) {
	return c.control.GetAgentRuntime(ctx, &bedrockagentcorecontrol.GetAgentRuntimeInput{AgentRuntimeId: &id, AgentRuntimeVersion: optional(version)})
}

// build is how the making of a version went.
type build struct {
	Status string `json:"status"`
	Steps  []struct {
		Name   string  `json:"name"`
		TookMs float64 `json:"tookMs"`
	} `json:"steps"`
	FailureReason string   `json:"failureReason,omitempty"`
	LastWords     []string `json:"lastWords,omitempty"`
}

func (c *client) build(ctx context.Context, id, version string) (b build, err error) {
	err = c.v1(ctx, "GET", "runtimes/"+url.PathEscape(id)+"/versions/"+url.PathEscape(version)+"/build", nil, &b)
	return b, err
}

// inProgress reports whether the server still works on a runtime.
func inProgress(status string) bool {
	return slices.Contains([]string{"CREATING", "UPDATING", "DELETING"}, status)
}

const pollEvery = 150 * time.Millisecond

// sleep waits for d or until ctx ends, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// nameFlag adds --name with completion, and returns where its value will be.
func (a *app) nameFlag(cmd *cobra.Command) *string {
	name := cmd.Flags().StringP("name", "n", "", "name, id or ARN of the runtime (default: moorage.yaml's, or the only one)")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeNames) // fails only for a flag that is not there
	return name
}

func (a *app) completeNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	all, err := c.runtimes(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, rt := range all {
		out = append(out, cobra.CompletionWithDesc(aws.ToString(rt.AgentRuntimeName), fmt.Sprintf("%s, version %s", rt.Status, aws.ToString(rt.AgentRuntimeVersion))))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
