package wire

import (
	"math"
	"regexp"
	"sync"
)

// Model describes one service. It is generated, and never changed after the program started.
type Model struct {
	Name         string // "Amazon Bedrock AgentCore Control"
	SigningName  string // the service in a SigV4 scope, and the prefix of IAM actions
	Version      string // "2023-06-05"
	TargetPrefix string // JSON protocols: what X-Amz-Target begins with
	Namespace    string // XML protocols: of the response document
	Protocol     Protocol
	Operations   []OperationModel // all that the service has, served here or not
	Faults       map[string]int   // its exceptions, and the HTTP status of each
	Shapes       []Shape          // what the served operations need; the first is no shape
}

// OperationModel describes one operation.
type OperationModel struct {
	Name, Method string
	URI          string // pattern: "/runtimes/{agentRuntimeId}/"; a label that ends in + takes the rest. Empty where the message names the operation
	Status       int    // of success
	Input        Ref    // 0: no members, or not served
	Output       Ref
	Faults       []string // the exceptions that it declares
}

func (m *Model) shape(r Ref) *Shape { return &m.Shapes[r] }

// Ref names a shape of a model: its index. Shapes refer to each other, and to themselves.
type Ref int

// Type is the kind of a shape.
type Type uint8

const (
	Structure Type = iota
	List
	Map
	String
	Enum
	Integer // 32 bits
	Long
	Float // float64 in Go, whether the model says float or double
	Boolean
	Blob
	Timestamp
	Document // any JSON
)

// Shape is one type of a model with its constraints.
type Shape struct {
	Name      string
	Type      Type
	Limit     Limit     // of the value, or of the length in characters, bytes, elements or entries
	Pattern   *Pattern  // of a String
	Values    []string  // of an Enum
	Members   []Member  // of a Structure
	Payload   int       // of a Structure: 1 + the member that is the whole body; 0 for none
	Key, Elem Ref       // of a List or Map
	KeyName   string    // in XML and queries, of a Map's keys; default "key"
	ElemName  string    // in XML and queries, of a List's elements or a Map's values; default "member" or "value"
	Time      TimeStyle // of a Timestamp, where the model overrides the protocol
	Union     bool      // a Structure with exactly one member set
	Streaming bool      // a Blob that is read while it arrives
	Sensitive bool

	// Events marks a Union whose values follow each other in an event stream, which may end in one
	// of Exceptions: the member that stands for each, by the exception's name.
	Events     bool
	Exceptions map[string]string
}

// Member is one member of a structure.
type Member struct {
	Name     string // the model's, and the wire's where Key is empty
	Shape    Ref
	Required bool
	In       Location
	Key      string // header as net/http spells it, header prefix, query key or element name, where it differs from Name
}

func (m *Member) key() string {
	if m.Key != "" {
		return m.Key
	}
	return m.Name
}

// Location says which part of the message carries a member.
type Location uint8

const (
	Body Location = iota
	Label
	Query
	Header
	PrefixHeaders
	StatusCode
)

// TimeStyle is how a timestamp is written.
type TimeStyle uint8

const (
	ByProtocol TimeStyle = iota
	ISO8601
	Epoch // seconds, fractions allowed
	HTTPDate
)

// Limit bounds a number or a length. The zero Limit allows anything.
type Limit struct{ set, min, max float64 }

// Between allows min to max, both included.
func Between(min, max float64) Limit { return Limit{1, min, max} }

// AtLeast has no upper bound.
func AtLeast(min float64) Limit { return Limit{1, min, math.Inf(1)} }

// AtMost has no lower bound.
func AtMost(max float64) Limit { return Limit{1, math.Inf(-1), max} }

func (l Limit) below(n float64) bool { return l.set != 0 && n < l.min }
func (l Limit) above(n float64) bool { return l.set != 0 && n > l.max }

// Pattern is a regular expression that a whole string must match. It is compiled at first use,
// since a program that serves ten operations should not pay for all of them at its start.
type Pattern struct {
	Source string // as the model writes it, for messages
	match  func() *regexp.Regexp
}

// Match makes a Pattern. A source that Go cannot compile panics at first use; the generator
// compiles each, so that it never comes to that.
func Match(source string) *Pattern {
	return &Pattern{source, sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\A(?:` + source + `)\z`)
	})}
}
