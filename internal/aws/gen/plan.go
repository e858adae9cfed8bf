package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// api is a model cut down to what one package serves, with the Go names of its types.
type api struct {
	service
	model   *model
	shapes  []string          // that the served operations need, sorted
	goNames map[string]string // of structures and enumerations
	aliases []alias           // inputs and outputs that share a shape with another operation
	relaxed []string          // departures from the model, one line each
}

type alias struct{ name, of string }

// plan finds what the served operations need and refuses what wire could not honour.
func plan(m *model, s service) (*api, error) {
	if m.protocol() == "" {
		return nil, fmt.Errorf("protocol %q is not supported", m.Metadata.Protocol)
	}
	a := &api{service: s, model: m, goNames: map[string]string{}}
	slices.Sort(a.Serve)
	for _, name := range a.Serve {
		op, ok := m.Operations.of[name]
		if !ok {
			return nil, fmt.Errorf("the model has no operation %s", name)
		}
		a.reach(op.Input, name+"Input")
		a.reach(op.Output, name+"Output")
	}
	slices.Sort(a.shapes)
	for _, name := range a.shapes {
		if err := a.relax(name); err != nil {
			return nil, err
		}
		if err := a.accept(name); err != nil {
			return nil, fmt.Errorf("shape %s: %w", name, err)
		}
	}
	return a, a.unique()
}

// reach adds the shape of an operation's input or output under the operation's own name.
func (a *api) reach(m *member, goName string) {
	switch {
	case m == nil:
	case a.goNames[m.Shape] != "":
		a.aliases = append(a.aliases, alias{goName, a.goNames[m.Shape]})
	default:
		a.goNames[m.Shape] = goName
		a.walk(m.Shape)
	}
}

func (a *api) walk(name string) {
	if slices.Contains(a.shapes, name) {
		return
	}
	a.shapes = append(a.shapes, name)
	s := a.model.Shapes[name]
	if a.goNames[name] == "" && (s.Type == "structure" && !s.Document || len(s.Enum) > 0) {
		a.goNames[name] = a.declared(name)
	}
	for _, n := range s.fields() {
		if m := s.Members.of[n]; !a.isException(m) {
			a.walk(m.Shape)
		}
	}
	for _, m := range []*member{s.Member, s.Key, s.Value} {
		if m != nil {
			a.walk(m.Shape)
		}
	}
}

// declared is the Go name of a shape. A few services have a shape by the very name that an operation's
// own input or output gets.
func (a *api) declared(name string) string {
	goName := exported(name)
	for _, op := range a.Serve {
		if goName == op+"Input" || goName == op+"Output" {
			return goName + "Shape"
		}
	}
	return goName
}

// fields returns the names of a structure's members in order.
func (s *shape) fields() []string {
	if s.Document {
		return nil
	}
	return s.Members.names
}

func (a *api) isException(m member) bool { return a.model.Shapes[m.Shape].Exception }

func (a *api) relax(name string) error {
	r, ok := relaxed[a.Package+"."+name]
	if !ok {
		return nil
	}
	s := a.model.Shapes[name]
	if r.Pattern != "" {
		s.Pattern = r.Pattern
	}
	if r.Streaming {
		s.Streaming = true
	}
	if r.Max != 0 {
		most := float64(r.Max)
		s.Max = &most
	}
	a.relaxed = append(a.relaxed, name+": "+r.Why)
	return nil
}

var locations = map[string]string{
	"": "", "uri": "Label", "querystring": "Query", "header": "Header", "headers": "PrefixHeaders", "statusCode": "StatusCode",
}

var times = map[string]string{"": "", "iso8601": "ISO8601", "unixTimestamp": "Epoch", "rfc822": "HTTPDate"}

// accept refuses a shape that wire could not honour.
func (a *api) accept(name string) error {
	s := a.model.Shapes[name]
	if _, err := a.kind(name); err != nil {
		return err
	}
	if _, ok := times[s.TimestampFormat]; !ok {
		return fmt.Errorf("unknown timestamp format %q", s.TimestampFormat)
	}
	if s.Pattern != "" {
		s.Pattern = goPattern(s.Pattern)
		if _, err := regexp.Compile(s.Pattern); err != nil {
			return fmt.Errorf("%w; translate it in relaxed", err)
		}
	}
	if s.Flattened {
		return fmt.Errorf("flattened lists and maps are not supported")
	}
	for _, n := range s.fields() {
		if err := a.acceptMember(s, s.Members.of[n]); err != nil {
			return fmt.Errorf("member %s: %w", n, err)
		}
	}
	return nil
}

func (a *api) acceptMember(s *shape, m member) error {
	location, ok := locations[m.Location]
	if !ok {
		return fmt.Errorf("unknown location %q", m.Location)
	}
	if m.EventPayload || m.EventHeader || m.HostLabel || m.XMLAttribute || m.Flattened {
		return fmt.Errorf("event headers and payloads, host labels, attributes and flattened members are not supported")
	}
	if m.TimestampFormat != "" {
		return fmt.Errorf("a timestamp format on a member is not supported")
	}
	if location == "StatusCode" && slices.Contains(s.Required, m.LocationName) {
		return fmt.Errorf("a required status code is not supported")
	}
	if target := a.model.Shapes[m.Shape]; location == "Query" && target.Type == "map" {
		return fmt.Errorf("a map in the query is not supported")
	}
	return nil
}

var unicodeEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// goPattern rewrites what Java's and Go's regular expressions spell differently.
func goPattern(p string) string {
	p = unicodeEscape.ReplaceAllString(p, `\x{$1}`)
	return strings.TrimSuffix(strings.TrimPrefix(p, "^"), "$")
}

// unique refuses two declarations of one name.
func (a *api) unique() error {
	seen := map[string]string{"Model": "the model"}
	claim := func(name, by string) error {
		if other := seen[name]; other != "" {
			return fmt.Errorf("%s is both %s and %s", name, other, by)
		}
		seen[name] = by
		return nil
	}
	for _, op := range a.Serve {
		if err := claim(op, "an operation"); err != nil {
			return err
		}
	}
	for _, name := range a.shapes {
		goName := a.goNames[name]
		if goName == "" {
			continue
		}
		if err := claim(goName, "shape "+name); err != nil {
			return err
		}
		for _, v := range a.model.Shapes[name].Enum {
			if err := claim(constant(goName, v), "a value of "+name); err != nil {
				return err
			}
		}
	}
	return nil
}

// kind returns the wire.Type of a shape.
func (a *api) kind(name string) (string, error) {
	s := a.model.Shapes[name]
	switch s.Type {
	case "structure":
		if s.Document {
			return "Document", nil
		}
		return "Structure", nil
	case "string":
		if len(s.Enum) > 0 {
			return "Enum", nil
		}
		return "String", nil
	case "list", "map", "integer", "long", "float", "boolean", "blob", "timestamp":
		return exported(s.Type), nil
	case "double":
		return "Float", nil
	}
	return "", fmt.Errorf("unknown type %q", s.Type)
}

func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

var word = regexp.MustCompile(`[A-Za-z0-9]+`)

// constant names one value of an enumeration: PYTHON_3_11 of T is TPython311.
func constant(typeName, value string) string {
	for _, w := range word.FindAllString(value, -1) {
		if strings.ToUpper(w) == w {
			w = strings.ToLower(w)
		}
		typeName += exported(w)
	}
	return typeName
}

// guarded reports whether anything sensitive can be reached from a shape.
func (a *api) guarded(name string, seen map[string]bool) bool {
	if seen[name] {
		return false
	}
	seen[name] = true
	s := a.model.Shapes[name]
	if s.Sensitive {
		return true
	}
	for _, n := range s.fields() {
		if m := s.Members.of[n]; !a.isException(m) && a.guarded(m.Shape, seen) {
			return true
		}
	}
	for _, m := range []*member{s.Member, s.Key, s.Value} {
		if m != nil && a.guarded(m.Shape, seen) {
			return true
		}
	}
	return false
}
