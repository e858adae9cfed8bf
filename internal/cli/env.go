package cli

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// cannotMove says which clients pay no attention to these variables.
const cannotMove = `# Moved by these lines: the AWS SDKs (boto3, Go, JavaScript, …), the AWS CLI, the AgentCore
# Python SDK and the starter toolkit (agentcore).
# Not moved, because they name AWS's hosts themselves: invoke and exec of the npm CLI
# @aws/agentcore; the AWS CLI before 2.13 (add --endpoint-url "$AWS_ENDPOINT_URL"); WebSocket, shell, payments and configuration-bundle calls of the AgentCore Python SDK.
`

// variable is a line of moorage env.
type variable struct{ name, value string }

// variables point every client that can be pointed at the server. Both families are always set
// together: with only the BEDROCK_AGENTCORE_* ones, some calls of the toolkit go to AWS.
func (addr address) variables(dir string) []variable {
	e := addr.Endpoint
	return []variable{
		{"AWS_ENDPOINT_URL", e},
		{"AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", e},
		{"AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL", e},
		{"BEDROCK_AGENTCORE_CP_ENDPOINT", e},
		{"BEDROCK_AGENTCORE_DP_ENDPOINT", e},
		{"BEDROCK_AGENTCORE_DATA_PLANE_ENDPOINT", e},
		{"AWS_ACCESS_KEY_ID", addr.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", addr.SecretAccessKey},
		{"AWS_REGION", addr.Region},
		{"AWS_DEFAULT_REGION", addr.Region},
		{"AWS_ACCOUNT_ID", addr.Account},
		{"MOORAGE_DIR", dir},
	}
}

// inTheWay are variables that would undo ours: another session's token or profile, and the
// endpoints of single services that this shell has set.
func inTheWay(ours []variable, environ []string) []string {
	out := []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		set := slices.ContainsFunc(ours, func(v variable) bool { return v.name == name })
		if strings.HasPrefix(name, "AWS_ENDPOINT_URL_") && !set {
			out = append(out, name)
		}
	}
	return out
}

func (a *app) envCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print the lines that point AWS clients at this server",
		Long: `Env prints shell lines that point every AWS client here and give it the server's
first access key. This is the only command that prints a secret.`,
		Example: `  eval "$(moorage env)"
  moorage env --json`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.env(cmd.Context()) },
	}
}

func (a *app) env(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	if _, err := c.account(ctx); err != nil {
		return err
	}
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	vars := c.variables(dir)
	if a.json {
		object := map[string]string{}
		for _, v := range vars {
			object[v.name] = v.value
		}
		return a.ui.object(object)
	}
	for _, v := range vars {
		a.ui.printf("export %s=%s\n", v.name, shellWord(v.value))
	}
	a.ui.printf("unset %s\n", strings.Join(inTheWay(vars, os.Environ()), " "))
	a.ui.printf("%s", cannotMove)
	if a.ui.outTTY {
		a.ui.note("# to use them in this shell: eval \"$(moorage env)\"")
	}
	return nil
}
