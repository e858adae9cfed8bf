package cli

import (
	"cmp"
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/moorage-dev/moorage"
)

// modelProvider and modelRoute are what the server says of models.
type modelProvider struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	URL  string `json:"url,omitempty"`
	Key  string `json:"key,omitempty"`
	File string `json:"file,omitempty"`

	Region string `json:"region,omitempty"`
	Record string `json:"record,omitempty"`
	Fault  string `json:"fault,omitempty"` // why it cannot be asked
}

type modelRoute struct {
	Pattern  string `json:"pattern"`
	Provider string `json:"provider"`
	Model    string `json:"model,omitempty"`
}

type modelSetup struct {
	Providers []modelProvider `json:"providers"`
	Routes    []modelRoute    `json:"routes"`
}

func (a *app) modelsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "Who answers when agents call a model",
		Long: `Agents call models by Amazon Bedrock's API, with the ids that they know: Converse,
ConverseStream and InvokeModel of bedrock-runtime; or by OpenAI's chat completions, at
/v1 of the server, with ACCESS_KEY_ID:SECRET_ACCESS_KEY as the API key. Inside their
sandboxes the addresses of both are in the environment, and no key is needed.

A route leads ids to a provider. Until you make routes, Amazon's Nova and Anthropic's
models are answered by the built-in demo model, which needs no key and no network,
and makes nothing up: it only puts together what it was given.

Keys are sealed on the server, and agents never see them.

What agents may spend stands in tags of their runtime: moorage:session-tokens and
moorage:session-dollars for each session, moorage:daily-tokens and moorage:daily-dollars
for all in a day (UTC). At the limit calls are refused, or with moorage:budget-spent=end
the session ends. status and sessions show say what was spent.`,
		Example: `  moorage models add local --kind openai --url http://127.0.0.1:11434/v1
  moorage models route '*nova*' local --model qwen3:8b
  moorage models list
  moorage deploy . --tag moorage:session-tokens=200000 --tag moorage:daily-dollars=5`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.modelsListCmd(), a.modelsAddCmd(), a.modelsRemoveCmd(), a.modelsRouteCmd(), a.modelsUnrouteCmd(), a.modelsRecordCmd())
	return cmd
}

func (a *app) modelsListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List providers, and which models are led to each", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changeModels(cmd.Context(), "GET", "/v1/model-providers", nil, nil)
		},
	}
}

func (a *app) modelsAddCmd() *cobra.Command {
	var p modelProvider
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Set up a provider, or change one",
		Long: `Add sets up a provider of models. The kind openai is whoever speaks OpenAI's chat
completions: OpenAI, Ollama, llama-server, vLLM. The kind bedrock is Amazon Bedrock, for
an AWS account whose access key and secret are the key, joined by a colon.

The key is read from the environment variable MOORAGE_MODEL_KEY, or from standard input
with --key-stdin, so that it stands in no history of commands.`,
		Example: `  moorage models add local --kind openai --url http://127.0.0.1:11434/v1
  MOORAGE_MODEL_KEY=sk-... moorage models add claude --kind anthropic
  MOORAGE_MODEL_KEY=$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY moorage models add cloud --kind bedrock --region us-east-1
  moorage models add again --kind cassette --file session.cassette
  moorage models add fixtures --kind script --file answers.yaml`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			fromStdin, err := cmd.Flags().GetBool("key-stdin")
			if err == nil {
				p.Key, err = modelKey(cmd.InOrStdin(), fromStdin)
			}
			if err != nil {
				return err
			}
			if p.File != "" {
				if p.File, err = filepath.Abs(p.File); err != nil {
					return err
				}
			}
			return a.changeModels(cmd.Context(), "PUT", "/v1/model-providers/"+url.PathEscape(args[0]), nil, p)
		},
	}
	cmd.Flags().StringVar(&p.Kind, "kind", "openai", "openai, anthropic, bedrock, script or cassette")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"openai", "anthropic", "bedrock", "script", "cassette"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	cmd.Flags().StringVar(&p.URL, "url", "", "address of its API, up to the version")
	cmd.Flags().StringVar(&p.Region, "region", "", "of Amazon Bedrock")
	cmd.Flags().StringVar(&p.File, "file", "", "of a script or cassette, on the server's machine")
	cmd.Flags().Bool("key-stdin", false, "read the key from standard input")
	return cmd
}

func modelKey(in io.Reader, fromStdin bool) (string, error) {
	if !fromStdin {
		return os.Getenv("MOORAGE_MODEL_KEY"), nil
	}
	text, err := io.ReadAll(io.LimitReader(in, 16<<10))
	return strings.TrimSpace(string(text)), err
}

func (a *app) modelsRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Take a provider away", Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeProviders(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeModels(cmd.Context(), "DELETE", "/v1/model-providers/"+url.PathEscape(args[0]), nil, nil)
		},
	}
}

func (a *app) modelsRecordCmd() *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use:   "record NAME [FILE.cassette]",
		Short: "Record what a provider answers, to play it again offline",
		Long: `Record has the server write every request to a provider and its answer to a cassette, a
file on the server's machine, until record --off. A provider of the kind cassette plays it
again: the same requests get the same answers, in the same pieces, with no network and no
key. What was not recorded is refused, so that a session that differs shows where.

Keys of providers are never on a cassette. Prompts and answers are, in clear.`,
		Example: `  moorage models record claude session.cassette
  moorage models record claude --off
  moorage models add again --kind cassette --file session.cassette
  moorage models route '*anthropic*' again`,
		Args: arguments(cobra.RangeArgs(1, 2)), ValidArgsFunction: a.completeProviders(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if off == (len(args) == 2) {
				return moorage.Errorf(moorage.Invalid, "name the file that is recorded in, or give --off")
			}
			file := ""
			if !off {
				abs, err := filepath.Abs(args[1])
				if err != nil {
					return err
				}
				file = abs
			}
			return a.recordModel(cmd.Context(), args[0], file)
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "record no more")
	return cmd
}

// recordModel changes where a provider's answers are recorded, and nothing else of it.
func (a *app) recordModel(ctx context.Context, name, file string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var setup modelSetup
	if err := c.send(ctx, serviceName, "GET", "/v1/model-providers", nil, &setup); err != nil {
		return err
	}
	for _, p := range setup.Providers {
		if p.Name == name && p.Kind != name {
			p.Record = file
			return a.changeModels(ctx, "PUT", "/v1/model-providers/"+url.PathEscape(name), nil, p)
		}
	}
	return moorage.Errorf(moorage.NotFound, "no provider that was set up is called %q: moorage models list", name)
}

func (a *app) modelsRouteCmd() *cobra.Command {
	var r modelRoute
	cmd := &cobra.Command{
		Use:   "route PATTERN PROVIDER",
		Short: "Lead models to a provider",
		Long: `Route leads every model whose id or ARN matches the pattern to a provider; * stands for
anything. The route that was made last comes first, and all come before the default ones.`,
		Example: `  moorage models route '*nova*' local --model qwen3:8b
  moorage models route gpt-5 openai`,
		Args: arguments(cobra.ExactArgs(2)), ValidArgsFunction: a.completeProviders(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Pattern, r.Provider = args[0], args[1]
			return a.changeModels(cmd.Context(), "PUT", "/v1/model-routes", nil, r)
		},
	}
	cmd.Flags().StringVar(&r.Model, "model", "", "what the provider calls the model (default: as the caller does)")
	return cmd
}

func (a *app) modelsUnrouteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "unroute PATTERN", Short: "Take a route back", Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeRoutes(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeModels(cmd.Context(), "DELETE", "/v1/model-routes", url.Values{"pattern": {args[0]}}, nil)
		},
	}
}

// changeModels asks the server for a change, or for none, and prints what is set up then.
func (a *app) changeModels(ctx context.Context, method, path string, query url.Values, body any) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var setup modelSetup
	if err := c.send(ctx, serviceName, method, path, body, &setup); err != nil {
		return err
	}
	if a.json {
		return a.ui.object(setup)
	}
	providers := table{head: []string{"PROVIDER", "KIND", "WHERE", "RECORDED IN"}}
	for _, p := range setup.Providers {
		providers.add(p.Name, p.Kind, cmp.Or(p.URL, p.File, p.Region, "-"), cmp.Or(p.Record, "-"))
	}
	routes := table{head: []string{"MODELS", "PROVIDER", "AS"}}
	for _, r := range setup.Routes {
		routes.add(r.Pattern, r.Provider, cmp.Or(r.Model, "-"))
	}
	a.ui.table(providers)
	a.ui.printf("\n")
	a.ui.table(routes)
	for _, p := range setup.Providers {
		if p.Fault != "" {
			a.ui.note("the provider %s cannot be asked: %s", p.Name, p.Fault)
		}
	}
	return nil
}

// completeProviders completes the name of a provider that was set up, as the argument at a place.
func (a *app) completeProviders(at int) cobra.CompletionFunc {
	return a.completeModels(at, func(s modelSetup) (out []string) {
		for _, p := range s.Providers {
			out = append(out, cobra.CompletionWithDesc(p.Name, strings.TrimSpace(p.Kind+" "+cmp.Or(p.URL, p.File, p.Region))))
		}
		return out
	})
}

// completeRoutes completes the pattern of a route.
func (a *app) completeRoutes(at int) cobra.CompletionFunc {
	return a.completeModels(at, func(s modelSetup) (out []string) {
		for _, r := range s.Routes {
			out = append(out, cobra.CompletionWithDesc(r.Pattern, "led to "+r.Provider))
		}
		return out
	})
}

func (a *app) completeModels(at int, words func(modelSetup) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > at {
			return nil, cobra.ShellCompDirectiveDefault // a file, if anything
		}
		if len(args) < at {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := a.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		var setup modelSetup
		if err := c.send(ctx, serviceName, "GET", "/v1/model-providers", nil, &setup); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words(setup), cobra.ShellCompDirectiveNoFileComp
	}
}
