// Package provider opens the providers of models that an installation is set up with.
package provider

import (
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/anthropic"
	"github.com/moorage-dev/moorage/internal/model/openai"
	"github.com/moorage-dev/moorage/internal/model/script"
)

// Setup is what an installation says of models. It holds keys.
type Setup struct {
	Providers []Spec        `json:"providers,omitempty"`
	Routes    []model.Route `json:"routes,omitempty"` // before the default ones
}

// Spec is one provider.
type Spec struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	URL  string `json:"url,omitempty"`  // of its API; optional for Anthropic
	Key  string `json:"key,omitempty"`  // none where it wants none
	File string `json:"file,omitempty"` // of a script
}

// Kind is the form that a provider speaks.
type Kind string

const (
	OpenAI    Kind = "openai"    // and whoever speaks as it does: Ollama, llama-server, vLLM
	Anthropic Kind = "anthropic" // Anthropic's own API
	Script    Kind = "script"    // answers from a file
)

// Kinds are all that can be set up.
var Kinds = []Kind{OpenAI, Anthropic, Script}

var names = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Check refuses what could not be opened.
func (s Spec) Check() error {
	if !names.MatchString(s.Name) || s.Name == model.Builtin {
		return moorage.Errorf(moorage.Invalid, "a provider's name has lower-case letters, digits and hyphens, 63 at most, and is not %q", model.Builtin)
	}
	switch s.Kind {
	case OpenAI, Anthropic:
		u, err := url.Parse(s.URL)
		if s.URL == "" && s.Kind == Anthropic {
			return nil
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return moorage.Errorf(moorage.Invalid, "the provider's url is an address such as http://127.0.0.1:11434/v1, up to the API's version")
		}
	case Script:
		if s.File == "" {
			return moorage.Errorf(moorage.Invalid, "a script is read from a file: give one")
		}
	default:
		return moorage.Errorf(moorage.Invalid, "the kind %q is not known: one of %v", s.Kind, Kinds)
	}
	return nil
}

// patience is how long a provider may take to take a connection and to begin to answer.
const patience = 2 * time.Minute

// Open opens a provider. It asks it nothing yet.
func Open(s Spec) (model.Provider, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = patience
	transport.MaxIdleConnsPerHost = 64
	client := &http.Client{Transport: transport}
	switch s.Kind {
	case Anthropic:
		return &anthropic.Client{URL: s.URL, Key: s.Key, HTTP: client}, nil
	case Script:
		return script.Load(s.File)
	}
	return &openai.Client{URL: s.URL, Key: s.Key, HTTP: client}, nil
}

// Set has a table know what s says, the providers that need no setup, and the default routes after its own.
// What cannot be opened, a script whose file is gone, say, is left out and named in the error; the rest works.
func (s Setup) Set(t *model.Table, ready map[string]model.Provider) error {
	providers := map[string]model.Provider{}
	for name, p := range ready {
		providers[name] = p
	}
	var failed error
	for _, spec := range s.Providers {
		p, err := Open(spec)
		if err != nil {
			failed = moorage.Errorf(moorage.Unavailable, "provider %s: %w", spec.Name, err)
			continue
		}
		providers[spec.Name] = p
	}
	t.Set(append(append([]model.Route{}, s.Routes...), model.DefaultRoutes...), providers)
	return failed
}
