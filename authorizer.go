package moorage

// JWTAuthorizer says which bearer tokens may call a runtime. At least one of Audience, Clients, Scopes
// and Claims is set; each that is set has to match (AND), by any of its values (OR).
// Source: AgentCore API, CustomJWTAuthorizerConfiguration.
type JWTAuthorizer struct {
	DiscoveryURL string            `json:"discoveryUrl"` // of the provider's OpenID or OAuth metadata
	Audience     []string          `json:"audience,omitempty"`
	Clients      []string          `json:"clients,omitempty"` // against the claim client_id, and no other
	Scopes       []string          `json:"scopes,omitempty"`
	Advertised   map[string]string `json:"advertised,omitempty"` // scope to the name that callers are told
	Claims       []ClaimRule       `json:"claims,omitempty"`
}

// ClaimRule is what one claim of a token has to be. Name is a flat key, dots and colons included.
type ClaimRule struct {
	Name     string   `json:"name"`
	List     bool     `json:"list,omitempty"` // the claim is a list of strings, else a string
	Operator string   `json:"operator"`       // EQUALS, CONTAINS or CONTAINS_ANY
	Values   []string `json:"values"`         // one, but for CONTAINS_ANY
}
