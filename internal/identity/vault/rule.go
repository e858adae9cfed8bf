package vault

import (
	"cmp"
	"context"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/workload"
)

// Tags of a credential provider. A tag that begins with TagInject holds one rule; those of several rules go on with
// a colon and anything.
const (
	TagInject       = "moorage:inject"        // [METHOD ...] HOST[:PORT][/PATH]
	TagInjectScopes = "moorage:inject-scopes" // of tokens of OAuth2 clients, apart by spaces
)

// Rule says which calls get a provider's credential in place of the placeholder.
type Rule struct {
	Methods []string `json:"methods,omitempty"` // empty is any
	Host    string   `json:"host"`              // in lower case
	Port    uint16   `json:"port"`
	Path    string   `json:"path,omitempty"` // empty is any; one that ends with a slash is all below it
}

const httpsPort = 443

// parseRule reads a rule such as "GET POST api.example.com/v1/".
func parseRule(text string) (r Rule, err error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return r, errRule(text)
	}
	r.Methods, r.Path = words[:len(words)-1], ""
	for _, m := range r.Methods {
		if m != strings.ToUpper(m) || strings.ContainsAny(m, "./:") {
			return r, errRule(text)
		}
	}
	address, rest, found := strings.Cut(words[len(words)-1], "/")
	if found {
		r.Path = "/" + rest
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, strconv.Itoa(httpsPort)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	r.Host, r.Port = strings.ToLower(host), uint16(n)
	if err != nil || n == 0 || host == "" || strings.ContainsAny(host, "*:[]") || net.ParseIP(host) != nil {
		return r, errRule(text)
	}
	return r, nil
}

func errRule(text string) error {
	message := "the rule \"" + text + "\" is not [METHOD ...] HOST[:PORT][/PATH], such as GET api.example.com/v1/, with a host's whole name"
	return &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: "tags", Message: message}}}
}

// Permits reports whether a call gets the credential. A path that is not in its plain form, with dots, empty
// parts or an escaped slash, is none: what the host makes of it is not known.
func (r Rule) Permits(method, host string, port uint16, escapedPath string) bool {
	if r.Host != host || r.Port != port || len(r.Methods) > 0 && !slices.Contains(r.Methods, method) {
		return false
	}
	if r.Path == "" {
		return true
	}
	clean := path.Clean(escapedPath)
	if strings.HasSuffix(escapedPath, "/") && clean != "/" {
		clean += "/"
	}
	if clean != escapedPath || strings.Contains(escapedPath, "%") || strings.Contains(escapedPath, "\\") {
		return false
	}
	return escapedPath == r.Path || strings.HasSuffix(r.Path, "/") && strings.HasPrefix(escapedPath, r.Path)
}

// rulesOf reads a provider's rules from its tags.
func rulesOf(tags map[string]string) (rules []Rule, scopes []string, err error) {
	for key, value := range tags {
		if key != TagInject && !strings.HasPrefix(key, TagInject+":") {
			continue
		}
		r, err := parseRule(value)
		if err != nil {
			return nil, nil, err
		}
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path)) })
	return rules, strings.Fields(tags[TagInjectScopes]), nil
}

// Brokered reports whether any provider has a rule for a host.
func (v *Vault) Brokered(host string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, p := range v.providers {
		for _, r := range p.Rules {
			if r.Host == host {
				return true
			}
		}
	}
	return false
}

// Injected returns the credential that a workload's call to a host gets in place of the placeholder of the
// provider with the given name; false where no rule permits it. An API key goes before a client of the
// same name.
func (v *Vault) Injected(ctx context.Context, g workload.Grant, name, method, host string, port uint16, escapedPath string) (secret string, ok bool, err error) {
	for _, kind := range []Kind{APIKey, OAuth2} {
		p, err := v.Provider(kind, name)
		if err != nil || !slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Permits(method, host, port, escapedPath) }) {
			continue
		}
		if kind == APIKey {
			if err := v.release(ctx, g, p, FlowAPIKey, true); err != nil {
				return "", false, err
			}
			secret, err := v.secretOf(ctx, p)
			return secret, err == nil, err
		}
		if err := v.release(ctx, g, p, FlowM2M, true); err != nil {
			return "", false, err
		}
		answer, err := v.machine(ctx, g, p, Request{Scopes: sorted(p.InjectScopes)})
		return answer.AccessToken, err == nil, err
	}
	return "", false, nil
}
