package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"
)

// exitTimedOut is the code of a command that ran out of time, as timeout(1) has it.
const exitTimedOut = 124

func (a *app) execCmd() *cobra.Command {
	var name, session, qualifier string
	var tty, interactive bool
	timeout := duration(5 * time.Minute)
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND...",
		Short: "Run a command in a session's sandbox",
		Long: `Exec runs a command with bash beside the agent, in the sandbox of a session, streams its
output and ends with its exit code (124 when it ran out of time). One word is
taken as a line of bash; several are one command with its arguments.

With -it it runs on a terminal: this one's keys and size are passed on, and without
a command it is an interactive shell, which outlives a broken connection.

Without --session it is the runtime's only live session, or a new one where none is.`,
		Example: `  moorage exec -- ls -la /var/task
  moorage exec -it
  moorage exec --name hello --session s4x2 -- 'ps aux | head'`,
		Args: arguments(func(cmd *cobra.Command, args []string) error {
			if tty || interactive {
				return nil
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			if tty || interactive {
				return a.execTerminal(cmd.Context(), name, session, qualifier, args)
			}
			return a.exec(cmd.Context(), name, session, qualifier, time.Duration(timeout), args)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&name, "name", "n", "", "name, id or ARN of the runtime (default: moorage.yaml's, or the only one)")
	flags.StringVarP(&session, "session", "s", "", "session to run it in")
	flags.StringVar(&qualifier, "qualifier", "", "endpoint of the session (default DEFAULT)")
	flags.BoolVarP(&tty, "tty", "t", false, "run it on a terminal; without a command, an interactive shell")
	flags.BoolVarP(&interactive, "interactive", "i", false, "as --tty: the terminal is always passed on with its keys")
	flags.Var(&timeout, "timeout", "end the command after so long, up to 1h")
	_ = cmd.RegisterFlagCompletionFunc("name", a.completeNames) // these fail only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("session", a.completeSessions)
	return cmd
}

// execTerminal is exec on a terminal. What a shell does on one has no limit of time but the shell's own.
func (a *app) execTerminal(ctx context.Context, name, session, qualifier string, args []string) error {
	if _, _, err := a.ui.terminal(); err != nil {
		return err
	}
	c, rt, session, err := a.execTarget(ctx, name, session)
	if err != nil {
		return err
	}
	err = a.terminal(ctx, c, aws.ToString(rt.AgentRuntimeArn), session, qualifier, commandLine(args))
	return a.adviseInvoke(err, aws.ToString(rt.AgentRuntimeName))
}

// execTarget finds what the flags name.
func (a *app) execTarget(ctx context.Context, name, word string) (c *client, rt types.AgentRuntime, session string, err error) {
	if c, err = a.connect(); err != nil {
		return c, rt, "", err
	}
	if rt, err = c.runtime(ctx, name); err != nil {
		return c, rt, "", err
	}
	session, err = a.execSession(ctx, c, rt, word)
	return c, rt, session, err
}

func (a *app) exec(ctx context.Context, name, session, qualifier string, timeout time.Duration, args []string) error {
	c, rt, session, err := a.execTarget(ctx, name, session)
	if err != nil {
		return err
	}
	body, err := c.command(ctx, aws.ToString(rt.AgentRuntimeArn), session, qualifier, commandLine(args), timeout)
	if err != nil {
		return a.adviseInvoke(err, aws.ToString(rt.AgentRuntimeName))
	}
	defer body.Close()
	return a.ui.command(body)
}

// command starts a command in a session and returns its event stream, which the caller closes. It
// does without the SDK, whose stream (v1.56.3) now and then ends with "use of closed network
// connection" before the last event, which holds the exit code.
func (c *client) command(ctx context.Context, arn, session, qualifier, command string, timeout time.Duration) (io.ReadCloser, error) {
	doc, err := json.Marshal(map[string]any{"command": command, "timeout": int(timeout.Seconds())})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", c.Endpoint+"/runtimes/"+url.PathEscape(arn)+"/commands", bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	if qualifier != "" {
		r.URL.RawQuery = url.Values{"qualifier": {qualifier}}.Encode()
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/vnd.amazon.eventstream")
	r.Header.Set("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", session)
	sum := sha256.Sum256(doc)
	resp, err := c.do(ctx, r, serviceName, hex.EncodeToString(sum[:]))
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// execSession is the session to run a command in: the one that was named, else the only live one of
// the runtime. Where none is live it is a new one: its first call opens it.
func (a *app) execSession(ctx context.Context, c *client, rt types.AgentRuntime, word string) (string, error) {
	if word != "" {
		return c.callerSession(ctx, word)
	}
	live, _, err := c.sessions(ctx, aws.ToString(rt.AgentRuntimeId), false)
	switch {
	case err != nil:
		return "", err
	case len(live) == 0:
		id := newSessionID()
		a.ui.note("new session %s", id)
		return id, nil
	case len(live) > 1:
		return "", usageError{advise(fmt.Errorf("%s has %d live sessions", aws.ToString(rt.AgentRuntimeName), len(live)), "say which: --session %s", sessionIDs(live))}
	}
	a.ui.note("session %s", live[0].ID)
	return live[0].SessionID, nil
}

// commandLine is one word as it is, a line of bash, and several quoted.
func commandLine(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = shellWord(arg)
	}
	return strings.Join(words, " ")
}

// commandEvent is the payload of one event, of which it has one member.
// Source: InvokeAgentRuntimeCommand, InvokeAgentRuntimeCommandStreamOutput.
type commandEvent struct {
	ContentDelta *struct {
		Stdout string `json:"stdout"`
		Stderr string `json:"stderr"`
	} `json:"contentDelta"`
	ContentStop *struct {
		ExitCode int    `json:"exitCode"`
		Status   string `json:"status"` // COMPLETED or TIMED_OUT
	} `json:"contentStop"`
	Message string `json:"message"` // of an exception
}

// command prints a command's output as it comes and ends with its exit code.
func (u *ui) command(body io.Reader) error {
	decoder := eventstream.NewDecoder()
	for {
		message, err := decoder.Decode(body, nil)
		if err != nil {
			return fmt.Errorf("the output broke off before the command ended: %w", err)
		}
		var event commandEvent
		if err := json.Unmarshal(message.Payload, &event); err != nil {
			return fmt.Errorf("read the command's output: %w", err)
		}
		if exception := message.Headers.Get(eventstreamapi.ExceptionTypeHeader); exception != nil {
			return &apiError{name: exception.String(), message: event.Message}
		}
		if d := event.ContentDelta; d != nil {
			if _, err := io.WriteString(u.out, d.Stdout); err != nil {
				return err
			}
			if _, err := io.WriteString(u.err, d.Stderr); err != nil {
				return err
			}
		}
		if stop := event.ContentStop; stop != nil {
			return u.commandEnd(stop.ExitCode, stop.Status)
		}
	}
}

func (u *ui) commandEnd(code int, status string) error {
	switch {
	case status == "TIMED_OUT":
		u.note("the command ran out of time; see --timeout")
		return exitStatus(exitTimedOut)
	case code < 0:
		return advise(errors.New("the platform could not run the command"), "see: moorage sessions list --all")
	case code > 0:
		return exitStatus(code)
	}
	return nil
}
