package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/moorage-dev/moorage/internal/identity/openid"
)

var isolations = []string{"auto", "gvisor", "process"}

func (a *app) serveCmd() *cobra.Command {
	var o ServeOptions
	var memory, poolMemory, cpu, logFormat, logLevel string
	var networks, grants []string
	var telemetryLimit string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Serve runs the whole product: the API, the registry, the console and the sandboxes.
The first start makes a root key and an access key in its directory. SIGTERM
stops the server and leaves live sessions running; the next start finds them
again. ` + "`moorage down`" + ` ends everything.

A listener outside this machine needs TLS, here or by a proxy in front.

Limits are off where no default is given. A caller beyond its rate is told to
retry (ThrottlingException, 429). Beyond a number of sessions, the longest idle
of them sleeps on disk; when none can, the new one is refused
(ServiceQuotaExceededException, 402). Sleeping sessions do not count.

The privateEndpoint of a runtime's authorizer names a resource configuration or a
VPC. Here there are none, so --private-endpoint says what stands for one: an
address that is dialled, or a network. TLS is still spoken in the name of the
provider's host, and no other host is reached this way.

With --console-issuer people log in to the console by an OpenID provider, a user
pool of this server (moorage user-pool) or another's. Register PUBLIC-URL
/console/login/callback there; a client's secret is MOORAGE_CONSOLE_CLIENT_SECRET.
Each --console-grant makes a user or role of who has a claim; the first that fits
counts, and whom none fits is refused.`,
		Example: `  moorage serve
  moorage serve --dir /var/lib/moorage --listen 0.0.0.0:9400 --tls-cert cert.pem --tls-key key.pem
  moorage serve --listen 0.0.0.0:9400 --behind-proxy --public-url https://agents.example.com
  moorage serve --console-issuer https://id.example.com --console-client-id moorage \
    --console-grant groups=operators=role/operator --console-grant email=ann@example.com=user/ann
  moorage serve --private-endpoint rcfg-0a1b2c3d4e5f6a7b8=10.0.0.7:8443 --private-endpoint-ca rcfg-0a1b2c3d4e5f6a7b8=corp-ca.pem
  moorage serve --max-sessions 200 --max-sessions-per-caller 20 --session-rate-per-caller 25:50`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.MemoryLimit, err = parseSize(memory); err != nil {
				return err
			}
			if o.PoolMemory, err = parseSize(poolMemory); err != nil {
				return err
			}
			if o.CPULimit, err = parseCPU(cpu); err != nil {
				return err
			}
			if o.ProviderNetworks, err = parseNetworks(networks); err != nil {
				return err
			}
			if o.ConsoleGrants, err = parseGrants(grants); err != nil {
				return err
			}
			o.ConsoleSecret = os.Getenv("MOORAGE_CONSOLE_CLIENT_SECRET")
			if o.Log, err = newLog(a.ui.err, logFormat, logLevel); err != nil {
				return err
			}
			if o.TelemetryLimit, err = parseSize(telemetryLimit); err != nil {
				return err
			}
			o.ForwardHeaders = os.Getenv("MOORAGE_FORWARD_HEADERS")
			o.EmbedderKey = os.Getenv("MOORAGE_EMBEDDER_KEY")
			o.Transit.Token = cmp.Or(os.Getenv("VAULT_TOKEN"), os.Getenv("BAO_TOKEN"))
			o.Transit.Namespace = cmp.Or(os.Getenv("VAULT_NAMESPACE"), os.Getenv("BAO_NAMESPACE"))
			o.Transit.CAFile = cmp.Or(o.Transit.CAFile, os.Getenv("VAULT_CACERT"), os.Getenv("BAO_CACERT"))
			return a.serve(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:9400", "address to listen at")
	flags.StringVar(&o.PublicURL, "public-url", "", "address that clients know the server by")
	flags.StringVar(&o.TLSCert, "tls-cert", "", "certificate, PEM")
	flags.StringVar(&o.TLSKey, "tls-key", "", "its private key, PEM")
	flags.BoolVar(&o.BehindProxy, "behind-proxy", false, "a proxy in front ends TLS")
	flags.StringVar(&o.Isolation, "isolation", "auto", "auto, gvisor, or process (no isolation: development only)")
	flags.IntVar(&o.MaxSessions, "max-sessions", 0, "live sessions at once (default: as many as memory allows)")
	q := &o.Quotas
	flags.IntVar(&q.CallerSessions, "max-sessions-per-caller", 0, "live sessions of one caller (default no limit of their own)")
	flags.IntVar(&q.RuntimeSessions, "max-sessions-per-runtime", 0, "live sessions of one runtime")
	flags.Var(&q.CallerStarts, "session-rate-per-caller", "new sessions a second, such as 25, or 25:100 for 100 at once (default no limit)")
	flags.Var(&q.RuntimeStarts, "session-rate-per-runtime", "new sessions a second of one runtime")
	flags.Var(&q.CallerCalls, "call-rate-per-caller", "calls a second, such as 1000")
	flags.Var(&q.RuntimeCalls, "call-rate-per-runtime", "calls a second to one runtime")
	flags.IntVar(&o.Starts, "starts", 0, "sandboxes that start at once; others wait their turn (default two for each processor)")
	flags.DurationVar(&o.PauseAfter, "pause-after", 30*time.Second, "how long a session is idle before it stops using the processor; 0 for never")
	flags.DurationVar(&o.SleepAfter, "sleep-after", 2*time.Minute, "how long a session is idle before it sleeps on disk; 0 for never")
	flags.StringVar(&memory, "memory-limit", "", "memory of one session, such as 512M or 4G (default 8G)")
	flags.StringVar(&poolMemory, "pool-memory", "", "memory for sandboxes kept ready, such as 2G (default a quarter of what is free)")
	flags.BoolVar(&o.LocalRegistries, "local-registries", false, "pull images from registries on this machine's loopback too")
	flags.StringVar(&o.Embedder, "embedder", "lexical", "what makes the vectors of new knowledge bases: lexical, or an address that speaks the API of OpenAI and a model, such as http://127.0.0.1:11434/v1#nomic-embed-text (key: MOORAGE_EMBEDDER_KEY)")
	flags.StringSliceVar(&networks, "provider-network", nil, "private network that identity providers are reached in, such as 10.0.0.0/8 (repeatable)")
	flags.StringArrayVar(&o.PrivateEndpoints, "private-endpoint", nil, "where a private endpoint of identity providers is: rcfg-ID=HOST[:PORT], or vpc-ID=NETWORK, in which names then resolve (repeatable)")
	flags.StringArrayVar(&o.PrivateCAs, "private-endpoint-ca", nil, "who signs certificates there, instead of this machine's authorities: ID=FILE, PEM (repeatable)")
	flags.StringVar(&o.ConsoleIssuer, "console-issuer", "", "OpenID provider by which people log in to the console: its issuer, or a pool's discovery URL")
	flags.StringVar(&o.ConsoleClientID, "console-client-id", "", "id of the console's client there (its secret: MOORAGE_CONSOLE_CLIENT_SECRET)")
	flags.StringSliceVar(&o.ConsoleScopes, "console-scopes", []string{"openid", "email", "profile"}, "scopes that are asked for there")
	flags.StringArrayVar(&grants, "console-grant", nil, "who is what: CLAIM=VALUE=user/NAME or CLAIM=VALUE=role/NAME, such as groups=operators=role/operator (repeatable)")
	flags.StringArrayVar(&o.VaultKeys, "vault-key", nil, "key that credentials vault may bring the token vault under (repeatable): the ARN of a key in AWS KMS, or the address of a transit key, such as https://vault.example:8200/v1/transit/keys/moorage")
	flags.StringVar(&o.Transit.TokenFile, "transit-token-file", "", "file with the token for transit keys, read anew for each request (or VAULT_TOKEN, BAO_TOKEN)")
	flags.StringVar(&o.Transit.CAFile, "transit-ca", "", "authority of the transit keys' server, PEM (or VAULT_CACERT, BAO_CACERT)")
	flags.StringVar(&o.Forward, "forward-otlp", "", "another OpenTelemetry backend that spans and log lines go on to, over HTTP, such as http://127.0.0.1:4318 (its headers: MOORAGE_FORWARD_HEADERS, as name=value,…)")
	flags.DurationVar(&o.KeepTelemetry, "telemetry-keep", 0, "how long telemetry is kept (default 720h)")
	flags.StringVar(&telemetryLimit, "telemetry-limit", "", "disk that telemetry may take, such as 50G; the oldest goes first (default 20G)")
	flags.StringVar(&cpu, "cpu-limit", "", "CPUs of one session, such as 0.5 (default 2)")
	flags.StringVar(&logFormat, "log-format", "text", "text or json")
	flags.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	_ = cmd.RegisterFlagCompletionFunc("isolation", cobra.FixedCompletions(isolations, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) serve(ctx context.Context, o ServeOptions) (err error) {
	if o.Dir, err = a.dataDir(); err != nil {
		return err
	}
	if err := o.Check(); err != nil {
		return err
	}
	o.Ready = func(url string) { a.ready(url, o.Dir) }
	return a.hooks.Serve(ctx, o)
}

func (a *app) ready(url, dir string) {
	if a.json {
		_ = a.ui.object(map[string]string{"url": url, "dir": dir}) // a closed stdout must not end the server
		return
	}
	where := ""
	if a.dir != "" {
		where = " --dir " + shellWord(dir)
	}
	a.ui.printf("Moorage is ready at %s\n", a.ui.outStyle.bold(url))
	a.ui.printf("  data      %s\n  clients   eval \"$(moorage env%s)\"\n  stop      Ctrl-C leaves sessions running; `moorage down%s` ends them\n", short(dir), where, where)
}

// Check reports the first rule that the options break, as a usage error.
func (o ServeOptions) Check() error {
	host, port, err := net.SplitHostPort(o.Listen)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		return usagef("--listen %q is not an address such as 127.0.0.1:9400", o.Listen)
	}
	switch {
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return usagef("--tls-cert and --tls-key belong together")
	case !slices.Contains(isolations, o.Isolation):
		return usagef("--isolation is one of %s, not %q", strings.Join(isolations, ", "), o.Isolation)
	case min(o.PauseAfter, o.SleepAfter) < 0:
		return usagef("--pause-after and --sleep-after cannot be negative")
	case min(o.MaxSessions, o.Quotas.CallerSessions, o.Quotas.RuntimeSessions, o.Starts) < 0:
		return usagef("--max-sessions, --max-sessions-per-caller, --max-sessions-per-runtime and --starts cannot be negative")
	case !isLoopback(host) && o.TLSCert == "" && !o.BehindProxy:
		return advise(usagef("%s can be reached from outside this machine, and without TLS everybody on the way reads along", o.Listen),
			"use --tls-cert and --tls-key, or --behind-proxy where a proxy in front ends TLS")
	}
	if err := o.checkConsole(); err != nil {
		return err
	}
	if u, err := url.Parse(o.PublicURL); o.PublicURL != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
		return usagef("--public-url %q is not an address such as https://agents.example.com", o.PublicURL)
	}
	return nil
}

// checkConsole reports what the login by an OpenID provider lacks.
func (o ServeOptions) checkConsole() error {
	if o.ConsoleIssuer == "" {
		if o.ConsoleClientID != "" || len(o.ConsoleGrants) > 0 {
			return usagef("--console-client-id and --console-grant are about the provider of --console-issuer, which is missing")
		}
		return nil
	}
	u, err := url.Parse(o.ConsoleIssuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return usagef("--console-issuer %q is not an address such as https://id.example.com", o.ConsoleIssuer)
	case o.ConsoleClientID == "":
		return usagef("--console-issuer needs --console-client-id, the id of the console's client there")
	case len(o.ConsoleGrants) == 0:
		return advise(usagef("--console-issuer needs --console-grant: without one nobody whom the provider knows gets in"), "for example --console-grant email=you@example.com=user/admin")
	case !slices.Contains(o.ConsoleScopes, "openid"):
		return usagef("--console-scopes has to have openid among them")
	}
	return nil
}

func parseGrants(texts []string) (out []openid.Grant, err error) {
	for _, text := range texts {
		g, err := openid.ParseGrant(text)
		if err != nil {
			return nil, usagef("--console-grant %v", err)
		}
		out = append(out, g)
	}
	return out, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parseSize reads 512M, 4G or a number of bytes.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	number, unit := strings.TrimSuffix(strings.ToUpper(s), "B"), int64(1)
	number = strings.TrimSuffix(number, "I")
	for i, suffix := range []string{"K", "M", "G", "T"} {
		if rest, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = rest, int64(1024)<<(10*i)
		}
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil && unit == 1 {
		n, err = strconv.ParseInt(number, 10, 64)
	}
	if err != nil || n <= 0 {
		return 0, usagef("%q is not a size such as 512M or 4G", s)
	}
	return n * unit, nil
}

// parseCPU reads a number of CPUs as thousandths of one.
func parseCPU(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0.01 || n > 1024 {
		return 0, usagef("%q is not a number of CPUs such as 0.5 or 2", s)
	}
	return int64(n * 1000), nil
}

func newLog(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("--log-level is debug, info, warn or error, not %q", level)
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l})), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
	}
	return nil, usagef("--log-format is text or json, not %q", format)
}

func (a *app) downCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "End the server, every session and every sandbox",
		Long:    `Down ends the server of a directory with all its sessions and sandboxes. What is deployed stays and is there again at the next start.`,
		Example: "  moorage down\n  moorage down --dir /var/lib/moorage",
		Args:    arguments(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.down(cmd.Context()) },
	}
}

func (a *app) down(ctx context.Context) error {
	dir, err := a.dataDir()
	if err != nil {
		return err
	}
	if a.hooks.Down == nil {
		return errors.New("this program cannot end servers")
	}
	ended, err := a.hooks.Down(ctx, dir)
	if err != nil {
		return fmt.Errorf("end what runs in %s: %w", short(dir), err)
	}
	if a.json {
		return a.ui.object(map[string][]string{"ended": append([]string{}, ended...)})
	}
	for _, what := range ended {
		a.ui.printf("ended %s\n", what)
	}
	if len(ended) == 0 {
		a.ui.note("nothing of %s was running", short(dir))
	}
	return nil
}

func parseNetworks(texts []string) (out []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("--provider-network %q is not a network such as 10.0.0.0/8", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
