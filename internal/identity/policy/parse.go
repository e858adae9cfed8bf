package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
)

// Document is a policy that was read. It does not change.
type Document struct {
	Name       string
	statements []statement
	variables  bool
}

// statement applies when all of its parts do.
type statement struct {
	sid        string
	deny       bool
	principals *principals // nil in identity policies
	actions    []pattern
	notActions bool
	resources  []arnPattern
	notOn      bool
	conditions []condition
}

func malformed(format string, args ...any) error {
	return &moorage.Error{Code: moorage.Invalid, Exception: "MalformedPolicyDocument", Message: "the policy is not valid: " + fmt.Sprintf(format, args...)}
}

// Parse reads a document. Errors are moorage.Invalid (MalformedPolicyDocument) and say which statement breaks which rule.
func Parse(kind Kind, name, text string) (*Document, error) {
	if len(text) > MaxDocument {
		return nil, malformed("it has %d bytes; %d are the most", len(text), MaxDocument)
	}
	top, err := object([]byte(text))
	if err != nil {
		return nil, malformed("%v", err)
	}
	d := &Document{Name: name}
	var statements json.RawMessage
	for _, m := range top {
		switch m.name {
		case "Version":
			var version string
			if json.Unmarshal(m.value, &version) != nil || version != "2012-10-17" && version != "2008-10-17" {
				return nil, malformed(`Version must be "2012-10-17"`)
			}
			d.variables = version == "2012-10-17"
		case "Id":
			var id string
			if json.Unmarshal(m.value, &id) != nil {
				return nil, malformed("Id must be a string")
			}
		case "Statement":
			statements = m.value
		default:
			return nil, malformed("%q is no element of a policy", m.name)
		}
	}
	list, err := oneOrMany(statements)
	if err != nil || len(list) == 0 {
		return nil, malformed("Statement must be an object or a list of at least one")
	}
	return d, d.read(kind, list)
}

func (d *Document) read(kind Kind, list []json.RawMessage) error {
	seen := map[string]bool{}
	for i, raw := range list {
		s, err := d.statement(kind, raw)
		if err != nil {
			return malformed("statement %d: %v", i+1, err)
		}
		if s.sid != "" && seen[s.sid] {
			return malformed("the Sid %q is there twice", s.sid)
		}
		seen[s.sid] = true
		if s.sid == "" {
			s.sid = strconv.Itoa(i + 1)
		}
		d.statements = append(d.statements, s)
	}
	return nil
}

// member is one name and value of an object, in the order in which they stand.
type member struct {
	name  string
	value json.RawMessage
}

// object reads a JSON object, each of whose names is there once.
func object(raw []byte) (out []member, err error) {
	in := json.NewDecoder(bytes.NewReader(raw))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	for in.More() {
		t, err := in.Token()
		if err != nil {
			return nil, errors.New("it is not JSON")
		}
		m := member{name: t.(string)} // the decoder takes nothing else for a name
		if slices.ContainsFunc(out, func(o member) bool { return o.name == m.name }) {
			return nil, fmt.Errorf("%q is there twice", m.name)
		}
		if err := in.Decode(&m.value); err != nil {
			return nil, errors.New("it is not JSON")
		}
		out = append(out, m)
	}
	if _, err := in.Token(); err != nil {
		return nil, errors.New("it is not JSON")
	}
	if _, err := in.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return out, nil
}

func oneOrMany(raw json.RawMessage) (out []json.RawMessage, err error) {
	if t := bytes.TrimSpace(raw); len(t) > 0 && t[0] == '[' {
		return out, json.Unmarshal(raw, &out)
	}
	if len(raw) == 0 {
		return nil, errors.New("missing")
	}
	return []json.RawMessage{raw}, nil
}

// texts reads a string or a list of strings.
func texts(element string, raw json.RawMessage) ([]string, error) {
	list, err := oneOrMany(raw)
	out := make([]string, len(list))
	for i, each := range list {
		if err == nil {
			err = json.Unmarshal(each, &out[i])
		}
		if string(bytes.TrimSpace(each)) == "null" {
			err = errors.New("null")
		}
	}
	if err != nil || len(out) == 0 {
		return nil, fmt.Errorf("%s must be a string or a list of strings", element)
	}
	return out, nil
}

func (d *Document) statement(kind Kind, raw json.RawMessage) (s statement, err error) {
	members, err := object(raw)
	if err != nil {
		return s, err
	}
	has := map[string]bool{}
	for _, m := range members {
		has[m.name] = true
		if err := d.element(&s, m); err != nil {
			return s, err
		}
	}
	return s, complete(kind, has)
}

func (d *Document) element(s *statement, m member) (err error) {
	switch m.name {
	case "Sid":
		if json.Unmarshal(m.value, &s.sid) != nil || strings.ContainsFunc(s.sid, notSid) {
			return errors.New("Sid must be letters and digits")
		}
	case "Effect":
		var effect string
		if json.Unmarshal(m.value, &effect) != nil || effect != "Allow" && effect != "Deny" {
			return errors.New("Effect must be Allow or Deny")
		}
		s.deny = effect == "Deny"
	case "Action", "NotAction":
		s.notActions = m.name == "NotAction"
		s.actions, err = d.actions(m)
	case "Resource", "NotResource":
		s.notOn = m.name == "NotResource"
		s.resources, err = d.resources(m)
	case "Principal", "NotPrincipal":
		s.principals, err = readPrincipals(m)
	case "Condition":
		s.conditions, err = d.conditions(m.value)
	default:
		return fmt.Errorf("%q is no element of a statement", m.name)
	}
	return err
}

func notSid(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != ' ' && r != '_' && r != '-' && r != '.'
}

// complete says what a statement lacks, or has too much of.
func complete(kind Kind, has map[string]bool) error {
	for _, pair := range [][2]string{{"Action", "NotAction"}, {"Resource", "NotResource"}, {"Principal", "NotPrincipal"}} {
		if has[pair[0]] && has[pair[1]] {
			return fmt.Errorf("%s and %s exclude each other", pair[0], pair[1])
		}
	}
	who, on := has["Principal"] || has["NotPrincipal"], has["Resource"] || has["NotResource"]
	switch {
	case !has["Effect"]:
		return errors.New("Effect is missing")
	case !has["Action"] && !has["NotAction"]:
		return errors.New("Action is missing")
	case kind == Identity && who:
		return errors.New("Principal is for the policies of resources and for trust: here it is whoever holds the policy")
	case kind != Identity && !who:
		return errors.New("Principal is missing")
	case kind == Trust && on:
		return errors.New("a trust policy has no Resource: it is the role")
	case kind != Trust && !on:
		return errors.New("Resource is missing")
	}
	return nil
}

func (d *Document) actions(m member) (out []pattern, err error) {
	names, err := texts(m.name, m.value)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		service, operation, ok := strings.Cut(name, ":")
		if name != "*" && (!ok || service == "" || operation == "" || strings.ContainsAny(name, " /${}")) {
			return nil, fmt.Errorf("%q is no action: want service:Operation", name)
		}
		out = append(out, compile(strings.ToLower(name), false))
	}
	return out, nil
}

func (d *Document) resources(m member) (out []arnPattern, err error) {
	names, err := texts(m.name, m.value)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		p, err := compileARN(name, d.variables)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// principals are whom a statement is about.
type principals struct {
	anybody  bool
	anyAWS   bool // whoever is no service
	accounts []string
	arns     []string
	services []string
	not      bool
}

func readPrincipals(m member) (*principals, error) {
	p := &principals{not: m.name == "NotPrincipal"}
	if string(bytes.TrimSpace(m.value)) == `"*"` {
		p.anybody = true
		return p, nil
	}
	kinds, err := object(m.value)
	if err != nil {
		return nil, fmt.Errorf(`%s must be "*" or an object such as {"AWS": ARN}`, m.name)
	}
	for _, k := range kinds {
		names, err := texts(m.name+"."+k.name, k.value)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if err := p.add(k.name, name); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

func (p *principals) add(kind, name string) error {
	switch {
	case kind == "Service" && strings.Contains(name, "."):
		p.services = append(p.services, name)
	case kind != "AWS":
		return fmt.Errorf("a principal of the kind %q is not supported: AWS and Service are", kind)
	case name == "*":
		p.anyAWS = true
	case isAccount(name):
		p.accounts = append(p.accounts, name)
	default:
		arn, err := moorage.ParseARN(name)
		if err != nil || strings.ContainsAny(name, "*?") || arn.Service != "iam" && arn.Service != "sts" {
			return fmt.Errorf("%q is no principal: want an account, or the ARN of a user or role without wildcards", name)
		}
		if arn.Resource == "root" {
			p.accounts = append(p.accounts, arn.Account)
		} else {
			p.arns = append(p.arns, name)
		}
	}
	return nil
}

// Only refuses a document whose statements name anything but one ARN, as they stand on a resource.
func (d *Document) Only(arn string) error {
	for _, s := range d.statements {
		for _, on := range s.resources {
			if s.notOn || on.text != arn {
				return malformed("statement %s: Resource must be exactly %s, on which the policy stands", s.sid, arn)
			}
		}
	}
	return nil
}

func isAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }
