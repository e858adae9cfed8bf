package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is something in a policy that does not do what its author may think. It is not refused.
type Finding struct {
	Statement string `json:"statement"` // Sid, or number from 1
	Message   string `json:"message"`
}

// Known is what a linter compares with.
type Known struct {
	Actions []string // service:Operation; services that none is listed of are not looked at
	Shapes  []string // ARNs, where {name} stands for one part without slashes and colons, and {rest} for anything
}

// Lint finds actions that nothing is called and ARNs that can match nothing.
func (d *Document) Lint(k Known) (out []Finding) {
	for i := range d.statements {
		s := &d.statements[i]
		add := func(format string, args ...any) { out = append(out, Finding{s.sid, fmt.Sprintf(format, args...)}) }
		for _, a := range s.actions {
			if message := k.action(a); message != "" {
				add("%s", message)
			}
		}
		for _, on := range s.resources {
			if message := k.resource(on); message != "" {
				add("%s", message)
			}
		}
		if s.notActions && !s.deny {
			add("Allow with NotAction gives every other action of every service, also of those that come later")
		}
		if s.notOn && !s.deny {
			add("Allow with NotResource gives every other resource, also those that come later")
		}
		if p := s.principals; p != nil && !s.deny && (p.anybody || p.anyAWS || p.not) && len(s.conditions) == 0 {
			add("anybody is let in, and no condition bounds it")
		}
		for _, c := range s.conditions {
			if !knownKey(c.key) {
				add("the condition key %s is never there: %s", c.key, absentMeans(c))
			}
		}
	}
	if !d.variables {
		out = append(out, Finding{"", `without "Version": "2012-10-17" a variable such as ${aws:username} is taken for text`})
	}
	return out
}

func absentMeans(c condition) string {
	if c.holds(&Request{}) {
		return "the condition always holds"
	}
	return "the condition never holds"
}

func (k Known) action(p pattern) string {
	written := p.text
	if p.simple == prefix {
		written += "*"
	}
	if p.simple == everything {
		return ""
	}
	service, _, _ := strings.Cut(written, ":")
	listed := slices.ContainsFunc(k.Actions, func(a string) bool { return strings.HasPrefix(strings.ToLower(a), service+":") })
	if !listed || slices.ContainsFunc(k.Actions, p.matchFold) {
		return ""
	}
	return fmt.Sprintf("no action is called %s", written)
}

// resource says what is wrong with an ARN that can match nothing.
func (k Known) resource(p arnPattern) string {
	if p.all || strings.Contains(p.text, "${") {
		return ""
	}
	fields := strings.SplitN(p.text, ":", 6)
	if len(fields) > 2 && !strings.ContainsAny(fields[2], "*?") && !slices.ContainsFunc(k.Shapes, func(s string) bool { return strings.HasPrefix(s, "arn:aws:"+fields[2]+":") }) {
		return fmt.Sprintf("%s: nothing here is of the service %s", p.text, fields[2])
	}
	for len(fields) < 6 {
		fields = append(fields, "*")
	}
	for _, shape := range k.Shapes {
		if meetsARN(fields, strings.SplitN(shape, ":", 6)) {
			return ""
		}
	}
	return fmt.Sprintf("%s can match nothing: resources are called %s", p.text, strings.Join(k.like(fields[2]), ", "))
}

// like are the shapes of a service.
func (k Known) like(service string) (out []string) {
	for _, s := range k.Shapes {
		if strings.HasPrefix(s, "arn:aws:"+service+":") {
			out = append(out, s)
		}
	}
	return out
}

func meetsARN(fields, shape []string) bool {
	for i := range fields {
		if !meets(fields[i], shape[i]) {
			return false
		}
	}
	return true
}

// meets reports whether some text fits both a pattern with wildcards and a shape.
func meets(pattern, shape string) bool {
	t := shapeTokens(shape)
	seen := map[[2]int]bool{}
	var walk func(i, j int) bool
	walk = func(i, j int) bool {
		if seen[[2]int{i, j}] {
			return false
		}
		seen[[2]int{i, j}] = true
		if i == len(pattern) && j == len(t) {
			return true
		}
		if i < len(pattern) && pattern[i] == '*' && walk(i+1, j) {
			return true
		}
		if j < len(t) && t[j].loops && walk(i, j+1) {
			return true
		}
		if i == len(pattern) || j == len(t) || !t[j].takes(pattern[i]) {
			return false
		}
		next, then := i+1, j+1
		if pattern[i] == '*' {
			next = i
		}
		if t[j].loops {
			then = j
		}
		return walk(next, then) || t[j].loops && walk(next, j+1)
	}
	return walk(0, 0)
}

// shapeToken is one character of a shape: itself, or any.
type shapeToken struct {
	char  byte // 0 for any
	loops bool // any number of times
	rest  bool // slashes too
}

// takes reports whether it may be the character that a pattern has there; wildcards may be any.
func (t shapeToken) takes(c byte) bool {
	if c == '*' || c == '?' {
		return true
	}
	if t.char != 0 {
		return t.char == c
	}
	return t.rest || c != '/' && c != ':'
}

func shapeTokens(shape string) (out []shapeToken) {
	for i := 0; i < len(shape); i++ {
		if shape[i] != '{' {
			out = append(out, shapeToken{char: shape[i]})
			continue
		}
		end := i + strings.IndexByte(shape[i:], '}')
		rest := shape[i:end+1] == "{rest}"
		if !rest {
			out = append(out, shapeToken{})
		}
		out = append(out, shapeToken{loops: true, rest: rest})
		i = end
	}
	return out
}

// keys are the condition keys that requests have values for here.
var keys = []string{
	"aws:currenttime", "aws:epochtime", "aws:requestedregion", "aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:username", "aws:userid",
	"aws:sourceip", "aws:securetransport", "aws:useragent", "aws:referer", "aws:tagkeys", "aws:sourceaccount", "aws:sourcearn",
	"bedrock-agentcore:userid", "bedrock-agentcore:runtimesessionid", "bedrock-agentcore:runtimeauthorizertype", "bedrock-agentcore:kmskeyarn",
	"bedrock-agentcore:subnets", "bedrock-agentcore:securitygroups",
	"iam:passedtoservice", "sts:externalid", "sts:rolesessionname",
}

func knownKey(key string) bool {
	for _, prefix := range []string{"aws:requesttag/", "aws:resourcetag/", "bedrock-agentcore:inboundjwtclaim/"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return slices.Contains(keys, key)
}
