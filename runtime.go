package moorage

import (
	"crypto/rand"
	"strconv"
	"time"
)

// Status is where a runtime, version or endpoint stands. Source: AgentCore control plane, AgentRuntimeStatus.
type Status string

const (
	Creating     Status = "CREATING"
	CreateFailed Status = "CREATE_FAILED"
	Updating     Status = "UPDATING"
	UpdateFailed Status = "UPDATE_FAILED"
	Ready        Status = "READY"
	Deleting     Status = "DELETING"
	DeleteFailed Status = "DELETE_FAILED"
)

// InProgress reports whether the reconcile loop still has work to do.
func (s Status) InProgress() bool { return s == Creating || s == Updating || s == Deleting }

// Runtime is an agent as its owner knows it.
type Runtime struct {
	ID            string // NAME-XXXXXXXXXX; a new suffix for each creation
	Name          string // unique per account and region
	ARN           string
	Latest        int // the newest version's number
	Status        Status
	FailureReason string
	Identity      string // ARN of the workload identity that it acts under
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Version is one immutable state of a runtime: every update makes the next.
type Version struct {
	RuntimeID     string
	Number        int // from 1
	Config        Config
	Status        Status
	FailureReason string
	LastWords     []string // what the agent printed last, when its trial start failed
	Program       *Program // nil until the artifact is built
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Label returns the version's number as the API writes it.
func (v Version) Label() string { return strconv.Itoa(v.Number) }

// Config is what the owner asked for. Environment is sealed at rest.
type Config struct {
	Description string            `json:"description,omitempty"`
	RoleARN     string            `json:"roleArn"`
	Container   *ContainerImage   `json:"container,omitempty"` // exactly one of
	Code        *CodeZip          `json:"code,omitempty"`      // these two is set
	Network     Network           `json:"network"`
	Protocol    Protocol          `json:"protocol"`
	Lifecycle   Lifecycle         `json:"lifecycle"`
	Authorizer  *JWTAuthorizer    `json:"authorizer,omitempty"` // nil: callers sign with SigV4
	Headers     []string          `json:"headers,omitempty"`    // request headers that reach the agent
	Environment map[string]string `json:"-"`
	Storage     string            `json:"storage,omitempty"`  // mount path of the session storage; empty for none
	Platform    string            `json:"platform,omitempty"` // V1 or V2, echoed
}

// ContainerImage names an OCI image.
type ContainerImage struct {
	URI string `json:"uri"`
}

// CodeZip names an uploaded zip and how to start it.
type CodeZip struct {
	Bucket     string   `json:"bucket"`
	Key        string   `json:"key"`
	VersionID  string   `json:"versionId,omitempty"`
	Runtime    string   `json:"runtime"` // PYTHON_3_11, NODE_22, …
	EntryPoint []string `json:"entryPoint"`
}

// Network says where a runtime's sessions may reach. VPC names are kept for their owner; every
// session leaves through its sandbox's own gateway.
type Network struct {
	Mode           string   `json:"mode"` // PUBLIC or VPC
	SecurityGroups []string `json:"securityGroups,omitempty"`
	Subnets        []string `json:"subnets,omitempty"`
}

// Protocol is the contract between the platform and the agent's server.
type Protocol struct {
	Name string `json:"name"`           // HTTP, MCP, A2A or AGUI
	Port int    `json:"port,omitempty"` // 0 is the protocol's default
	Path string `json:"path,omitempty"` // empty is the protocol's default
}

// Defaults of each protocol. Source: AgentCore developer guide, service contracts.
var protocolDefaults = map[string]Protocol{
	"HTTP": {"HTTP", 8080, "/invocations"},
	"AGUI": {"AGUI", 8080, "/invocations"},
	"MCP":  {"MCP", 8000, "/mcp"},
	"A2A":  {"A2A", 9000, "/"},
}

// Resolved fills what the owner left open.
func (p Protocol) Resolved() Protocol {
	if p.Name == "" {
		p.Name = "HTTP"
	}
	d := protocolDefaults[p.Name]
	if p.Port == 0 {
		p.Port = d.Port
	}
	if p.Path == "" {
		p.Path = d.Path
	}
	return p
}

// Lifecycle bounds a session.
type Lifecycle struct {
	Idle time.Duration `json:"idle"` // after the last activity; default 15 min
	Max  time.Duration `json:"max"`  // from the session's creation; default 8 h
}

// Defaults of a Lifecycle. Source: AgentCore developer guide, lifecycle settings.
const (
	DefaultIdle = 15 * time.Minute
	DefaultMax  = 8 * time.Hour
)

// Program is a built version: a root file system and the process to start in it.
type Program struct {
	Digest string   `json:"digest"` // of the artifact that it was built from
	Root   string   `json:"root"`   // host path: an EROFS image, or a directory for the process driver
	Args   []string `json:"args"`
	Env    []string `json:"env,omitempty"`
	Dir    string   `json:"dir,omitempty"`
	User   string   `json:"user,omitempty"`
}

// DefaultEndpoint is the endpoint that every runtime has and that follows its latest version.
const DefaultEndpoint = "DEFAULT"

// Endpoint is a name that points at one version.
type Endpoint struct {
	RuntimeID     string
	Name          string
	ID            string
	ARN           string
	Description   string
	Live          int // the version that new sessions get; 0 before the first is ready
	Target        int // the version that it is moving to
	Status        Status
	FailureReason string
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Target is what one call is made to.
type Target struct {
	Runtime  Runtime
	Endpoint Endpoint
	Version  Version // what a new session starts from
}

// SessionState is where a session stands.
type SessionState string

const (
	Starting SessionState = "starting"
	Active   SessionState = "active" // a call is in progress, or the agent says that it is busy
	Idle     SessionState = "idle"
	Paused   SessionState = "paused" // idle, and in memory without using the processor; the next call resumes it
	Asleep   SessionState = "asleep" // on disk; the next call wakes it
	Stopped  SessionState = "stopped"
)

// Rests reports whether a session uses no processor until somebody wants it.
func (s SessionState) Rests() bool { return s == Paused || s == Asleep || s == Stopped }

// Session is one conversation with one sandbox. ID never repeats and names it everywhere inside;
// CallerID is what the caller chose, unique per runtime, endpoint and owner.
type Session struct {
	ID           string
	CallerID     string
	RuntimeID    string
	Endpoint     string
	Owner        string
	Version      int
	State        SessionState
	SandboxID    string
	StartedBy    string        // how the sandbox came to be: pool, restore, cold, …
	StartTook    time.Duration // from the first call to an agent that answers
	Steps        []Step        // of the start, in order; never changed afterwards
	CreatedAt    time.Time
	LastActiveAt time.Time
	EndedAt      time.Time // zero while it lives
	EndReason    string

	Sleeps    int           // how often it fell asleep
	WokeTook  time.Duration // of the last time: from the call to an agent that answers
	CPU       time.Duration // of the processor, until it last fell asleep or ended
	PeakBytes int64         // the most memory that it was seen to have when it fell asleep or ended
	Slept     time.Duration // all its sleeps so far, but the one that it is in
	SleptFrom time.Time     // when it fell asleep; zero while it is awake

	ParentID string    // of a branch: the session that it was forked from
	ForkedAt time.Time // the moment that it shares with its parent
	Shares   string    // what a branch has in common with its parent that it should not, and why; usually empty

	SleepBytes int64 // on disk, while asleep. Not on record: the disk says it
}

// Step is one part of something that took a while.
type Step struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
}

const suffixAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewSuffix returns the ten random characters that end a runtime's id.
func NewSuffix() string { return randomString(10, suffixAlphabet) }

// NewSessionID returns an internal session id: "s" and 19 random characters.
func NewSessionID() string { return "s" + randomString(19, "abcdefghijklmnopqrstuvwxyz234567") }

func randomString(n int, alphabet string) string {
	out := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet) // reject the tail, so that every character is equally likely
	for len(out) < n {
		var b [32]byte
		rand.Read(b[:])
		for _, c := range b {
			if int(c) < limit && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}
