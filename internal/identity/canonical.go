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

// canonicalRequest appends the text that the client has signed the hash of.
// Source: AWS, "Create a signed AWS API request", step 1.
func canonicalRequest(b []byte, r *http.Request, a *authorization) []byte {
	b = append(append(b, r.Method...), '\n')
	b = append(appendPath(b, rawPath(r), a.scope.service), '\n')
	b = append(appendQuery(b, a.query), '\n')
	for _, name := range a.signedHeaders {
		b = append(append(b, name...), ':')
		b = append(appendHeader(b, r, name), '\n')
	}
	b = append(b, '\n')
	for i, name := range a.signedHeaders {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return append(append(b, '\n'), a.payloadHash...)
}

// stringToSign appends what the signature is of. Source: the same, step 3.
func (a *authorization) stringToSign(b, canonical []byte) []byte {
	hash := sha256.Sum256(canonical)
	for _, line := range [...]string{algorithm, "\n", a.timestamp, "\n", a.scope.date, "/", a.scope.region, "/", a.scope.service, "/aws4_request\n"} {
		b = append(b, line...)
	}
	return hex.AppendEncode(b, hash[:])
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

// appendPath encodes the already encoded path once more, as every service but S3 has it. Segments
// like ".." stay as they are, so a path that a client cleans before it signs does not verify.
func appendPath(b []byte, raw, service string) []byte {
	if service == S3 {
		if decoded, err := url.PathUnescape(raw); err == nil {
			raw = decoded
		}
	}
	if raw == "" {
		return append(b, '/')
	}
	return appendEncoded(b, raw, "/")
}

// appendQuery appends every parameter but the signature itself, encoded and in order.
func appendQuery(b []byte, query []parameter) []byte {
	encoded := make([]parameter, 0, len(query))
	for _, p := range query {
		if p.name != "X-Amz-Signature" {
			encoded = append(encoded, parameter{encode(p.name), encode(p.value)})
		}
	}
	slices.SortFunc(encoded, func(a, b parameter) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	for i, p := range encoded {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, p.name...), '='), p.value...)
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// encode percent-encodes every byte but AWS's unreserved ones.
func encode(s string) string {
	for i := range len(s) {
		if !unreserved(s[i]) {
			return string(appendEncoded(nil, s, ""))
		}
	}
	return s
}

// appendEncoded is encode, and leaves the bytes in keep as they are, too.
func appendEncoded(b []byte, s, keep string) []byte {
	for i := range len(s) {
		if c := s[i]; unreserved(c) || strings.IndexByte(keep, c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
}
