package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const (
	projectFile = "moorage.yaml"
	toolkitFile = ".bedrock_agentcore.yaml"
)

// project is what moorage.yaml says: what is built and how it runs.
type project struct {
	Name        string            `yaml:"name,omitempty"`
	Description string            `yaml:"description,omitempty"`
	Entrypoint  string            `yaml:"entrypoint,omitempty"` // a .py or .js file, with a launcher before it or none, or a Go package; relative to the directory
	Runtime     string            `yaml:"runtime,omitempty"`    // PYTHON_3_11, NODE_22, …
	Image       string            `yaml:"image,omitempty"`      // instead of an entrypoint
	Role        string            `yaml:"role,omitempty"`
	Protocol    string            `yaml:"protocol,omitempty"` // HTTP, MCP, A2A or AGUI
	IdleTimeout duration          `yaml:"idleTimeout,omitempty"`
	MaxLifetime duration          `yaml:"maxLifetime,omitempty"`
	Env         map[string]string `yaml:"env,omitempty"`
	Headers     []string          `yaml:"headers,omitempty"` // request headers that reach the agent
	Authorizer  *authorizer       `yaml:"authorizer,omitempty"`
	Tags        map[string]string `yaml:"tags,omitempty"`
	Pool        string            `yaml:"pool,omitempty"`            // sandboxes always ready for new sessions, or off: the tag moorage:pool
	WarmUp      string            `yaml:"warmUp,omitempty"`          // a path or JSON for the agent before its golden snapshot: the tag moorage:warm-up
	Clones      string            `yaml:"clones,omitempty"`          // off: every session starts afresh: the tag moorage:clones
	LongSleep   string            `yaml:"long-sleep,omitempty"`      // how long sessions may sleep, such as 30d: the tag moorage:long-sleep
	Binding     string            `yaml:"session-binding,omitempty"` // off: whoever may call reaches a session by its id: the tag moorage:session-binding
	Ignore      []string          `yaml:"ignore,omitempty"`          // names and paths that are not uploaded

	// Inject are calls that get a credential which the agent does not hold, by the credential's name: [METHOD ...] HOST[:PORT][/PATH].
	Inject map[string][]string `yaml:"inject,omitempty"`

	dir  string // absolute
	file string // what it was read from; empty when there was no file
}

// authorizer is a custom JWT authorizer, in the API's own words.
type authorizer struct {
	DiscoveryURL    string   `yaml:"discoveryUrl"`
	AllowedAudience []string `yaml:"allowedAudience,omitempty"`
	AllowedClients  []string `yaml:"allowedClients,omitempty"`
	AllowedScopes   []string `yaml:"allowedScopes,omitempty"`

	privateWay `yaml:",inline"`
	Workloads  *allowedWorkloads `yaml:"allowedWorkloadConfiguration,omitempty"`
}

// duration is written as 15m or 8h, or as a number of seconds.
type duration time.Duration

func (d *duration) UnmarshalYAML(node *yaml.Node) error {
	v, err := parseDuration(node.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", node.Line, err)
	}
	*d = duration(v)
	return nil
}

func (d duration) MarshalYAML() (any, error) { return d.String(), nil }

// String drops the zeros that time.Duration writes: 15m, not 15m0s. Zero is the empty string: not set.
func (d duration) String() string {
	if d == 0 {
		return ""
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Set and Type make a duration a flag.
func (d *duration) Set(s string) error {
	v, err := parseDuration(s)
	if err == nil {
		*d = duration(v)
	}
	return err
}

func (d *duration) Type() string { return "duration" }

func parseDuration(s string) (time.Duration, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 15m, 8h or 900 (seconds)", s)
	}
	return v, nil
}

// loadProject reads what a directory says about its agent: moorage.yaml, else the starter toolkit's
// file, else nothing but the directory's name.
func loadProject(dir string) (*project, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, usagef("%s is not a directory", short(dir))
	}
	p, err := readProject(filepath.Join(dir, projectFile))
	if errors.Is(err, fs.ErrNotExist) {
		p, err = readToolkit(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		p, err = &project{}, nil
	}
	if err != nil {
		return nil, err
	}
	p.dir = dir
	return p, nil
}

func readProject(path string) (*project, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &project{file: projectFile}
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	dec.KnownFields(true) // a misspelt setting must not be silently without effect
	if err := dec.Decode(p); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", projectFile, plainYAML(err))
	}
	return p, nil
}

var yamlUnknown = regexp.MustCompile(`field (\S+) not found in type \S+`)

// plainYAML says the decoder's complaints without our type names.
func plainYAML(err error) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	message = strings.ReplaceAll(message, "unmarshal errors:\n  ", "")
	return errors.New(yamlUnknown.ReplaceAllString(message, "there is no setting “$1”"))
}

// toolkitConfig is the part of the starter toolkit's file that has a meaning here.
// Source: bedrock-agentcore-starter-toolkit, utils/runtime/schema.py.
type toolkitConfig struct {
	Default string                  `yaml:"default_agent"`
	Agents  map[string]toolkitAgent `yaml:"agents"`
}

type toolkitAgent struct {
	Name       string `yaml:"name"`
	Entrypoint string `yaml:"entrypoint"`
	Runtime    string `yaml:"runtime_type"`
	AWS        struct {
		Protocol struct {
			Server string `yaml:"server_protocol"`
		} `yaml:"protocol_configuration"`
		Lifecycle struct {
			Idle int `yaml:"idle_runtime_session_timeout"`
			Max  int `yaml:"max_lifetime"`
		} `yaml:"lifecycle_configuration"`
	} `yaml:"aws"`
	Authorizer struct {
		JWT *authorizer `yaml:"customJWTAuthorizer"`
	} `yaml:"authorizer_configuration"`
	Headers struct {
		Allow []string `yaml:"requestHeaderAllowlist"`
	} `yaml:"request_header_configuration"`
}

// readToolkit reads the default agent of the starter toolkit's file. The role and the region there
// belong to an AWS account and are left out.
func readToolkit(dir string) (*project, error) {
	doc, err := os.ReadFile(filepath.Join(dir, toolkitFile))
	if err != nil {
		return nil, err
	}
	var c toolkitConfig
	if err := yaml.Unmarshal(doc, &c); err != nil {
		return nil, fmt.Errorf("read %s: %w", toolkitFile, plainYAML(err))
	}
	if c.Default == "" && len(c.Agents) == 1 {
		c.Default = slices.Collect(maps.Keys(c.Agents))[0]
	}
	a, ok := c.Agents[c.Default]
	if !ok {
		return nil, fmt.Errorf("read %s: it names no default agent", toolkitFile)
	}
	p := &project{
		Name: firstOf(a.Name, c.Default), Entrypoint: a.Entrypoint, Runtime: a.Runtime, Headers: a.Headers.Allow, Authorizer: a.Authorizer.JWT,
		IdleTimeout: duration(a.AWS.Lifecycle.Idle) * duration(time.Second), MaxLifetime: duration(a.AWS.Lifecycle.Max) * duration(time.Second),
		file: toolkitFile,
	}
	if a.AWS.Protocol.Server != "HTTP" {
		p.Protocol = a.AWS.Protocol.Server
	}
	if rel, err := filepath.Rel(dir, a.Entrypoint); err == nil && filepath.IsAbs(a.Entrypoint) {
		p.Entrypoint = rel
	}
	return p, nil
}

const projectHeader = `# What ` + "`moorage deploy`" + ` builds and how it runs. Yours to edit.
`

// write saves the project as moorage.yaml in its directory.
func (p *project) write() error {
	var b bytes.Buffer
	b.WriteString(projectHeader)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(p); err != nil {
		return err
	}
	// It may hold secrets in env.
	return os.WriteFile(filepath.Join(p.dir, projectFile), b.Bytes(), 0o600)
}

var (
	validName   = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,47}$`)
	invalidRune = regexp.MustCompile(`[^a-zA-Z0-9_]+`)
)

// nameFrom makes a runtime's name of a directory's: letters, digits and underscores, a letter first.
func nameFrom(dir string) string {
	name := strings.Trim(invalidRune.ReplaceAllString(filepath.Base(dir), "_"), "_")
	if name == "" || !validName.MatchString(name[:1]) {
		name = "agent_" + name
	}
	return strings.TrimSuffix(name[:min(len(name), 48)], "_")
}

// runtimeNames are the managed runtimes of the API. Source: AgentManagedRuntimeType.
var runtimeNames = []string{"PYTHON_3_10", "PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13", "PYTHON_3_14", "NODE_22"}

var protocolNames = []string{"HTTP", "MCP", "A2A", "AGUI"}

// complete fills what was left open and refuses what cannot work, before anything is built.
func (p *project) complete() error {
	if p.Name == "" {
		p.Name = nameFrom(p.dir)
	}
	if !validName.MatchString(p.Name) {
		return usagef("%q is not a valid name: 1 to 48 letters, digits and underscores, a letter first", p.Name)
	}
	p.Protocol = strings.ToUpper(firstOf(p.Protocol, "HTTP"))
	if !slices.Contains(protocolNames, p.Protocol) {
		return usagef("%q is not a protocol; use one of %s", p.Protocol, strings.Join(protocolNames, ", "))
	}
	if p.Image != "" && p.Entrypoint != "" {
		return usagef("an agent is an image or an entrypoint, not both")
	}
	if p.Image != "" {
		return nil
	}
	if p.Entrypoint == "" {
		if p.Entrypoint = findEntrypoint(p.dir); p.Entrypoint == "" {
			return advise(usagef("%s does not say which file starts the agent", short(p.dir)),
				"name it: --entrypoint agent.py (or .js, or a Go package), or --image REF")
		}
	}
	return p.completeEntrypoint()
}

// findEntrypoint looks for the names that agents usually have.
func findEntrypoint(dir string) string {
	for _, name := range []string{"agent.py", "main.py", "app.py", "index.js", "agent.js", "main.go", "go.mod"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			continue
		}
		if name == "main.go" || name == "go.mod" {
			return "."
		}
		return name
	}
	return ""
}

func (p *project) completeEntrypoint() error {
	launcher, file := p.launcher()
	if filepath.IsAbs(file) {
		rel, err := filepath.Rel(p.dir, file)
		if err != nil {
			return usagef("the entrypoint %s is outside %s", file, short(p.dir))
		}
		file = rel
	}
	file = filepath.Clean(file)
	info, err := os.Stat(filepath.Join(p.dir, file))
	if err != nil || !filepath.IsLocal(file) {
		return usagef("there is no entrypoint %s in %s", file, short(p.dir))
	}
	p.Entrypoint = strings.TrimSpace(launcher + " " + file)
	switch ext := filepath.Ext(file); {
	case info.IsDir() || ext == ".go":
		if launcher != "" {
			return usagef("the entrypoint %s is a Go package, which nothing launches; only .py and .js files have a launcher", file)
		}
		return nil
	case ext == ".py":
		p.Runtime = firstOf(p.Runtime, "PYTHON_3_11")
	case ext == ".js" || ext == ".mjs" || ext == ".cjs":
		p.Runtime = firstOf(p.Runtime, "NODE_22")
	default:
		return usagef("the entrypoint %s is not a .py or .js file or a Go package", file)
	}
	if !slices.Contains(runtimeNames, p.Runtime) {
		return usagef("%q is not a runtime; use one of %s", p.Runtime, strings.Join(runtimeNames, ", "))
	}
	return nil
}

// launcher splits an entrypoint such as "opentelemetry-instrument agent.py" into the command that its
// requirements install and the file that it starts. A file whose name has a space is no such pair.
func (p *project) launcher() (launcher, file string) {
	launcher, file, two := strings.Cut(p.Entrypoint, " ")
	if _, err := os.Stat(filepath.Join(p.dir, p.Entrypoint)); !two || err == nil || strings.ContainsRune(launcher, '/') {
		return "", p.Entrypoint
	}
	return launcher, strings.TrimSpace(file)
}

// entryPoint is the entrypoint as the API has it: a file, or a launcher and a file.
func (p *project) entryPoint() []string {
	if launcher, file := p.launcher(); launcher != "" {
		return []string{launcher, file}
	}
	return []string{p.Entrypoint}
}

// isGo reports whether the entrypoint is a Go package. The project is complete.
func (p *project) isGo() bool { return p.Image == "" && p.Runtime == "" }

// projectFlags are the settings of moorage.yaml as flags of a command.
type projectFlags struct {
	set project
	env []string
	tag []string
	jwt authorizer

	private   []string // endpoints: ID or HOST=ID
	workloads []string // names and ARNs
}

func (f *projectFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.set.Name, "name", "", "name of the agent (default: moorage.yaml's, else the directory's)")
	flags.StringVar(&f.set.Entrypoint, "entrypoint", "", "file that starts the agent: .py, .js, or a Go package; a launcher may stand before it, as in 'opentelemetry-instrument agent.py'")
	flags.StringVar(&f.set.Runtime, "runtime", "", "language and version, such as PYTHON_3_11 or NODE_22")
	flags.StringVar(&f.set.Image, "image", "", "OCI image to run instead of code")
	flags.StringVar(&f.set.Description, "description", "", "what the agent is for")
	flags.StringVar(&f.set.Role, "role", "", "ARN of the role it acts under")
	flags.StringVar(&f.set.Protocol, "protocol", "", "HTTP, MCP, A2A or AGUI (default HTTP)")
	flags.Var(&f.set.IdleTimeout, "idle-timeout", "end a session after so long without activity (default 15m)")
	flags.Var(&f.set.MaxLifetime, "max-lifetime", "end a session this long after its start (default 8h)")
	flags.StringArrayVar(&f.env, "env", nil, "environment variable `K=V`; K alone takes the value of this shell (repeatable)")
	flags.StringArrayVar(&f.set.Headers, "header", nil, "name of a request header that reaches the agent (repeatable)")
	flags.StringVar(&f.jwt.DiscoveryURL, "discovery-url", "", "callers send a bearer token of this OpenID provider: the address of its metadata")
	flags.StringArrayVar(&f.jwt.AllowedClients, "allowed-client", nil, "client_id that a token may have (repeatable)")
	flags.StringArrayVar(&f.jwt.AllowedAudience, "allowed-audience", nil, "audience that a token may be for (repeatable)")
	flags.StringArrayVar(&f.jwt.AllowedScopes, "allowed-scope", nil, "scope that a token may have (repeatable)")
	flags.StringArrayVar(&f.private, "private-endpoint", nil, "how the provider is reached off the public network: rcfg-ID, or HOST=rcfg-ID for another host of its (repeatable; see moorage serve)")
	flags.StringArrayVar(&f.workloads, "allowed-workload", nil, "workload that calls have to come through beside their token: the name of a workload identity, or the ARN of an agent runtime (repeatable)")
	flags.StringArrayVar(&f.tag, "tag", nil, "tag `K=V` (repeatable)")
	fixed := func(values []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	_ = cmd.RegisterFlagCompletionFunc("runtime", fixed(runtimeNames)) // fails only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("protocol", fixed(protocolNames))
}

// apply overrides p with the flags that were given. Maps are merged, everything else is replaced;
// an image replaces an entrypoint and the other way round.
func (f *projectFlags) apply(p *project, flags *pflag.FlagSet) error {
	for name, to := range map[string][2]*string{
		"name": {&p.Name, &f.set.Name}, "entrypoint": {&p.Entrypoint, &f.set.Entrypoint}, "runtime": {&p.Runtime, &f.set.Runtime},
		"image": {&p.Image, &f.set.Image}, "description": {&p.Description, &f.set.Description}, "role": {&p.Role, &f.set.Role},
		"protocol": {&p.Protocol, &f.set.Protocol},
	} {
		if flags.Changed(name) {
			*to[0] = *to[1]
		}
	}
	switch image, entry := flags.Changed("image"), flags.Changed("entrypoint"); {
	case image && !entry:
		p.Entrypoint, p.Runtime = "", ""
	case entry && !image:
		p.Image = ""
	}
	if flags.Changed("idle-timeout") {
		p.IdleTimeout = f.set.IdleTimeout
	}
	if flags.Changed("max-lifetime") {
		p.MaxLifetime = f.set.MaxLifetime
	}
	if flags.Changed("header") {
		p.Headers = f.set.Headers
	}
	if err := f.authorize(p, flags); err != nil {
		return err
	}
	return errors.Join(mergePairs(&p.Env, f.env, "--env"), mergePairs(&p.Tags, f.tag, "--tag"))
}

// authorize sets who may call, if a flag says so. A discovery URL begins anew; alone, the others change
// what is there.
func (f *projectFlags) authorize(p *project, flags *pflag.FlagSet) error {
	rules := slices.ContainsFunc([]string{"allowed-client", "allowed-audience", "allowed-scope", "private-endpoint", "allowed-workload"}, flags.Changed)
	switch {
	case flags.Changed("discovery-url"):
		p.Authorizer = &authorizer{DiscoveryURL: f.jwt.DiscoveryURL}
	case rules && p.Authorizer == nil:
		return usagef("--allowed-client, --allowed-audience, --allowed-scope, --private-endpoint and --allowed-workload need --discovery-url")
	}
	for name, set := range map[string]func(){
		"allowed-client":   func() { p.Authorizer.AllowedClients = f.jwt.AllowedClients },
		"allowed-audience": func() { p.Authorizer.AllowedAudience = f.jwt.AllowedAudience },
		"allowed-scope":    func() { p.Authorizer.AllowedScopes = f.jwt.AllowedScopes },
	} {
		if flags.Changed(name) {
			set()
		}
	}
	if flags.Changed("allowed-workload") {
		p.Authorizer.Workloads = workloadsNamed(f.workloads)
	}
	if flags.Changed("private-endpoint") {
		return p.Authorizer.reach(f.private)
	}
	return nil
}

// tags are the project's own, and those that stand for its settings; a tag that is written out wins.
func (p *project) tags() map[string]string {
	all := map[string]string{}
	for tag, value := range map[string]string{tagPool: p.Pool, tagWarmUp: warmUpTag(p.WarmUp), tagClones: p.Clones, tagLongSleep: p.LongSleep, tagBinding: p.Binding} {
		if value != "" {
			all[tag] = value
		}
	}
	if len(p.Inject) > 0 {
		all[tagInject] = "on"
	}
	maps.Copy(all, p.Tags)
	if len(all) == 0 {
		return nil
	}
	return all
}

func mergePairs(into *map[string]string, pairs []string, flag string) error {
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok && flag == "--env" {
			value, ok = os.LookupEnv(key)
		}
		if !ok || key == "" {
			return usagef("%s %q is not KEY=VALUE", flag, pair)
		}
		if *into == nil {
			*into = map[string]string{}
		}
		(*into)[key] = value
	}
	return nil
}
