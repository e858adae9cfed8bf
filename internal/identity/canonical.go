package identity

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// canonicalRequest is the text that the client has signed the hash of.
// Source: AWS, "Create a signed AWS API request", step 1.
func canonicalRequest(r *http.Request, a *authorization) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n")
	b.WriteString(canonicalPath(rawPath(r), a.scope.service) + "\n")
	b.WriteString(canonicalQuery(a.query) + "\n")
	for _, name := range a.signedHeaders {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(a.signedHeaders, ";") + "\n" + a.payloadHash)
	return b.String()
}

func (a *authorization) stringToSign(canonical string) string {
	hash := sha256.Sum256([]byte(canonical))
	return algorithm + "\n" + a.timestamp + "\n" + a.scope.String() + "\n" + hex.EncodeToString(hash[:])
}

// rawPath is the path as it came over the wire. r.URL.Path has lost which slashes of an ARN were
// written %2F, and those are signed.
func rawPath(r *http.Request) string {
	path, _, _ := strings.Cut(target(r), "?")
	return path
}

func rawQuery(r *http.Request) string {
	_, query, _ := strings.Cut(target(r), "?")
	return query
}

// target is the request's target in origin form: a proxy's client sends the whole URL.
func target(r *http.Request) string {
	t := r.RequestURI
	if t == "" { // made by hand, not by a server
		t = r.URL.RequestURI()
	}
	if _, rest, ok := strings.Cut(t, "://"); ok && !strings.HasPrefix(t, "/") {
		i := strings.IndexAny(rest, "/?")
		if i < 0 {
			return "/"
		}
		return rest[i:]
	}
	return t
}

// canonicalPath encodes the already encoded path once more, as every service but S3 has it. Segments
// like ".." stay as they are, so a path that a client cleans before it signs does not verify.
func canonicalPath(raw, service string) string {
	if service == S3 {
		if decoded, err := url.PathUnescape(raw); err == nil {
			raw = decoded
		}
	}
	if raw == "" {
		return "/"
	}
	return encode(raw, "/")
}

// canonicalQuery is every parameter but the signature itself, encoded and in order.
func canonicalQuery(query []parameter) string {
	encoded := make([]parameter, 0, len(query))
	for _, p := range query {
		if p.name != "X-Amz-Signature" {
			encoded = append(encoded, parameter{encode(p.name, ""), encode(p.value, "")})
		}
	}
	slices.SortFunc(encoded, func(a, b parameter) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	parts := make([]string, len(encoded))
	for i, p := range encoded {
		parts[i] = p.name + "=" + p.value
	}
	return strings.Join(parts, "&")
}

const upperHex = "0123456789ABCDEF"

// encode percent-encodes every byte but AWS's unreserved ones and those in keep.
func encode(s, keep string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~"+keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}
