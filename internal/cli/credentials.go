package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *app) credentialsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "credentials",
		Aliases: []string{"credential"},
		Short:   "Keep the credentials that agents have for other services",
		Long: `A credential provider is an API key, or a client at an OAuth2 provider. Agents get
the key, or tokens, with @requires_api_key and @requires_access_token of the
AgentCore SDK, or GetResourceApiKey and GetResourceOauth2Token; the secret itself
stays sealed in the server's vault and is never shown again.`,
		Example: `  moorage credentials create weather < weather.key
  moorage credentials create files --vendor GoogleOauth2 --client-id 123.apps.example < secret
  moorage credentials create crm --discovery-url https://idp.example/.well-known/openid-configuration --client-id agents
  moorage credentials list
  moorage credentials delete weather
  moorage credentials vault`,
		Args: knownCommand,
	}
	list := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List credential providers", Args: arguments(cobra.NoArgs)}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.listCredentials(cmd.Context()) }
	list.RunE = cmd.RunE
	cmd.AddCommand(a.credentialsCreate(), list, a.credentialsDelete(), a.credentialsVault())
	return cmd
}

// credential is what credentials create is told.
type credential struct {
	name, vendor, clientID, discovery, issuer, tenant, onBehalf string

	inject  []string   // rules
	scopes  string     // of the tokens that they inject
	private []string   // endpoints: ID or HOST=ID
	way     privateWay // that they make
}

func (a *app) credentialsCreate() *cobra.Command {
	var in credential
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Keep an API key, or a client at an OAuth2 provider",
		Long: `The secret is read from standard input, or asked for on a terminal; it is no
argument, since arguments show in the list of processes. Without --client-id it
is an API key. A client of an OAuth2 provider has --vendor, one of those that
AWS names (GoogleOauth2, GithubOauth2, MicrosoftOauth2, …), or --discovery-url.
Register the callback URL that is printed with the provider.

With --inject agents never hold the secret: they send moorage-credential-NAME in a
header or the query of a call, and the server replaces it on the way to the hosts
that the rules name. Their runtime needs the tag moorage:inject=on; a project may say
both in its moorage.yaml, see moorage deploy --help.`,
		Example: `  moorage credentials create weather < weather.key
  moorage credentials create weather --inject "GET api.weather.example/v1/" < weather.key
  moorage credentials create mail --vendor MicrosoftOauth2 --tenant contoso --client-id 1b2c
  moorage credentials create crm --discovery-url https://idp.example/.well-known/openid-configuration --client-id agents --on-behalf-of TOKEN_EXCHANGE`,
		Args: arguments(cobra.ExactArgs(1)),
	}
	flags := cmd.Flags()
	flags.StringVar(&in.clientID, "client-id", "", "id of the client at the OAuth2 provider")
	flags.StringVar(&in.vendor, "vendor", "", "OAuth2 vendor, such as GoogleOauth2 (default CustomOauth2 with --discovery-url)")
	flags.StringVar(&in.discovery, "discovery-url", "", "discovery document of an OAuth2 provider that is no known vendor")
	flags.StringArrayVar(&in.private, "private-endpoint", nil, "how the provider at --discovery-url is reached off the public network: rcfg-ID, or HOST=rcfg-ID for another host of its (repeatable; see moorage serve)")
	flags.StringVar(&in.issuer, "issuer", "", "issuer, of vendors whose customers have servers of their own")
	flags.StringVar(&in.tenant, "tenant", "", "tenant, of MicrosoftOauth2")
	flags.StringVar(&in.onBehalf, "on-behalf-of", "", "how the provider exchanges users' tokens: TOKEN_EXCHANGE or JWT_AUTHORIZATION_GRANT")
	flags.StringArrayVar(&in.inject, "inject", nil, "calls that get the credential in place of a placeholder: [METHOD ...] HOST[:PORT][/PATH] (repeatable)")
	flags.StringVar(&in.scopes, "inject-scopes", "", "scopes of the tokens of a client that --inject puts into calls")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in.name = args[0]
		return a.createCredential(cmd.Context(), cmd.InOrStdin(), in)
	}
	return cmd
}

// tags hold the rules of --inject.
func (in credential) tags() map[string]string {
	tags := map[string]string{}
	for i, rule := range in.inject {
		tags[fmt.Sprintf("moorage:inject:%d", i+1)] = rule
	}
	if in.scopes != "" {
		tags["moorage:inject-scopes"] = in.scopes
	}
	return tags
}

// maxSecret is in bytes. Source: AgentCore API reference, CreateApiKeyCredentialProvider.
const maxSecret = 65536

// readSecret reads one line from a file or pipe, or asks on a terminal without showing what is typed.
func (a *app) readSecret(in io.Reader, what string) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(os.Stderr, "%s (not shown): ", what)
		secret, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(os.Stderr)
		return strings.TrimSpace(string(secret)), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxSecret+2)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

func (a *app) createCredential(ctx context.Context, stdin io.Reader, in credential) error {
	oauth := in.clientID != "" || in.vendor != "" || in.discovery != ""
	if oauth && in.clientID == "" {
		return usagef("a client of an OAuth2 provider needs --client-id")
	}
	if oauth && in.vendor == "" && in.discovery == "" {
		return usagef("a client of an OAuth2 provider needs --vendor or --discovery-url")
	}
	if len(in.private) > 0 && in.discovery == "" {
		return usagef("--private-endpoint needs --discovery-url: the vendors that AWS names are on the public network")
	}
	if err := in.way.reach(in.private); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	what := "API key"
	if oauth {
		what = "client secret"
	}
	secret, err := a.readSecret(stdin, what)
	if err != nil {
		return err
	}
	if secret == "" {
		return usagef("give the %s on standard input", what)
	}
	if oauth {
		return a.createClient(ctx, c, in, secret)
	}
	made, err := c.control.CreateApiKeyCredentialProvider(ctx, &control.CreateApiKeyCredentialProviderInput{Name: &in.name, ApiKey: &secret, Tags: in.tags()})
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(map[string]string{"name": in.name, "credentialProviderArn": aws.ToString(made.CredentialProviderArn)})
	}
	a.ui.printf("kept the API key %s\n%s\n", in.name, aws.ToString(made.CredentialProviderArn))
	return nil
}

func (a *app) createClient(ctx context.Context, c *client, in credential, secret string) error {
	vendor, config := in.config(secret)
	made, err := c.control.CreateOauth2CredentialProvider(ctx, &control.CreateOauth2CredentialProviderInput{
		Name: &in.name, CredentialProviderVendor: vendor, Oauth2ProviderConfigInput: config, Tags: in.tags(),
	})
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(map[string]string{
			"name": in.name, "credentialProviderArn": aws.ToString(made.CredentialProviderArn), "callbackUrl": aws.ToString(made.CallbackUrl),
		})
	}
	a.ui.printf("kept the client %s\n%s\ncallback URL to register with the provider: %s\n", in.name, aws.ToString(made.CredentialProviderArn), aws.ToString(made.CallbackUrl))
	return nil
}

// config is the vendor and its member of the API's union.
func (in credential) config(secret string) (types.CredentialProviderVendorType, types.Oauth2ProviderConfigInput) {
	id := &in.clientID
	switch vendor := types.CredentialProviderVendorType(in.vendor); vendor {
	case "", types.CredentialProviderVendorTypeCustomOauth2:
		custom := types.CustomOauth2ProviderConfigInput{
			ClientId: id, ClientSecret: &secret, OauthDiscovery: &types.Oauth2DiscoveryMemberDiscoveryUrl{Value: in.discovery},
			PrivateEndpoint: in.way.PrivateEndpoint.input(), PrivateEndpointOverrides: in.way.overrides(),
		}
		if in.onBehalf != "" {
			custom.OnBehalfOfTokenExchangeConfig = &types.OnBehalfOfTokenExchangeConfigType{GrantType: types.OnBehalfOfTokenExchangeGrantTypeType(in.onBehalf)}
		}
		return types.CredentialProviderVendorTypeCustomOauth2, &types.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: custom}
	case types.CredentialProviderVendorTypeGoogleOauth2:
		return vendor, &types.Oauth2ProviderConfigInputMemberGoogleOauth2ProviderConfig{Value: types.GoogleOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret}}
	case types.CredentialProviderVendorTypeGithubOauth2:
		return vendor, &types.Oauth2ProviderConfigInputMemberGithubOauth2ProviderConfig{Value: types.GithubOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret}}
	case types.CredentialProviderVendorTypeSlackOauth2:
		return vendor, &types.Oauth2ProviderConfigInputMemberSlackOauth2ProviderConfig{Value: types.SlackOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret}}
	case types.CredentialProviderVendorTypeSalesforceOauth2:
		return vendor, &types.Oauth2ProviderConfigInputMemberSalesforceOauth2ProviderConfig{Value: types.SalesforceOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret}}
	case types.CredentialProviderVendorTypeMicrosoftOauth2:
		return vendor, &types.Oauth2ProviderConfigInputMemberMicrosoftOauth2ProviderConfig{Value: types.MicrosoftOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret, TenantId: optional(in.tenant)}}
	case types.CredentialProviderVendorTypeAtlassianOauth2:
		return vendor, &types.Oauth2ProviderConfigInputMemberAtlassianOauth2ProviderConfig{Value: types.AtlassianOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret}}
	case types.CredentialProviderVendorTypeLinkedinOauth2:
		return vendor, &types.Oauth2ProviderConfigInputMemberLinkedinOauth2ProviderConfig{Value: types.LinkedinOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret}}
	default:
		return vendor, &types.Oauth2ProviderConfigInputMemberIncludedOauth2ProviderConfig{Value: types.IncludedOauth2ProviderConfigInput{ClientId: id, ClientSecret: &secret, Issuer: optional(in.issuer)}}
	}
}

// kept is a credential provider as it is listed.
type kept struct {
	Name    string    `json:"name"`
	Vendor  string    `json:"vendor"` // ApiKey, or the OAuth2 vendor
	ARN     string    `json:"credentialProviderArn"`
	Updated time.Time `json:"lastUpdatedTime"`
}

func (c *client) keptCredentials(ctx context.Context) (out []kept, err error) {
	keys := control.NewListApiKeyCredentialProvidersPaginator(c.control, &control.ListApiKeyCredentialProvidersInput{})
	for keys.HasMorePages() {
		page, err := keys.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.CredentialProviders {
			out = append(out, kept{aws.ToString(p.Name), "ApiKey", aws.ToString(p.CredentialProviderArn), aws.ToTime(p.LastUpdatedTime)})
		}
	}
	clients := control.NewListOauth2CredentialProvidersPaginator(c.control, &control.ListOauth2CredentialProvidersInput{})
	for clients.HasMorePages() {
		page, err := clients.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.CredentialProviders {
			out = append(out, kept{aws.ToString(p.Name), string(p.CredentialProviderVendor), aws.ToString(p.CredentialProviderArn), aws.ToTime(p.LastUpdatedTime)})
		}
	}
	return out, nil
}

func (a *app) listCredentials(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	all, err := c.keptCredentials(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(map[string]any{"credentialProviders": append([]kept{}, all...)})
	}
	t := table{head: []string{"NAME", "KIND", "UPDATED"}}
	for _, p := range all {
		t.add(p.Name, p.Vendor, ago(p.Updated, time.Now()))
	}
	a.ui.table(t)
	return nil
}

func (a *app) credentialsDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Delete a credential provider, its secret, and the tokens that came of it", Args: arguments(cobra.ExactArgs(1)),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		_, err = c.control.DeleteApiKeyCredentialProvider(cmd.Context(), &control.DeleteApiKeyCredentialProviderInput{Name: &args[0]})
		if isNotFound(err) {
			_, err = c.control.DeleteOauth2CredentialProvider(cmd.Context(), &control.DeleteOauth2CredentialProviderInput{Name: &args[0]})
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.ui.object(map[string]string{"deleted": args[0]})
		}
		a.ui.printf("deleted the credentials %s\n", args[0])
		return nil
	}
	return cmd
}
