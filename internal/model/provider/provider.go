// Package provider opens the providers of models that an installation is set up with.
package provider

import (
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/anthropic"
	"github.com/moorage-dev/moorage/internal/model/bedrock"
	"github.com/moorage-dev/moorage/internal/model/cassette"
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
	URL  string `json:"url,omitempty"`  // of its API; optional for Anthropic and Bedrock
	Key  string `json:"key,omitempty"`  // none where it wants none; for Bedrock see [bedrock.ParseKey]
	File string `json:"file,omitempty"` // of a script

	Region string `json:"region,omitempty"` // of Bedrock
	Record string `json:"record,omitempty"` // a cassette's file, for what it answers; none where empty

	Fault string `json:"fault,omitempty"` // why it cannot be asked; only told, never set
}

// Kind is the form that a provider speaks.
type Kind string

const (
	OpenAI    Kind = "openai"    // and whoever speaks as it does: Ollama, llama-server, vLLM
	Anthropic Kind = "anthropic" // Anthropic's own API
	Bedrock   Kind = "bedrock"   // Amazon Bedrock, for credentials of an AWS account
	Script    Kind = "script"    // answers from a file
	Cassette  Kind = "cassette"  // answers that another provider gave, from a file
)

// Kinds are all that can be set up.
var Kinds = []Kind{OpenAI, Anthropic, Bedrock, Script, Cassette}

// cassetteExt keeps who may set up a provider from having the server write into files of other kinds.
const cassetteExt = ".cassette"

var regions = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$`)

var names = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Check refuses what could not be opened.
func (s Spec) Check() error {
	if !names.MatchString(s.Name) || s.Name == model.Builtin {
		return moorage.Errorf(moorage.Invalid, "a provider's name has lower-case letters, digits and hyphens, 63 at most, and is not %q", model.Builtin)
	}
	if s.Record != "" && (!filepath.IsAbs(s.Record) || filepath.Ext(s.Record) != cassetteExt) {
		return moorage.Errorf(moorage.Invalid, "a cassette is recorded in a file on the server's machine, by its whole path, whose name ends with %s; %q is none", cassetteExt, s.Record)
	}
	switch s.Kind {
	case OpenAI, Anthropic, Bedrock:
		if s.Kind == Bedrock && !regions.MatchString(s.Region) {
			return moorage.Errorf(moorage.Invalid, "a provider of the kind bedrock has a region, such as us-east-1; %q is none", s.Region)
		}
		u, err := url.Parse(s.URL)
		if s.URL == "" && s.Kind != OpenAI {
			return nil
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return moorage.Errorf(moorage.Invalid, "the provider's url is an address such as http://127.0.0.1:11434/v1, up to the API's version")
		}
	case Script, Cassette:
		if s.File == "" {
			return moorage.Errorf(moorage.Invalid, "a %s is read from a file: give one", s.Kind)
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
	p, err := open(s)
	if err == nil && s.asks() {
		p = model.Retrying{Provider: p}
	}
	if err != nil || s.Record == "" {
		return p, err
	}
	return &cassette.Recorder{Provider: p, File: s.Record, Secrets: secrets(s.Key)}, nil
}

// asks reports whether a provider asks a server elsewhere.
func (s Spec) asks() bool { return s.Kind == OpenAI || s.Kind == Anthropic || s.Kind == Bedrock }

// secrets are a key, and the parts of one that has several.
func secrets(key string) (out []string) {
	const short = 8 // what is shorter could be part of any word
	for _, part := range append([]string{key}, strings.Split(key, ":")...) {
		if len(part) >= short {
			out = append(out, part)
		}
	}
	return out
}

func open(s Spec) (model.Provider, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = patience
	transport.MaxIdleConnsPerHost = 64
	client := &http.Client{Transport: transport}
	switch s.Kind {
	case Anthropic:
		return &anthropic.Client{URL: s.URL, Key: s.Key, HTTP: client}, nil
	case Bedrock:
		return bedrock.New(bedrock.Options{Region: s.Region, URL: s.URL, Key: s.Key, HTTP: client})
	case Script:
		return script.Load(s.File)
	case Cassette:
		return cassette.Load(s.File)
	}
	return &openai.Client{URL: s.URL, Key: s.Key, HTTP: client}, nil
}

// Set has a table know what s says, the providers that need no setup, and the default routes after its own.
// What cannot be opened, a script whose file is gone, say, is left out and told of by name; the rest works.
func (s Setup) Set(t *model.Table, ready map[string]model.Provider) map[string]error {
	providers, faults := map[string]model.Provider{}, map[string]error{}
	maps.Copy(providers, ready)
	for _, spec := range s.Providers {
		p, err := Open(spec)
		if err != nil {
			faults[spec.Name] = err
			continue
		}
		providers[spec.Name] = p
	}
	t.Set(append(append([]model.Route{}, s.Routes...), model.DefaultRoutes...), providers)
	return faults
}
