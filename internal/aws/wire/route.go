package wire

import (
	"net/url"
	"strings"
)

// uriPattern is a path with labels, cut at its slashes. Source: Smithy specification, http trait.
type uriPattern struct {
	parts []uriPart
	rest  bool // the last label takes what is left, slashes included
}

type uriPart struct {
	text  string // a literal, or the label's name
	label bool
	arn   bool // a label for an ARN, which clients may send with its slashes unescaped
}

func parsePattern(uri string) uriPattern {
	var p uriPattern
	for _, s := range splitPath(uri) {
		part := uriPart{text: s}
		if strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") {
			name := s[1 : len(s)-1]
			if trimmed, greedy := strings.CutSuffix(name, "+"); greedy {
				name, p.rest = trimmed, true
			}
			part = uriPart{text: name, label: true, arn: strings.HasSuffix(strings.ToLower(name), "arn")}
		}
		p.parts = append(p.parts, part)
	}
	return p
}

// EscapedPath is [url.URL.EscapedPath] of an address that was parsed, or edited with both of its paths. Where the path came with escapes
// of its own, net/url decodes it once more to see that they fit what its parser has decoded.
func EscapedPath(u *url.URL) string {
	if u.RawPath == "" || !isPlain(u.RawPath) {
		return u.EscapedPath()
	}
	return u.RawPath
}

// isPlain reports whether all of an escaped path is what net/url leaves as it is.
func isPlain(path string) bool {
	for i := range len(path) {
		if !inPaths[path[i]] {
			return false
		}
	}
	return true
}

// inPaths are bytes that an escaped path may be of. Source: RFC 3986, 3.3.
var inPaths = func() (in [256]bool) {
	for _, c := range []byte("%/-._~!$&'()*+,;=:@0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		in[c] = true
	}
	return in
}()

// splitPath cuts an escaped path at its slashes. One slash at the end counts for nothing: AWS's models
// differ on it, operation by operation, and hand-written clients forget it.
func splitPath(path string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
}

// fit says how well a path matches a pattern; higher wins. 0 is no match.
type fit int

const (
	noFit    fit = 0
	loose    fit = 1       // plus the literals matched: an ARN label took several segments
	exactFit fit = 1 << 10 // plus the literals matched
)

// match compares a path's escaped segments with the pattern.
func (p uriPattern) match(path []string) (fit, map[string]string) {
	if p.rest {
		return p.matchRest(path)
	}
	if len(path) == len(p.parts) {
		return p.matchSpan(path, -1, exactFit)
	}
	if i := p.arnLabel(); i >= 0 && len(path) > len(p.parts) {
		return p.matchSpan(path, i, loose)
	}
	return noFit, nil
}

func (p uriPattern) arnLabel() int {
	for i, part := range p.parts {
		if part.arn {
			return i
		}
	}
	return -1
}

// matchSpan matches with the label at index wide, if any, taking all surplus segments: what is
// left of it is fixed, so that the split falls on the pattern's own ending.
func (p uriPattern) matchSpan(path []string, wide int, kind fit) (fit, map[string]string) {
	surplus := len(path) - len(p.parts)
	literals, ok := p.literals(path, wide)
	if !ok { // most patterns fail here, and labels cost more to read
		return noFit, nil
	}
	var labels map[string]string
	at := 0
	for i, part := range p.parts {
		take := 1
		if i == wide {
			take += surplus
		}
		text := strings.Join(path[at:at+take], "/")
		at += take
		if !part.label {
			continue
		}
		value, err := url.PathUnescape(text)
		if err != nil || value == "" || (i == wide && !strings.HasPrefix(value, "arn:")) {
			return noFit, nil
		}
		if labels == nil {
			labels = make(map[string]string, 2)
		}
		labels[part.text] = value
	}
	return kind + fit(literals), labels
}

// literals counts the literals of the pattern, if all stand in the path where the pattern has them
// when the label at index wide takes all surplus segments.
func (p uriPattern) literals(path []string, wide int) (n int, ok bool) {
	for i, part := range p.parts {
		if part.label {
			continue
		}
		at := i
		if wide >= 0 && i > wide {
			at += len(path) - len(p.parts)
		}
		if path[at] != part.text {
			return 0, false
		}
		n++
	}
	return n, true
}

func (p uriPattern) matchRest(path []string) (fit, map[string]string) {
	last := len(p.parts) - 1
	if len(path) <= last {
		return noFit, nil
	}
	whole := append(path[:last:last], strings.Join(path[last:], "/"))
	return p.matchSpan(whole, -1, exactFit)
}
