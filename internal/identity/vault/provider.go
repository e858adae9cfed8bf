package vault

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/store"

	_ "embed"
)

// Kind of a credential provider, as ARNs write it.
type Kind string

const (
	APIKey Kind = "apikey"
	OAuth2 Kind = "oauth2"
)

// Provider is a service that agents have credentials for. All but its secret is in the clear. What Create and
// Load return is shared: it is not changed.
type Provider struct {
	Kind       Kind      `json:"kind"`
	Name       string    `json:"name"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	CallbackID string    `json:"callbackId"` // of OAuth2
	Client     Client    `json:"client"`     // of OAuth2

	Rules        []Rule   `json:"rules,omitempty"`        // calls that get the credential in place of a placeholder
	InjectScopes []string `json:"injectScopes,omitempty"` // of the tokens that they get

	once   *sync.Mutex
	opened bool
	plain  string
}

// Client is a client at an OAuth2 provider.
type Client struct {
	Vendor   string `json:"vendor"` // GoogleOauth2, CustomOauth2, …
	ID       string `json:"id"`
	Tenant   string `json:"tenant,omitempty"` // of Microsoft
	Server   Server `json:"server"`
	AuthPost bool   `json:"authPost,omitempty"` // the secret goes into the form, not into Authorization
	// OnBehalf says how to exchange users' tokens; nil where the provider does not.
	OnBehalf *OnBehalf `json:"onBehalf,omitempty"`
	// Private is the way to the server's host where that is on no public network, and Overrides to others that it names.
	Private   *moorage.PrivateEndpoint  `json:"private,omitempty"`
	Overrides []moorage.PrivateOverride `json:"overrides,omitempty"`
	// Certificate is of who signs for those hosts, beside the authorities that are trusted anyway; nil for nobody.
	Certificate *moorage.CertificateRef `json:"certificate,omitempty"`
}

// way is how the server is reached: the host of its discovery document, or else of its token endpoint, is the one that Private is for.
func (v *Vault) way(c Client) bearer.Way {
	return bearer.Way{
		URL: cmp.Or(c.Server.DiscoveryURL, c.Server.Token), Private: c.Private, Overrides: c.Overrides, Certificate: c.Certificate, Read: v.Certificates,
	}
}

// Server is where an authorization server is: by its discovery document, or by its endpoints.
type Server struct {
	DiscoveryURL  string   `json:"discoveryUrl,omitempty"`
	Issuer        string   `json:"issuer,omitempty"`
	Authorization string   `json:"authorization,omitempty"`
	Token         string   `json:"token,omitempty"`
	ResponseTypes []string `json:"responseTypes,omitempty"`
	SendsIssuer   bool     `json:"sendsIssuer,omitempty"` // with the code (RFC 9207)
}

// OnBehalf is how a provider exchanges a user's token for one of its own.
type OnBehalf struct {
	Grant       string   `json:"grant"`           // TOKEN_EXCHANGE (RFC 8693) or JWT_AUTHORIZATION_GRANT (RFC 7523)
	Actor       string   `json:"actor,omitempty"` // NONE, or M2M: the client's own token goes along
	ActorScopes []string `json:"actorScopes,omitempty"`
}

func (p *Provider) id() providerID { return providerID{p.Kind, p.Name} }

func providerOf(row store.CredentialProvider) (*Provider, error) {
	p := &Provider{once: new(sync.Mutex)}
	return p, json.Unmarshal([]byte(row.Document), p)
}

func sortByName(list []*Provider) {
	slices.SortFunc(list, func(a, b *Provider) int { return cmp.Compare(a.Name, b.Name) })
}

// vendorData are the endpoints of the vendors that the API knows by name.
//
//go:embed vendors.json
var vendorData []byte

// vendor is what is known of one.
type vendor struct {
	Issuer, Authorization, Token string
	AuthPost                     bool      // the secret goes into the form
	OwnServers                   bool      // each customer has servers of its own
	OnBehalf                     *OnBehalf // how it exchanges users' tokens, where that is always the same way
}

var vendors = sync.OnceValue(func() map[string]vendor {
	var out map[string]vendor
	if err := json.Unmarshal(vendorData, &out); err != nil {
		panic(err) // the file is part of the program
	}
	return out
})

// VendorServer completes a client of a known vendor with the vendor's endpoints; those that the client names
// itself stay. Errors: Invalid when endpoints are missing that only the customer knows.
func VendorServer(c Client) (Client, error) {
	known, ok := vendors()[c.Vendor]
	if !ok {
		return c, moorage.Errorf(moorage.Invalid, "%s is no vendor that Moorage knows; use CustomOauth2 with its endpoints", c.Vendor)
	}
	tenant := strings.NewReplacer("{tenant}", cmp.Or(c.Tenant, "common"))
	c.Server.Issuer = cmp.Or(c.Server.Issuer, tenant.Replace(known.Issuer))
	c.Server.Authorization = cmp.Or(c.Server.Authorization, tenant.Replace(known.Authorization))
	c.Server.Token = cmp.Or(c.Server.Token, tenant.Replace(known.Token))
	c.AuthPost, c.OnBehalf = known.AuthPost, known.OnBehalf
	if c.Server.Token == "" && known.OwnServers && c.Server.Issuer != "" { // all of these publish their metadata
		c.Server.DiscoveryURL = strings.TrimSuffix(c.Server.Issuer, "/") + "/.well-known/openid-configuration"
		return c, nil
	}
	if c.Server.Issuer == "" || c.Server.Authorization == "" || c.Server.Token == "" {
		return c, moorage.Errorf(moorage.Invalid, "%s has servers of each customer's own: give issuer, or issuer, authorizationEndpoint and tokenEndpoint", c.Vendor)
	}
	return c, nil
}
