// Package cli holds Moorage's commands.
//
// Every command but serve, down, doctor and configure is a client: it finds a server, speaks AWS's
// own wire protocol to it (through AWS's own SDK), and for what that protocol lacks the /v1
// extension of the same server, signed alike. A server is found by address (--endpoint,
// MOORAGE_ENDPOINT) with the AWS_* credentials of the environment, else by directory (--dir,
// MOORAGE_DIR, ~/.moorage), where a running server leaves client.json.
//
// What scripts may rely on: results go to stdout and everything else to stderr; --json prints one
// object; the exit code is 0, 1 for a failure or 2 for a command that was called wrongly, and exec
// passes on the code of the command that it ran. Secrets are printed by env and nowhere else.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/moorage-dev/moorage/internal/identity/openid"
	"github.com/moorage-dev/moorage/internal/identity/vault/kek"
	"github.com/moorage-dev/moorage/internal/quota"
)

// Hooks is what the commands need of the rest of the program.
type Hooks struct {
	// Serve runs the server until ctx ends. It calls o.Ready once it accepts requests.
	Serve func(ctx context.Context, o ServeOptions) error
	// Down ends the server of a directory, its sessions and its shims, and says what it ended.
	Down func(ctx context.Context, dir string) ([]string, error)
	// Version is the release, "dev" where it is empty.
	Version string
}

// ServeOptions is what the serve command was told.
type ServeOptions struct {
	Dir         string // absolute
	Listen      string // host:port
	PublicURL   string // what callbacks and challenges print; empty is the listener's own address
	TLSCert     string // both are files in PEM, or both are empty
	TLSKey      string
	BehindProxy bool   // a proxy in front ends TLS, so a public listener without it is meant
	Isolation   string // auto, gvisor or process
	MaxSessions int    // live sessions at once; 0 is as many as memory allows
	Quotas      quota.Quotas
	Starts      int   // sandboxes that start at once; 0 is two for each processor
	PoolMemory  int64 // bytes for sandboxes kept ready; 0 is a quarter of what is available
	// PauseAfter is how long a session is idle before it is paused; with 0 none is.
	PauseAfter time.Duration
	// SleepAfter is how long a session is idle before it sleeps on disk; with 0 none does by itself.
	SleepAfter time.Duration
	// LocalRegistries allows images of registries on this machine's loopback.
	LocalRegistries bool
	// Embedder makes the vectors of new knowledge bases: lexical, or an address with a model.
	Embedder    string
	EmbedderKey string // of the environment, never a flag: other users of the machine see those
	// Forward is another OpenTelemetry backend that telemetry goes on to, and its headers as k=v,k=v.
	Forward        string
	ForwardHeaders string // of the environment, never a flag
	// KeepTelemetry is how long telemetry is kept, and TelemetryLimit how many bytes of it; 0 is the default.
	KeepTelemetry  time.Duration
	TelemetryLimit int64
	// ProviderNetworks are networks that identity providers are reached in although they are not public.
	ProviderNetworks []netip.Prefix
	// PrivateEndpoints are rcfg-…=ADDRESS or vpc-…=NETWORK: where private endpoints are. PrivateCAs are ID=FILE.
	PrivateEndpoints, PrivateCAs []string
	// ConsoleIssuer is an OpenID provider by which people log in to the console, ConsoleClientID and ConsoleSecret us at it, and
	// ConsoleGrants who is what, each CLAIM=VALUE=user/NAME or CLAIM=VALUE=role/NAME.
	ConsoleIssuer   string
	ConsoleClientID string
	ConsoleSecret   string   // of the environment, never a flag
	ConsoleScopes   []string // that are asked for
	ConsoleGrants   []openid.Grant
	// VaultKeys are keys that the token vault may be brought under; Transit is how those in HashiCorp Vault or OpenBao
	// are reached.
	VaultKeys   []string
	Transit     kek.Transit
	MemoryLimit int64 // bytes per session; 0 is the driver's default
	CPULimit    int64 // thousandths of a CPU per session; 0 is the driver's default
	Log         *slog.Logger
	Ready       func(url string)
}

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// app is what the commands of one run share.
type app struct {
	hooks    Hooks
	ui       *ui
	dir      string // --dir
	endpoint string // --endpoint
	json     bool   // --json
}

// Main runs the command that args name (without the program's own name) and returns the exit code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, h Hooks) int {
	root := Root(h)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	return report(newUI(stdin, stdout, stderr), cmd, err)
}

// Root is the command tree.
func Root(h Hooks) *cobra.Command {
	a := &app{hooks: h}
	root := &cobra.Command{
		Use:   "moorage",
		Short: "Run AI agents in production, on machines of your own",
		Long: `Moorage runs AI agents: it deploys them, gives every session a sandbox of its own,
and speaks the wire protocol of Amazon Bedrock AgentCore, so that the AWS SDKs and
agents written for it work unchanged.`,
		Example: `  moorage serve                                  # in one terminal
  moorage deploy ./hello --entrypoint agent.py   # in another
  moorage invoke --name hello "What can you do?"
  moorage logs --name hello --follow`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			a.ui = newUI(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			a.ui.quiet = a.json
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&a.dir, "dir", "", "directory of the server (default $MOORAGE_DIR, else ~/.moorage)")
	flags.StringVar(&a.endpoint, "endpoint", "", "address of a server; needs AWS_ACCESS_KEY_ID and its secret (default $MOORAGE_ENDPOINT)")
	flags.BoolVar(&a.json, "json", false, "print one JSON object for programs")
	a.addCommands(root)
	return root
}

func (a *app) addCommands(root *cobra.Command) {
	groups := []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"agents", "Agents:", []*cobra.Command{a.configureCmd(), a.deployCmd(), a.invokeCmd(), a.devCmd(), a.statusCmd(), a.logsCmd(), a.tracesCmd(), a.traceCmd(), a.metricsCmd(), a.topCmd(), a.destroyCmd()}},
		{"sessions", "Sessions and versions:", []*cobra.Command{a.sessionsCmd(), a.execCmd(), a.versionsCmd(), a.endpointsCmd()}},
		{"knowledge", "Models and knowledge:", []*cobra.Command{a.modelsCmd(), a.kbCmd()}},
		{"access", "Who may do what:", []*cobra.Command{a.keysCmd(), a.userPoolCmd(), a.policyCmd(), a.auditCmd(), a.credentialsCmd()}},
		{"server", "The server:", []*cobra.Command{a.serveCmd(), a.downCmd(), a.envCmd(), a.consoleCmd(), a.doctorCmd()}},
	}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(a.versionCmd())
}

// knownCommand refuses words that are no command of cmd, and names the ones that come close.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // letters that may differ
	err := usagef("%q is not a command of %s", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return advise(err, "did you mean %s?", strings.Join(near, " or "))
	}
	return err
}

// arguments turns cobra's complaint about positional arguments into a usage error that says what a command takes.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		given := fmt.Sprintf("%d are given", len(args))
		switch len(args) {
		case 0:
			given = "none is given"
		case 1:
			given = "one is given"
		}
		takes := "no arguments"
		if _, names, ok := strings.Cut(cmd.Use, " "); ok {
			takes = names
		}
		return usagef("%s takes %s; %s", cmd.CommandPath(), takes, given)
	}
}

// report prints what went wrong, if anything did, and returns the exit code.
func report(u *ui, cmd *cobra.Command, err error) int {
	var status exitStatus
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	}
	u.problem(err)
	if errors.As(err, new(usageError)) {
		u.note("see: %s --help", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}
