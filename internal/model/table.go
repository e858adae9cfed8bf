package model

import (
	"path"
	"strings"
	"sync"

	"github.com/moorage-dev/moorage"
)

// Route says who answers for the models whose id or ARN matches a pattern.
type Route struct {
	Pattern  string `json:"pattern"`         // of model ids and ARNs; * stands for anything
	Provider string `json:"provider"`        // name
	Model    string `json:"model,omitempty"` // as the provider calls it; empty: as the caller does
}

// DefaultRoutes send every model that agents for Bedrock usually name to the builtin one, so that they
// work with no key at all.
var DefaultRoutes = []Route{
	{Pattern: "*amazon.nova*", Provider: Builtin},
	{Pattern: "*anthropic*", Provider: Builtin},
	{Pattern: Builtin, Provider: Builtin},
}

// Builtin is the name of the provider that needs nothing.
const Builtin = "builtin"

// Table finds the provider for a model. The zero value knows none.
type Table struct {
	mu        sync.RWMutex
	routes    []Route
	providers map[string]Provider
}

// Set replaces all that the table knows.
func (t *Table) Set(routes []Route, providers map[string]Provider) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.routes, t.providers = routes, providers
}

// Find returns who answers for a model, and its name there. The first route that matches counts.
func (t *Table) Find(id string) (Provider, string, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, r := range t.routes {
		if !matches(r.Pattern, id) {
			continue
		}
		p := t.providers[r.Provider]
		if p == nil {
			return nil, "", moorage.Errorf(moorage.Unavailable, "model %q is routed to the provider %q, which is not there: moorage models list", id, r.Provider)
		}
		name := r.Model
		if name == "" {
			name = id
		}
		return p, name, nil
	}
	return nil, "", moorage.Errorf(moorage.NotFound, "no provider answers for model %q: moorage models route %q PROVIDER makes one", id, id)
}

// Routes returns all, in order.
func (t *Table) Routes() []Route {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return append([]Route{}, t.routes...)
}

// matches compares with *, which matches slashes, too: ARNs have them.
func matches(pattern, id string) bool {
	flat := strings.NewReplacer("/", "\x00")
	ok, err := path.Match(flat.Replace(pattern), flat.Replace(id))
	return ok && err == nil
}

// Check refuses a route that could match nothing.
func (r Route) Check() error {
	if _, err := path.Match(r.Pattern, ""); err != nil || r.Pattern == "" || len(r.Pattern) > 2048 {
		return moorage.Errorf(moorage.Invalid, "the pattern %q is a model id or ARN in which * stands for anything", r.Pattern)
	}
	if r.Provider == "" {
		return moorage.Errorf(moorage.Invalid, "a route names the provider that it leads to")
	}
	return nil
}
