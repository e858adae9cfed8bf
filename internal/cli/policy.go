package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func decodeAnswer(from io.Reader, path string, out any) error {
	if err := json.NewDecoder(from).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer to POST /v1/%s: %w", path, err)
	}
	return nil
}

func (a *app) policyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Who may do what: write, try and explain policies",
		Long: `Users and roles may do what their policies allow, in IAM's language; the AWS CLI and
boto3 manage them too (aws iam put-user-policy …). What no policy allows is refused,
and what one denies is refused whatever others say. To call an agent takes
bedrock-agentcore:InvokeAgentRuntime on the runtime and on the endpoint.

A caller who is refused is not told why. An administrator asks with the request's id.`,
		Example: `  moorage policy put --user alice --name may-call may-call.json
  moorage policy simulate --principal alice --action bedrock-agentcore:InvokeAgentRuntime --resource ARN
  moorage policy lint may-call.json
  moorage policy explain 7f1c4f0e-…`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.policyPutCmd(), a.policySimulateCmd(), a.policyLintCmd(), a.policyExplainCmd())
	return cmd
}

func (a *app) policyPutCmd() *cobra.Command {
	var user, role, name string
	cmd := &cobra.Command{Use: "put FILE", Short: "Give a user or role a policy; - reads it from standard input", Args: arguments(cobra.ExactArgs(1))}
	flags := cmd.Flags()
	flags.StringVar(&user, "user", "", "name of the user")
	flags.StringVar(&role, "role", "", "name of the role")
	flags.StringVar(&name, "name", "policy", "name of the policy; one of the same name is replaced")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (user == "") == (role == "") {
			return usagef("give one of --user and --role")
		}
		text, err := readDocument(args[0])
		if err != nil {
			return err
		}
		c, err := a.connect()
		if err != nil {
			return err
		}
		action, members := "PutUserPolicy", map[string]string{"UserName": user, "PolicyName": name, "PolicyDocument": string(text)}
		if role != "" {
			action, members = "PutRolePolicy", map[string]string{"RoleName": role, "PolicyName": name, "PolicyDocument": string(text)}
		}
		if err := c.iam(cmd.Context(), action, members, nil); err != nil {
			return err
		}
		if !a.json {
			a.ui.printf("%s has the policy %s\n", firstOf(user, role), name)
		}
		return nil
	}
	return cmd
}

func readDocument(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

func (a *app) policySimulateCmd() *cobra.Command {
	var principal, action string
	var resources, values []string
	cmd := &cobra.Command{
		Use: "simulate", Short: "Say what would become of a request, and why", Args: arguments(cobra.NoArgs),
		Long: `Simulate decides as a call would, and changes nothing. It exits with 1 when the
request would be refused.`,
	}
	flags := cmd.Flags()
	flags.StringVar(&principal, "principal", "", "ARN of a user, role or role's session, or a user's name")
	flags.StringVar(&action, "action", "", "such as bedrock-agentcore:InvokeAgentRuntime")
	flags.StringSliceVar(&resources, "resource", nil, "ARN; may be given several times: each has to be allowed")
	flags.StringArrayVar(&values, "context", nil, "a condition key and its value: aws:SourceIp=203.0.113.7")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if principal == "" || action == "" {
			return usagef("--principal and --action are needed")
		}
		c, err := a.connect()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(principal, "arn:") {
			account, err := c.account(cmd.Context())
			if err != nil {
				return err
			}
			principal = "arn:aws:iam::" + account + ":user/" + principal
		}
		context := map[string][]string{}
		for _, pair := range values {
			key, value, ok := strings.Cut(pair, "=")
			if !ok {
				return usagef("--context %q is not KEY=VALUE", pair)
			}
			context[key] = append(context[key], value)
		}
		question, err := json.Marshal(map[string]any{"principal": principal, "action": action, "resources": resources, "context": context})
		if err != nil {
			return err
		}
		var answer struct {
			Allowed    bool             `json:"allowed"`
			Why        string           `json:"why"`
			Statements []map[string]any `json:"statements"`
		}
		if err := c.v1Send(cmd.Context(), "policy/simulate", question, &answer); err != nil {
			return err
		}
		verdict := "refused"
		if answer.Allowed {
			verdict = "allowed"
		}
		if a.json {
			err = a.ui.object(answer)
		} else {
			a.ui.printf("%s: %s\n", verdict, answer.Why)
		}
		if err == nil && !answer.Allowed {
			return exitStatus(exitFailure)
		}
		return err
	}
	return cmd
}

func (a *app) policyLintCmd() *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use: "lint FILE", Short: "Find what in a policy can match nothing", Args: arguments(cobra.ExactArgs(1)),
		Long: `Lint reads a policy as the server would, and says which actions do not exist, which
ARNs can match nothing and which conditions can never hold. It exits with 1 if it
finds something.`,
	}
	cmd.Flags().StringVar(&kind, "kind", "identity", "identity, resource or trust")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text, err := readDocument(args[0])
		if err != nil {
			return err
		}
		c, err := a.connect()
		if err != nil {
			return err
		}
		var answer struct {
			Findings []struct {
				Statement string `json:"statement"`
				Message   string `json:"message"`
			} `json:"findings"`
		}
		if err := c.v1Send(cmd.Context(), "policy/lint?kind="+url.QueryEscape(kind), text, &answer); err != nil {
			return err
		}
		if a.json {
			if err := a.ui.object(answer); err != nil {
				return err
			}
		}
		for _, f := range answer.Findings {
			if !a.json {
				a.ui.printf("statement %s: %s\n", firstOf(f.Statement, "-"), f.Message)
			}
		}
		if len(answer.Findings) > 0 {
			return exitStatus(exitFailure)
		}
		if !a.json {
			a.ui.printf("nothing found\n")
		}
		return nil
	}
	return cmd
}

func (a *app) policyExplainCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain REQUEST_ID", Short: "Say why a request was refused, or allowed", Args: arguments(cobra.ExactArgs(1)),
		Long: `Every answer has the id of its request in the header x-amzn-RequestId, and AWS's
clients show it with an error. What was decided is in the audit record.`,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		var answer struct {
			Records []auditRecord `json:"records"`
		}
		if err := c.v1(cmd.Context(), "GET", "policy/explain", url.Values{"request": {args[0]}}, &answer); err != nil {
			return err
		}
		if a.json {
			return a.ui.object(answer)
		}
		for _, r := range answer.Records {
			result := "allowed"
			if r.Refused {
				result = "refused"
			}
			a.ui.printf("%s  %s %s: %s %s\n    %s\n", r.Time.Local().Format(time.DateTime), r.Kind, result, firstOf(r.Caller, "nobody known"), r.Action, firstOf(r.Reason, "its credentials are good"))
			for _, on := range r.Resources {
				a.ui.printf("    on %s\n", on)
			}
		}
		return nil
	}
	return cmd
}
