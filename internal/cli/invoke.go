package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/smithy-go/auth"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/spf13/cobra"
)

// call is one invocation as the command line describes it.
type call struct {
	name, session, user, qualifier string
	token                          string // bearer token, instead of a signature
	payload                        []byte
	headers                        []string // K:V
	raw                            bool     // print the body as it comes, event streams too
}

func (a *app) invokeCmd() *cobra.Command {
	var in call
	var payload string
	cmd := &cobra.Command{
		Use:   "invoke [PROMPT]",
		Short: "Call an agent and stream its answer",
		Long: `Invoke sends one request and prints the answer as it comes.

PROMPT is sent as {"prompt": "PROMPT"}, or as it is when it is a JSON object or
array. --payload sends exactly what it is given, whatever that is.

The session's id is printed to stderr; pass it to --session to go on in the same
sandbox. A short id of ` + "`moorage sessions`" + ` will do for a session that is live.`,
		Example: `  moorage invoke "What can you do?"
  moorage invoke --name hello --payload '{"prompt":"hi"}'
  moorage invoke --payload @request.json --session $SESSION
  moorage invoke --bearer-token "$TOKEN" "Who am I?"
  cat request.json | moorage invoke --payload - --header X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team:red`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.payload, err = readPayload(cmd.InOrStdin(), args, payload, cmd.Flags().Changed("payload")); err != nil {
				return err
			}
			return a.invoke(cmd.Context(), in)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&in.name, "name", "n", "", "name, id or ARN of the runtime (default: moorage.yaml's, or the only one)")
	flags.StringVarP(&in.session, "session", "s", "", "go on in this session")
	flags.StringVarP(&payload, "payload", "p", "", "request body: text, @FILE, or - for stdin")
	flags.StringArrayVarP(&in.headers, "header", "H", nil, "request header `K:V` (repeatable)")
	flags.StringVar(&in.user, "user", "", "id of the user that the agent acts for")
	flags.StringVar(&in.token, "bearer-token", "", "call with this token instead of a signature (default $MOORAGE_BEARER_TOKEN)")
	flags.StringVar(&in.qualifier, "qualifier", "", "endpoint to call (default DEFAULT)")
	flags.BoolVar(&in.raw, "raw", false, "print an event stream as it is, not only its text")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeNames) // these fail only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("session", a.completeSessions)
	return cmd
}

// readPayload makes the request's body of the argument or the flag; without either it is {}.
func readPayload(stdin io.Reader, args []string, flag string, given bool) ([]byte, error) {
	switch {
	case given && len(args) > 0:
		return nil, usagef("give a PROMPT or --payload, not both")
	case len(args) > 0:
		return promptPayload(args[0])
	case !given:
		return []byte("{}"), nil
	case flag == "-":
		return io.ReadAll(stdin)
	case strings.HasPrefix(flag, "@"):
		body, err := os.ReadFile(flag[1:])
		if err != nil {
			return nil, usagef("--payload: %v", err)
		}
		return body, nil
	}
	return []byte(flag), nil
}

func promptPayload(text string) ([]byte, error) {
	trimmed := strings.TrimSpace(text)
	if (strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[")) && json.Valid([]byte(trimmed)) {
		return []byte(trimmed), nil
	}
	return json.Marshal(map[string]string{"prompt": text})
}

// invoke makes the call and prints the answer.
func (a *app) invoke(ctx context.Context, in call) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	rt, err := c.runtime(ctx, in.name)
	if err != nil {
		return err
	}
	if in.session, err = c.callerSession(ctx, in.session); err != nil {
		return err
	}
	out, err := c.invoke(ctx, aws.ToString(rt.AgentRuntimeArn), in)
	if err != nil {
		return a.adviseInvoke(err, aws.ToString(rt.AgentRuntimeName))
	}
	defer out.Response.Close()
	if a.json {
		return a.printAnswer(out)
	}
	a.ui.note("session %s", aws.ToString(out.RuntimeSessionId))
	return a.ui.stream(out.Response, aws.ToString(out.ContentType), in.raw)
}

// invoke sends one call. The caller closes the response.
func (c *client) invoke(ctx context.Context, arn string, in call) (*bedrockagentcore.InvokeAgentRuntimeOutput, error) {
	var headers []func(*middleware.Stack) error
	for _, h := range in.headers {
		key, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(key) == "" {
			return nil, usagef("--header %q is not NAME:VALUE", h)
		}
		headers = append(headers, smithyhttp.AddHeaderValue(strings.TrimSpace(key), strings.TrimSpace(value)))
	}
	token := firstOf(in.token, os.Getenv("MOORAGE_BEARER_TOKEN"))
	if token != "" {
		headers = append(headers, smithyhttp.AddHeaderValue("Authorization", "Bearer "+token))
	}
	return c.data.InvokeAgentRuntime(ctx, &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn: &arn, Payload: in.payload, ContentType: aws.String("application/json"),
		Accept:           aws.String("text/event-stream, application/json"),
		RuntimeSessionId: optional(in.session), RuntimeUserId: optional(in.user), Qualifier: optional(in.qualifier),
	}, func(o *bedrockagentcore.Options) {
		o.APIOptions = append(o.APIOptions, headers...)
		if token != "" {
			o.AuthSchemeResolver = unsigned{}
		}
	})
}

// unsigned has the SDK send a call as it is.
type unsigned struct{}

func (unsigned) ResolveAuthSchemes(context.Context, *bedrockagentcore.AuthResolverParameters) ([]*auth.Option, error) {
	return []*auth.Option{{SchemeID: auth.SchemeIDAnonymous}}, nil
}

// adviseInvoke adds where to look when the agent itself failed.
func (a *app) adviseInvoke(err error, name string) error {
	if _, kind, _ := explain(err); kind == "RuntimeClientError" {
		return advise(err, "what the agent printed: moorage logs --name %s", name)
	}
	return err
}

// printAnswer prints the whole answer as one object: JSON bodies as JSON, others as a string.
func (a *app) printAnswer(out *bedrockagentcore.InvokeAgentRuntimeOutput) error {
	body, err := io.ReadAll(out.Response)
	if err != nil {
		return err
	}
	var response any = string(body)
	if json.Valid(body) {
		response = json.RawMessage(body)
	}
	return a.ui.object(map[string]any{
		"sessionId": aws.ToString(out.RuntimeSessionId), "contentType": aws.ToString(out.ContentType), "response": response,
	})
}

// stream prints a body as it comes: the text of an event stream, or the bytes of anything else.
// On a terminal the last line is ended, so that the prompt does not follow it.
func (u *ui) stream(body io.Reader, contentType string, raw bool) error {
	tail := &tailWriter{Writer: u.out}
	err := error(nil)
	if strings.HasPrefix(contentType, "text/event-stream") && !raw {
		err = printEvents(tail, body)
	} else {
		_, err = io.Copy(tail, body)
	}
	if (u.outTTY || strings.HasPrefix(contentType, "text/event-stream")) && tail.last != 0 && tail.last != '\n' {
		fmt.Fprintln(u.out)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return advise(errors.New("the answer broke off: the session ended or the server stopped"), "see: moorage sessions list --all")
	}
	return err
}

// tailWriter remembers the last byte that was written.
type tailWriter struct {
	io.Writer
	last byte
}

func (w *tailWriter) Write(p []byte) (int, error) {
	if len(p) > 0 {
		w.last = p[len(p)-1]
	}
	return w.Writer.Write(p)
}
