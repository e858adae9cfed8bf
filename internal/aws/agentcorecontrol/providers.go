package agentcorecontrol

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/vault"
)

type credentials struct{ *vault.Vault }

// ServeVault adds the credential providers of the token vault to svc.
func ServeVault(svc *wire.Service, v *vault.Vault) {
	h := credentials{v}
	wire.Handle(svc, CreateApiKeyCredentialProvider, h.createKey)
	wire.Handle(svc, GetApiKeyCredentialProvider, h.getKey)
	wire.Handle(svc, UpdateApiKeyCredentialProvider, h.updateKey)
	wire.Handle(svc, DeleteApiKeyCredentialProvider, h.deleteKey)
	wire.Handle(svc, ListApiKeyCredentialProviders, h.listKeys)
	wire.Handle(svc, CreateOauth2CredentialProvider, h.createClient)
	wire.Handle(svc, GetOauth2CredentialProvider, h.getClient)
	wire.Handle(svc, UpdateOauth2CredentialProvider, h.updateClient)
	wire.Handle(svc, DeleteOauth2CredentialProvider, h.deleteClient)
	wire.Handle(svc, ListOauth2CredentialProviders, h.listClients)
	wire.Handle(svc, GetTokenVault, h.vault)
	wire.Handle(svc, SetTokenVaultCMK, h.setKey)
}

// vault describes the one that there is.
func (h credentials) vault(ctx context.Context, in *GetTokenVaultInput) (*GetTokenVaultOutput, error) {
	if err := onlyVault(in.TokenVaultId); err != nil {
		return nil, err
	}
	w, err := h.Wrapping(ctx)
	if err != nil {
		return nil, err
	}
	return &GetTokenVaultOutput{TokenVaultId: vault.ID, KmsConfiguration: kmsConfiguration(w), LastModifiedDate: w.Changed}, nil
}

// setKey answers once new secrets are under the key; the others follow.
func (h credentials) setKey(ctx context.Context, in *SetTokenVaultCMKInput) (*SetTokenVaultCMKOutput, error) {
	if err := onlyVault(in.TokenVaultId); err != nil {
		return nil, err
	}
	arn := value(in.KmsConfiguration.KmsKeyArn)
	switch own := in.KmsConfiguration.KeyType == KeyTypeServiceManagedKey; {
	case own && arn != "":
		return nil, invalid("kmsConfiguration.kmsKeyArn", "kmsKeyArn goes with the keyType CustomerManagedKey alone")
	case !own && arn == "":
		return nil, invalid("kmsConfiguration.kmsKeyArn", "kmsKeyArn must be set with the keyType CustomerManagedKey")
	}
	if err := h.SetKey(ctx, arn); err != nil {
		return nil, err
	}
	w, err := h.Wrapping(ctx)
	if err != nil {
		return nil, err
	}
	return &SetTokenVaultCMKOutput{TokenVaultId: vault.ID, KmsConfiguration: kmsConfiguration(w), LastModifiedDate: w.Changed}, nil
}

func onlyVault(id *string) error {
	if id := value(id); id != "" && id != vault.ID {
		return moorage.Errorf(moorage.NotFound, "no token vault is named %q; there is one, %q", id, vault.ID)
	}
	return nil
}

func kmsConfiguration(w vault.Wrapping) KmsConfiguration {
	if w.Own {
		return KmsConfiguration{KeyType: KeyTypeServiceManagedKey}
	}
	return KmsConfiguration{KeyType: KeyTypeCustomerManagedKey, KmsKeyArn: &w.Key}
}

// noExternal refuses secrets that are kept elsewhere.
func noExternal(member string, source SecretSourceType, config *SecretReference) error {
	if source == SecretSourceTypeExternal || config != nil {
		return invalid(member, "secrets kept elsewhere are not supported by Moorage: give the secret itself, which is kept sealed")
	}
	return nil
}

func apiKey(member string, key *string, source SecretSourceType, config *SecretReference) (string, error) {
	if err := noExternal(member, source, config); err != nil {
		return "", err
	}
	if value(key) == "" {
		return "", invalid(member, "%s must be set", member)
	}
	return *key, nil
}

func (h credentials) createKey(ctx context.Context, in *CreateApiKeyCredentialProviderInput) (*CreateApiKeyCredentialProviderOutput, error) {
	key, err := apiKey("apiKey", in.ApiKey, in.ApiKeySecretSource, in.ApiKeySecretConfig)
	if err != nil {
		return nil, err
	}
	p, err := h.Create(ctx, vault.Provider{Kind: vault.APIKey, Name: in.Name}, key, in.Tags)
	if err != nil {
		return nil, err
	}
	return &CreateApiKeyCredentialProviderOutput{
		ApiKeySecretArn: h.secret(p), ApiKeySecretSource: SecretSourceTypeManaged, Name: p.Name, CredentialProviderArn: h.ARN(*p),
	}, nil
}

func (h credentials) secret(p *vault.Provider) Secret { return Secret{SecretArn: h.SecretARN(*p)} }

func (h credentials) getKey(_ context.Context, in *GetApiKeyCredentialProviderInput) (*GetApiKeyCredentialProviderOutput, error) {
	p, err := h.Provider(vault.APIKey, in.Name)
	if err != nil {
		return nil, err
	}
	return &GetApiKeyCredentialProviderOutput{
		ApiKeySecretArn: h.secret(p), ApiKeySecretSource: SecretSourceTypeManaged, Name: p.Name, CredentialProviderArn: h.ARN(*p),
		CreatedTime: p.CreatedAt, LastUpdatedTime: p.UpdatedAt,
	}, nil
}

func (h credentials) updateKey(ctx context.Context, in *UpdateApiKeyCredentialProviderInput) (*UpdateApiKeyCredentialProviderOutput, error) {
	key, err := apiKey("apiKey", in.ApiKey, in.ApiKeySecretSource, in.ApiKeySecretConfig)
	if err != nil {
		return nil, err
	}
	p, err := h.Update(ctx, vault.Provider{Kind: vault.APIKey, Name: in.Name}, key)
	if err != nil {
		return nil, err
	}
	return &UpdateApiKeyCredentialProviderOutput{
		ApiKeySecretArn: h.secret(p), ApiKeySecretSource: SecretSourceTypeManaged, Name: p.Name, CredentialProviderArn: h.ARN(*p),
		CreatedTime: p.CreatedAt, LastUpdatedTime: p.UpdatedAt,
	}, nil
}

func (h credentials) deleteKey(ctx context.Context, in *DeleteApiKeyCredentialProviderInput) (*DeleteApiKeyCredentialProviderOutput, error) {
	return &DeleteApiKeyCredentialProviderOutput{}, h.Delete(ctx, vault.APIKey, in.Name)
}

func (h credentials) listKeys(_ context.Context, in *ListApiKeyCredentialProvidersInput) (*ListApiKeyCredentialProvidersOutput, error) {
	page, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &ListApiKeyCredentialProvidersOutput{CredentialProviders: []ApiKeyCredentialProviderItem{}}
	var found []*vault.Provider
	found, out.NextToken = cut(h.List(vault.APIKey, page.after), page, nameOf)
	for _, p := range found {
		out.CredentialProviders = append(out.CredentialProviders, ApiKeyCredentialProviderItem{
			Name: p.Name, CredentialProviderArn: h.ARN(*p), CreatedTime: p.CreatedAt, LastUpdatedTime: p.UpdatedAt,
		})
	}
	return out, nil
}

func nameOf(p *vault.Provider) string { return p.Name }

func (h credentials) createClient(ctx context.Context, in *CreateOauth2CredentialProviderInput) (*CreateOauth2CredentialProviderOutput, error) {
	client, secret, err := clientOf(in.CredentialProviderVendor, in.Oauth2ProviderConfigInput)
	if err != nil {
		return nil, err
	}
	p, err := h.Create(ctx, vault.Provider{Kind: vault.OAuth2, Name: in.Name, Client: client}, secret, in.Tags)
	if err != nil {
		return nil, err
	}
	config, err := configOf(p.Client)
	return &CreateOauth2CredentialProviderOutput{
		ClientSecretArn: h.secret(p), ClientSecretSource: SecretSourceTypeManaged, Name: p.Name, CredentialProviderArn: h.ARN(*p),
		CallbackUrl: optional(h.CallbackURL(*p)), Oauth2ProviderConfigOutput: &config, Status: StatusReady,
	}, err
}

func (h credentials) getClient(_ context.Context, in *GetOauth2CredentialProviderInput) (*GetOauth2CredentialProviderOutput, error) {
	p, err := h.Provider(vault.OAuth2, in.Name)
	if err != nil {
		return nil, err
	}
	config, err := configOf(p.Client)
	return &GetOauth2CredentialProviderOutput{
		ClientSecretArn: h.secret(p), ClientSecretSource: SecretSourceTypeManaged, Name: p.Name, CredentialProviderArn: h.ARN(*p),
		CredentialProviderVendor: CredentialProviderVendorType(p.Client.Vendor), CallbackUrl: optional(h.CallbackURL(*p)),
		Oauth2ProviderConfigOutput: config, CreatedTime: p.CreatedAt, LastUpdatedTime: p.UpdatedAt, Status: StatusReady,
	}, err
}

func (h credentials) updateClient(ctx context.Context, in *UpdateOauth2CredentialProviderInput) (*UpdateOauth2CredentialProviderOutput, error) {
	client, secret, err := clientOf(in.CredentialProviderVendor, in.Oauth2ProviderConfigInput)
	if err != nil {
		return nil, err
	}
	p, err := h.Update(ctx, vault.Provider{Kind: vault.OAuth2, Name: in.Name, Client: client}, secret)
	if err != nil {
		return nil, err
	}
	config, err := configOf(p.Client)
	return &UpdateOauth2CredentialProviderOutput{
		ClientSecretArn: h.secret(p), ClientSecretSource: SecretSourceTypeManaged, Name: p.Name, CredentialProviderArn: h.ARN(*p),
		CredentialProviderVendor: CredentialProviderVendorType(p.Client.Vendor), CallbackUrl: optional(h.CallbackURL(*p)),
		Oauth2ProviderConfigOutput: config, CreatedTime: p.CreatedAt, LastUpdatedTime: p.UpdatedAt, Status: StatusReady,
	}, err
}

func (h credentials) deleteClient(ctx context.Context, in *DeleteOauth2CredentialProviderInput) (*DeleteOauth2CredentialProviderOutput, error) {
	return &DeleteOauth2CredentialProviderOutput{}, h.Delete(ctx, vault.OAuth2, in.Name)
}

func (h credentials) listClients(_ context.Context, in *ListOauth2CredentialProvidersInput) (*ListOauth2CredentialProvidersOutput, error) {
	page, err := pageOf(in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	if in.MaxResults == nil {
		page.size = maxIdentityPage
	}
	out := &ListOauth2CredentialProvidersOutput{CredentialProviders: []Oauth2CredentialProviderItem{}}
	var found []*vault.Provider
	found, out.NextToken = cut(h.List(vault.OAuth2, page.after), page, nameOf)
	for _, p := range found {
		out.CredentialProviders = append(out.CredentialProviders, Oauth2CredentialProviderItem{
			Name: p.Name, CredentialProviderVendor: CredentialProviderVendorType(p.Client.Vendor), CredentialProviderArn: h.ARN(*p),
			CreatedTime: p.CreatedAt, LastUpdatedTime: p.UpdatedAt,
		})
	}
	return out, nil
}

const configMember = "oauth2ProviderConfigInput"

// named are the vendors that have a member of their own in the unions; all others share one.
var named = []string{"custom", "google", "github", "slack", "salesforce", "microsoft", "atlassian", "linkedin"}

// memberOf is the union's member for a vendor: googleOauth2ProviderConfig for GoogleOauth2.
func memberOf(vendor string) string {
	name := strings.ToLower(strings.TrimSuffix(vendor, "Oauth2"))
	if !slices.Contains(named, name) {
		name = "included"
	}
	return name + "Oauth2ProviderConfig"
}

// knownClient is what the configurations of all known vendors have.
type knownClient struct {
	ClientId              string           `json:"clientId"`
	ClientSecret          string           `json:"clientSecret"`
	ClientSecretConfig    *SecretReference `json:"clientSecretConfig"`
	ClientSecretSource    SecretSourceType `json:"clientSecretSource"`
	TenantId              string           `json:"tenantId"`
	Issuer                string           `json:"issuer"`
	AuthorizationEndpoint string           `json:"authorizationEndpoint"`
	TokenEndpoint         string           `json:"tokenEndpoint"`
}

// clientOf reads a client and its secret from the union's member for the vendor.
func clientOf(vendor CredentialProviderVendorType, in Oauth2ProviderConfigInput) (c vault.Client, secret string, err error) {
	doc, err := json.Marshal(in)
	if err != nil {
		return c, "", err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		return c, "", err
	}
	member := memberOf(string(vendor))
	if len(members) != 1 || members[member] == nil {
		return c, "", invalid(configMember, "credentialProviderVendor %s wants the member %s, and no other", vendor, member)
	}
	if in.CustomOauth2ProviderConfig != nil {
		return customClient(in.CustomOauth2ProviderConfig)
	}
	var k knownClient
	if err := json.Unmarshal(members[member], &k); err != nil {
		return c, "", err
	}
	if err := noExternal(configMember+"."+member+".clientSecretSource", k.ClientSecretSource, k.ClientSecretConfig); err != nil {
		return c, "", err
	}
	c, err = vault.VendorServer(vault.Client{
		Vendor: string(vendor), ID: k.ClientId, Tenant: k.TenantId,
		Server: vault.Server{Issuer: k.Issuer, Authorization: k.AuthorizationEndpoint, Token: k.TokenEndpoint},
	})
	return c, k.ClientSecret, err
}

const customMember = configMember + ".customOauth2ProviderConfig"

func customClient(in *CustomOauth2ProviderConfigInput) (c vault.Client, secret string, err error) {
	if err := noExternal(customMember+".clientSecretSource", in.ClientSecretSource, in.ClientSecretConfig); err != nil {
		return c, "", err
	}
	c = vault.Client{Vendor: string(CredentialProviderVendorTypeCustomOauth2), ID: value(in.ClientId)}
	if c.Certificate, err = certificateOf(customMember, in.CertificateConfigurations); err != nil {
		return c, "", err
	}
	c.Private, c.Overrides = privatelyOf(in.PrivateEndpoint, in.PrivateEndpointOverrides)
	if c.Server, err = serverOf(in.OauthDiscovery); err != nil {
		return c, "", err
	}
	if c.AuthPost, err = authPost(in); err != nil {
		return c, "", err
	}
	c.OnBehalf, err = onBehalfOf(in.OnBehalfOfTokenExchangeConfig)
	return c, value(in.ClientSecret), err
}

func serverOf(in Oauth2Discovery) (vault.Server, error) {
	switch m := in.AuthorizationServerMetadata; {
	case in.DiscoveryUrl != nil:
		return vault.Server{DiscoveryURL: *in.DiscoveryUrl}, nil
	case m != nil:
		return vault.Server{Issuer: m.Issuer, Authorization: m.AuthorizationEndpoint, Token: m.TokenEndpoint, ResponseTypes: m.ResponseTypes}, nil
	}
	return vault.Server{}, invalid(customMember+".oauthDiscovery", "one of discoveryUrl and authorizationServerMetadata must be set")
}

// authPost reports whether the client's secret goes into the form.
func authPost(in *CustomOauth2ProviderConfigInput) (bool, error) {
	method := string(in.ClientAuthenticationMethod)
	if m := in.OauthDiscovery.AuthorizationServerMetadata; m != nil && len(m.TokenEndpointAuthMethods) > 0 {
		if method != "" {
			return false, invalid(customMember+".clientAuthenticationMethod", "give clientAuthenticationMethod or tokenEndpointAuthMethods, not both")
		}
		method = strings.ToUpper(m.TokenEndpointAuthMethods[0])
	}
	switch method {
	case "", string(ClientAuthenticationMethodTypeClientSecretBasic):
		return false, nil
	case string(ClientAuthenticationMethodTypeClientSecretPost):
		return true, nil
	}
	return false, invalid(customMember+".clientAuthenticationMethod", "%s is not supported by Moorage: use CLIENT_SECRET_BASIC or CLIENT_SECRET_POST", method)
}

func onBehalfOf(in *OnBehalfOfTokenExchangeConfigType) (*vault.OnBehalf, error) {
	if in == nil {
		return nil, nil
	}
	out := &vault.OnBehalf{Grant: string(in.GrantType)}
	if t := in.TokenExchangeGrantTypeConfig; t != nil {
		if t.ActorTokenContent == ActorTokenContentTypeAwsIamIdTokenJwt {
			return nil, invalid(customMember+".onBehalfOfTokenExchangeConfig", "actorTokenContent AWS_IAM_ID_TOKEN_JWT is not supported by Moorage: use NONE or M2M")
		}
		out.Actor, out.ActorScopes = string(t.ActorTokenContent), t.ActorTokenScopes
	}
	return out, nil
}

// configOf is a client as it is shown: without its secret, with the endpoints of its vendor.
func configOf(c vault.Client) (out Oauth2ProviderConfigOutput, err error) {
	discovery := Oauth2Discovery{DiscoveryUrl: optional(c.Server.DiscoveryURL)}
	if c.Server.DiscoveryURL == "" {
		discovery.AuthorizationServerMetadata = &Oauth2AuthorizationServerMetadata{
			Issuer: c.Server.Issuer, AuthorizationEndpoint: c.Server.Authorization, TokenEndpoint: c.Server.Token, ResponseTypes: c.Server.ResponseTypes,
		}
	}
	if c.Vendor == string(CredentialProviderVendorTypeCustomOauth2) {
		out.CustomOauth2ProviderConfig = &CustomOauth2ProviderConfigOutput{
			OauthDiscovery: discovery, ClientId: optional(c.ID), ClientAuthenticationMethod: ClientAuthenticationMethodTypeClientSecretBasic, OnBehalfOfTokenExchangeConfig: onBehalfShown(c.OnBehalf),
		}
		custom := out.CustomOauth2ProviderConfig
		custom.CertificateConfigurations = certificatesOf(c.Certificate)
		custom.PrivateEndpoint, custom.PrivateEndpointOverrides = endpointsOf(c.Private, c.Overrides)
		if c.AuthPost {
			custom.ClientAuthenticationMethod = ClientAuthenticationMethodTypeClientSecretPost
		}
		return out, nil
	}
	doc, err := json.Marshal(map[string]any{memberOf(c.Vendor): map[string]any{"oauthDiscovery": discovery, "clientId": c.ID}})
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(doc, &out); err != nil {
		return out, fmt.Errorf("show a client of %s: %w", c.Vendor, err)
	}
	return out, nil
}

func onBehalfShown(o *vault.OnBehalf) *OnBehalfOfTokenExchangeConfigType {
	if o == nil {
		return nil
	}
	out := &OnBehalfOfTokenExchangeConfigType{GrantType: OnBehalfOfTokenExchangeGrantTypeType(o.Grant)}
	if o.Actor != "" {
		out.TokenExchangeGrantTypeConfig = &TokenExchangeGrantTypeConfigType{ActorTokenContent: ActorTokenContentType(o.Actor), ActorTokenScopes: o.ActorScopes}
	}
	return out
}
