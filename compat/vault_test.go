package compat

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
)

// keepsKey makes an API key provider of a name that no other test has.
func (s *server) keepsKey(t *testing.T, key string) (name string) {
	t.Helper()
	name = fmt.Sprintf("key-%d", time.Now().UnixNano())
	_, err := s.control().CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{Name: &name, ApiKey: &key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.control().DeleteApiKeyCredentialProvider(context.Background(), &control.DeleteApiKeyCredentialProviderInput{Name: &name})
	})
	return name
}

// keepsClient makes an OAuth2 provider of a client at p.
func (s *server) keepsClient(t *testing.T, p openIDProvider, id, secret string, change func(*controltypes.CustomOauth2ProviderConfigInput)) (name, callback string) {
	t.Helper()
	name = fmt.Sprintf("client-%d", time.Now().UnixNano())
	config := controltypes.CustomOauth2ProviderConfigInput{
		ClientId: &id, ClientSecret: &secret, OauthDiscovery: &controltypes.Oauth2DiscoveryMemberDiscoveryUrl{Value: p.discovery()},
	}
	if change != nil {
		change(&config)
	}
	made, err := s.control().CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: &name, CredentialProviderVendor: controltypes.CredentialProviderVendorTypeCustomOauth2,
		Oauth2ProviderConfigInput: &controltypes.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: config},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.control().DeleteOauth2CredentialProvider(context.Background(), &control.DeleteOauth2CredentialProviderInput{Name: &name})
	})
	return name, *made.CallbackUrl
}

func TestVault_agentsGetKeysAndTokensByTheSDKsDecorators(t *testing.T) {
	s, p := shared(t), newOpenIDProvider(t)
	a := s.deployed(t, identityAgent)
	key := s.keepsKey(t, "sk-canary-of-the-vault")
	client, _ := s.keepsClient(t, p, "sid1", "verysecret", nil)
	wrong, _ := s.keepsClient(t, p, "sid1", "another-secret-canary", nil)
	session := newSession(t)
	ask := func(session string, in map[string]any) (out struct{ Key, Token, URL, Error, Message string }) {
		t.Helper()
		if err := a.callAs(t.Context(), session, "ann", in, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := ask(session, doing("key", "provider", key)); got.Key != "sk-canary-of-the-vault" {
		t.Errorf("@requires_api_key gave %+v", got)
	}
	first := ask(session, doing("access", "provider", client, "flow", "M2M", "scopes", []string{"openid"}))
	if strings.Count(first.Token, ".") != 2 {
		t.Fatalf("@requires_access_token gave %+v", first)
	}
	if again := ask(session, doing("access", "provider", client, "flow", "M2M", "scopes", []string{"openid"})); again.Token != first.Token {
		t.Error("a token that was live was asked for anew")
	}
	if other := ask(session, doing("access", "provider", client, "flow", "M2M", "scopes", []string{"openid", "profile"})); other.Token == first.Token {
		t.Error("other scopes got the same token")
	}
	got := ask(session, doing("access", "provider", wrong, "flow", "M2M", "scopes", []string{"openid"}))
	if got.Error != "ValidationException" || !strings.Contains(got.Message, "refuses") || strings.Contains(got.Message, "canary") {
		t.Errorf("a wrong secret: %+v", got)
	}
	if got := ask(session, doing("key", "provider", "none")); got.Error != "ResourceNotFoundException" {
		t.Errorf("a provider that is not there: %+v", got)
	}
	mine := ask(session, doing("token")).Token
	if got := ask(newSession(t), doing("redeem", "provider", key, "token", mine)); got.Error != "AccessDeniedException" || !strings.Contains(got.Message, "only inside the session") {
		t.Errorf("in another session: %+v", got)
	}
	_, err := s.data().GetResourceApiKey(t.Context(), &data.GetResourceApiKeyInput{WorkloadIdentityToken: &mine, ResourceCredentialProviderName: &key})
	wantWords(t, wantError(t, err, "AccessDeniedException"), "only inside the session")
	if got := ask(session, doing("mint", "name", a.name())); got.Error != "AccessDeniedException" {
		t.Errorf("an agent that makes tokens: %+v", got)
	}

	name := fmt.Sprintf("alone-%d", time.Now().UnixNano())
	if _, err := s.control().CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: &name}); err != nil {
		t.Fatal(err)
	}
	token, err := s.data().GetWorkloadAccessToken(t.Context(), &data.GetWorkloadAccessTokenInput{WorkloadName: &name})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.data().GetResourceApiKey(t.Context(), &data.GetResourceApiKeyInput{WorkloadIdentityToken: token.WorkloadAccessToken, ResourceCredentialProviderName: &key})
	if err != nil || *answer.ApiKey != "sk-canary-of-the-vault" {
		t.Errorf("an identity of a caller: %v, %v", answer, err)
	}

	s.fetchesAreSeen(t, a, session, key, client)
	record, err := s.cli(t.Context(), "audit", "list", "--kind", "release", "--json")
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, record, "bedrock-agentcore:GetResourceApiKey", "bedrock-agentcore:GetResourceOauth2Token", "apikeycredentialprovider/"+key, "id ann")
	if strings.Contains(record, "canary") {
		t.Error("the audit record holds a secret")
	}
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if got := ask(session, doing("key", "provider", key)); got.Key != "sk-canary-of-the-vault" {
		t.Errorf("after a restart: %+v", got)
	}
}

// fetchesAreSeen holds that what an agent fetched from the vault is in its calls' traces, and counted as AgentCore counts it.
func (s *server) fetchesAreSeen(t *testing.T, a *agent, session, key, client string) {
	t.Helper()
	want := map[string]bool{"GetResourceAPIKey": true, "GetResourceOAuth2Token": true, "GetResourceAPIKey failed": true}
	s.traceOf(t, session, 30*time.Second, func(st sessionTrace) bool {
		left := maps.Clone(want)
		for _, tr := range st.Traces {
			for _, span := range tr.Spans {
				if span.ParentID != "" && span.Error != "" {
					delete(left, span.Name+" failed")
				} else if span.ParentID != "" {
					delete(left, span.Name)
				}
			}
		}
		return len(left) == 0
	})
	for name, dimensions := range map[string]string{
		"ApiKeyFetchSuccess":              "Name=ProviderName,Value=" + key,
		"ResourceAccessTokenFetchSuccess": "Name=ProviderName,Value=" + client + " Name=Type,Value=M2M",
	} {
		args := []string{"cloudwatch", "get-metric-statistics", "--namespace", "AWS/Bedrock-AgentCore", "--metric-name", name, "--statistics", "Sum", "--period", "3600",
			"--start-time", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "--end-time", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "--output", "json",
			"--dimensions", "Name=WorkloadIdentity,Value=" + a.name(), "Name=WorkloadIdentityDirectory,Value=default", "Name=TokenVault,Value=default"}
		eventually(t, 10*time.Second, name+" is counted", func() bool {
			out, err := s.awsCLI(t, append(args, strings.Fields(dimensions)...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return strings.Contains(string(out), `"Sum"`)
		})
	}
}

func TestVault_providersOfEveryVendor(t *testing.T) {
	s := shared(t)
	c := s.control()
	for _, vendor := range controltypes.CredentialProviderVendorType("").Values() {
		name := "vendor-" + string(vendor)
		config := vendorConfig(vendor)
		made, err := c.CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{Name: &name, CredentialProviderVendor: vendor, Oauth2ProviderConfigInput: config})
		if err != nil {
			t.Errorf("%s: %v", vendor, err)
			continue
		}
		if !strings.HasPrefix(*made.CallbackUrl, s.client.Endpoint+"/identities/oauth2/callback/") || made.Oauth2ProviderConfigOutput == nil {
			t.Errorf("%s: %s %+v", vendor, *made.CallbackUrl, made.Oauth2ProviderConfigOutput)
		}
		got, err := c.GetOauth2CredentialProvider(t.Context(), &control.GetOauth2CredentialProviderInput{Name: &name})
		if err != nil || got.CredentialProviderVendor != vendor || got.CallbackUrl == nil || *got.CallbackUrl != *made.CallbackUrl {
			t.Errorf("%s: %+v, %v", vendor, got, err)
		}
		if _, err := c.DeleteOauth2CredentialProvider(t.Context(), &control.DeleteOauth2CredentialProviderInput{Name: &name}); err != nil {
			t.Errorf("%s: %v", vendor, err)
		}
	}
	tenant := "contoso"
	made, err := c.CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("of-a-tenant"), CredentialProviderVendor: controltypes.CredentialProviderVendorTypeMicrosoftOauth2,
		Oauth2ProviderConfigInput: &controltypes.Oauth2ProviderConfigInputMemberMicrosoftOauth2ProviderConfig{Value: controltypes.MicrosoftOauth2ProviderConfigInput{ClientId: aws.String("id"), ClientSecret: aws.String("s"), TenantId: &tenant}},
	})
	if err != nil {
		t.Fatal(err)
	}
	shown := made.Oauth2ProviderConfigOutput.(*controltypes.Oauth2ProviderConfigOutputMemberMicrosoftOauth2ProviderConfig)
	discovery := shown.Value.OauthDiscovery.(*controltypes.Oauth2DiscoveryMemberAuthorizationServerMetadata)
	if *discovery.Value.TokenEndpoint != "https://login.microsoftonline.com/contoso/oauth2/v2.0/token" {
		t.Errorf("the tenant's tokens come from %s", *discovery.Value.TokenEndpoint)
	}
	c.DeleteOauth2CredentialProvider(t.Context(), &control.DeleteOauth2CredentialProviderInput{Name: aws.String("of-a-tenant")})
	_, err = c.CreateOauth2CredentialProvider(t.Context(), &control.CreateOauth2CredentialProviderInput{
		Name: aws.String("mixed"), CredentialProviderVendor: controltypes.CredentialProviderVendorTypeSlackOauth2, Oauth2ProviderConfigInput: vendorConfig(controltypes.CredentialProviderVendorTypeGithubOauth2),
	})
	wantWords(t, wantError(t, err, "ValidationException"), "slackOauth2ProviderConfig")
}

// vendorConfig is a client at a vendor, in the member that the vendor has.
func vendorConfig(vendor controltypes.CredentialProviderVendorType) controltypes.Oauth2ProviderConfigInput {
	id, secret := aws.String("id"), aws.String("secret")
	switch vendor {
	case controltypes.CredentialProviderVendorTypeCustomOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberCustomOauth2ProviderConfig{Value: controltypes.CustomOauth2ProviderConfigInput{
			ClientId: id, ClientSecret: secret, OauthDiscovery: &controltypes.Oauth2DiscoveryMemberDiscoveryUrl{Value: "https://idp.example/.well-known/openid-configuration"},
		}}
	case controltypes.CredentialProviderVendorTypeGoogleOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberGoogleOauth2ProviderConfig{Value: controltypes.GoogleOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret}}
	case controltypes.CredentialProviderVendorTypeGithubOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberGithubOauth2ProviderConfig{Value: controltypes.GithubOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret}}
	case controltypes.CredentialProviderVendorTypeSlackOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberSlackOauth2ProviderConfig{Value: controltypes.SlackOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret}}
	case controltypes.CredentialProviderVendorTypeSalesforceOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberSalesforceOauth2ProviderConfig{Value: controltypes.SalesforceOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret}}
	case controltypes.CredentialProviderVendorTypeMicrosoftOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberMicrosoftOauth2ProviderConfig{Value: controltypes.MicrosoftOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret}}
	case controltypes.CredentialProviderVendorTypeAtlassianOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberAtlassianOauth2ProviderConfig{Value: controltypes.AtlassianOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret}}
	case controltypes.CredentialProviderVendorTypeLinkedinOauth2:
		return &controltypes.Oauth2ProviderConfigInputMemberLinkedinOauth2ProviderConfig{Value: controltypes.LinkedinOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret}}
	}
	return &controltypes.Oauth2ProviderConfigInputMemberIncludedOauth2ProviderConfig{Value: controltypes.IncludedOauth2ProviderConfigInput{ClientId: id, ClientSecret: secret, Issuer: aws.String("https://own.example")}}
}

func TestVault_commands(t *testing.T) {
	s := shared(t)
	run := func(secret string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), s.bin, append([]string{"--dir", s.dir, "credentials"}, args...)...)
		cmd.Stdin = strings.NewReader(secret)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	wantWords(t, run("sk-weather\n", "create", "cli-weather"), "kept the API key cli-weather", "apikeycredentialprovider/cli-weather")
	wantWords(t, run("hush", "create", "cli-mail", "--vendor", "OktaOauth2", "--issuer", "https://own.okta.example", "--client-id", "x"), "callback URL to register", "/identities/oauth2/callback/")
	list := run("", "list")
	wantWords(t, list, "cli-weather", "ApiKey", "cli-mail", "OktaOauth2")
	if strings.Contains(list, "sk-weather") || strings.Contains(run("", "list", "--json"), "hush") {
		t.Error("a secret is listed")
	}
	wantWords(t, run("", "delete", "cli-weather"), "deleted the credentials cli-weather")
	wantWords(t, run("", "delete", "cli-mail"), "cli-mail")
}
