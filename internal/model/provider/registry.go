package provider

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Registry is an installation's setup while it runs. Its fields are set before it is used.
type Registry struct {
	Table *model.Table
	Ready map[string]model.Provider                     // that need no setup
	Save  func(ctx context.Context, setup []byte) error // seals it: it holds keys

	mu     sync.Mutex
	setup  Setup
	faults map[string]error // of providers that cannot be opened
}

// Load takes up a setup that was saved; nil is the first start. What of it cannot be opened is told of by
// [Registry.Providers].
func (r *Registry) Load(saved []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if saved != nil {
		if err := json.Unmarshal(saved, &r.setup); err != nil {
			return err
		}
	}
	r.faults = r.setup.Set(r.Table, r.Ready)
	return nil
}

// Providers returns all, the ready ones first, without their keys.
func (r *Registry) Providers() []Spec {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Spec
	for _, name := range slices.Sorted(maps.Keys(r.Ready)) {
		out = append(out, Spec{Name: name, Kind: Kind(name)})
	}
	for _, s := range r.setup.Providers {
		s.Key = ""
		if err := r.faults[s.Name]; err != nil {
			s.Fault = err.Error()
		}
		out = append(out, s)
	}
	return out
}

// Put adds a provider, or replaces the one of its name. Without a key the one that it has stays.
func (r *Registry) Put(ctx context.Context, s Spec) error {
	s.Fault = ""
	if _, err := Open(s); err != nil {
		return err
	}
	return r.change(ctx, func(setup *Setup) error {
		for i, old := range setup.Providers {
			if old.Name == s.Name {
				if s.Key == "" {
					s.Key = old.Key
				}
				setup.Providers[i] = s
				return nil
			}
		}
		setup.Providers = append(setup.Providers, s)
		return nil
	})
}

// Remove takes a provider away that no route names.
func (r *Registry) Remove(ctx context.Context, name string) error {
	return r.change(ctx, func(setup *Setup) error {
		for _, route := range setup.Routes {
			if route.Provider == name {
				return moorage.Errorf(moorage.Conflict, "models %q are routed to provider %q: remove that route first", route.Pattern, name)
			}
		}
		before := len(setup.Providers)
		setup.Providers = slices.DeleteFunc(setup.Providers, func(s Spec) bool { return s.Name == name })
		if len(setup.Providers) == before {
			return moorage.Errorf(moorage.NotFound, "no provider is called %q", name)
		}
		return nil
	})
}

// Route puts a route before all others, in place of the one for the same pattern.
func (r *Registry) Route(ctx context.Context, route model.Route) error {
	if err := route.Check(); err != nil {
		return err
	}
	return r.change(ctx, func(setup *Setup) error {
		if _, ready := r.Ready[route.Provider]; !ready && !slices.ContainsFunc(setup.Providers, func(s Spec) bool { return s.Name == route.Provider }) {
			return moorage.Errorf(moorage.NotFound, "no provider is called %q: moorage models add sets one up", route.Provider)
		}
		setup.Routes = append([]model.Route{route}, without(setup.Routes, route.Pattern)...)
		return nil
	})
}

// Unroute removes the route for a pattern. The default ones stay.
func (r *Registry) Unroute(ctx context.Context, pattern string) error {
	return r.change(ctx, func(setup *Setup) error {
		left := without(setup.Routes, pattern)
		if len(left) == len(setup.Routes) {
			return moorage.Errorf(moorage.NotFound, "no route that was made here is for %q", pattern)
		}
		setup.Routes = left
		return nil
	})
}

func without(routes []model.Route, pattern string) []model.Route {
	return slices.DeleteFunc(slices.Clone(routes), func(r model.Route) bool { return r.Pattern == pattern })
}

// change saves a changed setup before it counts.
func (r *Registry) change(ctx context.Context, edit func(*Setup) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := Setup{slices.Clone(r.setup.Providers), slices.Clone(r.setup.Routes)}
	if err := edit(&next); err != nil {
		return err
	}
	doc, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := r.Save(ctx, doc); err != nil {
		return err
	}
	r.setup, r.faults = next, next.Set(r.Table, r.Ready)
	return nil
}

// Names are the models that can be called by an exact name: routes without a *.
func (r *Registry) Names() (out []string) {
	for _, route := range r.Table.Routes() {
		if !strings.Contains(route.Pattern, "*") {
			out = append(out, route.Pattern)
		}
	}
	return out
}
