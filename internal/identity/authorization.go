package identity

import (
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

const algorithm = "AWS4-HMAC-SHA256"

// Limits on what is parsed before anybody is known.
const (
	maxAuthorization = 8 << 10 // bytes of the header
	maxParts         = 16
	maxSignedHeaders = 64
	maxSkew          = 15 * time.Minute   // Source: AWS, "Elements of a request signature"
	maxExpires       = 7 * 24 * time.Hour // Source: the same, of presigned addresses
	maxSocketExpires = 5 * time.Minute    // Source: the AgentCore SDK, presigned WebSocket addresses
)

const timeFormat = "20060102T150405Z"

// Values of X-Amz-Content-Sha256 that are not a hash.
const (
	unsignedPayload  = "UNSIGNED-PAYLOAD"
	unsignedChunks   = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	streamingPayload = "STREAMING-" // the prefix of every form in chunks
)

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// authorization is what a request says of its signature.
type authorization struct {
	accessKeyID   string
	scope         scope
	signedHeaders []string // lower case, ascending
	signature     []byte
	token         string // session token
	time          time.Time
	timestamp     string        // time, as it is signed
	expires       time.Duration // of a presigned address; 0 for the header form
	presigned     bool
	query         []parameter // of the request, decoded
	payloadHash   string      // as signed; empty until the body was read where the client sent none
}

// scope is what a signing key is good for.
type scope struct {
	date    string // YYYYMMDD
	region  string
	service string
}

func (s scope) String() string { return s.date + "/" + s.region + "/" + s.service + "/aws4_request" }

// parseAuthorization reads the header form or the query form, whichever the request has.
func parseAuthorization(r *http.Request) (*authorization, error) {
	query, err := parseQuery(rawQuery(r))
	if err != nil {
		return nil, err
	}
	a := &authorization{query: query}
	headers := r.Header["Authorization"]
	switch presigned := has(query, "X-Amz-Signature") || has(query, "X-Amz-Algorithm"); {
	case len(headers) > 1 || len(headers) == 1 && presigned:
		return nil, scope{}.refuse(malformed, "A request has to be signed once: in one Authorization header, or in its query.")
	case presigned:
		return a, a.parseQueryForm()
	case len(headers) == 0:
		return nil, scope{}.refuse(noCredentials, "Missing Authentication Token")
	}
	return a, a.parseHeaderForm(r, headers[0])
}

// parseHeaderForm reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…".
func (a *authorization) parseHeaderForm(r *http.Request, header string) error {
	if len(header) > maxAuthorization {
		return scope{}.refuse(malformed, "The Authorization header is longer than %d bytes.", maxAuthorization)
	}
	scheme, rest, _ := strings.Cut(header, " ")
	if strings.EqualFold(scheme, "Bearer") {
		return moorage.Errorf(moorage.Denied, "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your request. Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)")
	}
	if scheme != algorithm {
		return scope{}.refuse(noCredentials, "Missing Authentication Token: the Authorization header is not an %s signature.", algorithm)
	}
	parts := make([]parameter, 0, 3)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || has(parts, name) || len(parts) == maxParts {
			return scope{}.refuse(malformed, "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature', each once.")
		}
		parts = append(parts, parameter{name, value})
	}
	if err := a.parseParts(valueOf(parts, "Credential"), valueOf(parts, "SignedHeaders"), valueOf(parts, "Signature")); err != nil {
		return err
	}
	a.token = r.Header.Get("X-Amz-Security-Token")
	a.payloadHash = r.Header.Get("X-Amz-Content-Sha256")
	return a.parseHeaderTime(r)
}

// parseHeaderTime reads X-Amz-Date, or Date where that is missing.
func (a *authorization) parseHeaderTime(r *http.Request) error {
	if stamp := r.Header.Get("X-Amz-Date"); stamp != "" {
		return a.parseTimestamp(stamp)
	}
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return a.scope.refuse(malformed, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	return a.parseTimestamp(at.UTC().Format(timeFormat))
}

// parseQueryForm reads the X-Amz-… parameters of a presigned address.
func (a *authorization) parseQueryForm() error {
	a.presigned = true
	values := map[string]string{}
	for _, p := range a.query {
		if !strings.HasPrefix(p.name, "X-Amz-") {
			continue
		}
		if _, twice := values[p.name]; twice {
			return scope{}.refuse(malformed, "%s stands in the query twice.", p.name)
		}
		values[p.name] = p.value
	}
	if values["X-Amz-Algorithm"] != algorithm {
		return scope{}.refuse(malformed, "X-Amz-Algorithm has to be %s.", algorithm)
	}
	if err := a.parseParts(values["X-Amz-Credential"], values["X-Amz-SignedHeaders"], values["X-Amz-Signature"]); err != nil {
		return err
	}
	a.token = values["X-Amz-Security-Token"]
	a.payloadHash = presignedHash(a.scope, values["X-Amz-Content-Sha256"])
	seconds, err := strconv.ParseUint(values["X-Amz-Expires"], 10, 31)
	if err != nil {
		return a.scope.refuse(malformed, "X-Amz-Expires has to be a number of seconds.")
	}
	a.expires = time.Duration(seconds) * time.Second
	return a.parseTimestamp(values["X-Amz-Date"])
}

// presignedHash is what a presigned address signs in place of a body's hash: for S3, that there is
// none; for the others the empty body, unless the query says otherwise.
func presignedHash(s scope, named string) string {
	switch {
	case named != "":
		return named
	case s.service == S3:
		return unsignedPayload
	}
	return emptyHash
}

func (a *authorization) parseParts(credential, signedHeaders, signature string) (err error) {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || slices.Contains(parts, "") || parts[4] != "aws4_request" {
		return scope{}.refuse(malformed, "Credential has to be KEY/YYYYMMDD/REGION/SERVICE/aws4_request, got %q.", credential)
	}
	a.accessKeyID, a.scope = parts[0], scope{parts[1], parts[2], parts[3]}
	a.signedHeaders = strings.Split(signedHeaders, ";")
	if len(a.signedHeaders) > maxSignedHeaders {
		return a.scope.refuse(malformed, "More than %d headers are signed.", maxSignedHeaders)
	}
	for i, name := range a.signedHeaders {
		if name == "" || name != strings.ToLower(name) || i > 0 && name <= a.signedHeaders[i-1] {
			return a.scope.refuse(malformed, "SignedHeaders has to be header names in lower case, in order, each once.")
		}
	}
	if a.signature, err = hex.DecodeString(signature); err != nil || len(a.signature) != 32 {
		return a.scope.refuse(malformed, "Signature has to be 64 hexadecimal digits.")
	}
	return nil
}

func (a *authorization) parseTimestamp(stamp string) (err error) {
	if a.time, err = time.Parse(timeFormat, stamp); err != nil {
		return a.scope.refuse(malformed, "Date must be in ISO-8601 'basic format'. Got %q.", stamp)
	}
	if a.timestamp = stamp; stamp[:8] != a.scope.date {
		return a.scope.refuse(badSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s'.", a.scope.date, stamp[:8])
	}
	return nil
}

// checkTime holds the request to the clock. The words of the messages are AWS's.
func (a *authorization) checkTime(now time.Time) error {
	earliest, latest := a.time.Add(-maxSkew), a.time.Add(maxSkew)
	if a.presigned {
		latest = a.time.Add(a.expires)
	}
	switch at := now.UTC(); {
	case at.Before(earliest):
		return a.scope.refuse(wrongClock, "Signature not yet current: %s is still later than %s (%s + 15 min.)",
			a.timestamp, at.Add(maxSkew).Format(timeFormat), at.Format(timeFormat))
	case at.After(latest) && a.presigned:
		return a.scope.refuse(wrongClock, "Signature expired: the address was good until %s, it is %s.", latest.Format(timeFormat), at.Format(timeFormat))
	case at.After(latest):
		return a.scope.refuse(wrongClock, "Signature expired: %s is now earlier than %s (%s - 15 min.)",
			a.timestamp, at.Add(-maxSkew).Format(timeFormat), at.Format(timeFormat))
	}
	return nil
}

// checkExpires bounds the life of a presigned address.
func (a *authorization) checkExpires(path string) error {
	limit := maxExpires
	if a.scope.service == AgentCore && (strings.HasSuffix(path, "/ws") || strings.HasSuffix(path, "/ws/shells")) {
		limit = maxSocketExpires
	}
	if a.expires > limit {
		return a.scope.refuse(malformed, "X-Amz-Expires must be at most %d seconds here.", int(limit.Seconds()))
	}
	return nil
}

// authority is what HTTP/2 has for the host, and what the SDK for JavaScript signs there.
const authority = ":authority"

// checkSignedHeaders requires that the signature covers the host, the time, and everything in the
// request that AWS gives a meaning to: else somebody on the way could add a user's id. AWS itself
// asks for this of X-Amz-* only; all its SDKs sign the others too.
func checkSignedHeaders(r *http.Request, a *authorization) error {
	if !a.signs("host") && !(r.ProtoMajor == 2 && a.signs(authority)) {
		return a.scope.refuse(badSignature, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		if !mustSign(name) {
			continue
		}
		if !slices.ContainsFunc(a.signedHeaders, func(signed string) bool { return len(signed) == len(name) && strings.EqualFold(signed, name) }) {
			return a.scope.refuse(badSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.ToLower(name))
		}
	}
	if !a.presigned && !a.signs("x-amz-date") && !a.signs("date") {
		return a.scope.refuse(badSignature, "'X-Amz-Date' or 'Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

func mustSign(name string) bool {
	return hasPrefixFold(name, "x-amz-") || hasPrefixFold(name, "x-amzn-bedrock-agentcore-")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func (a *authorization) signs(header string) bool {
	_, ok := slices.BinarySearch(a.signedHeaders, header)
	return ok
}

// checkPayload refuses bodies that could not be verified, and hashes that are none.
func (v *Verifier) checkPayload(r *http.Request, a *authorization) error {
	if hashes := r.Header["X-Amz-Content-Sha256"]; len(hashes) > 1 {
		return a.scope.refuse(malformed, "X-Amz-Content-Sha256 stands in the request twice.")
	}
	switch hash := a.payloadHash; {
	case hash == unsignedChunks && a.scope.service == S3 && v.UnsignedPayload:
		return nil
	case strings.HasPrefix(hash, streamingPayload):
		return a.scope.refuse(badSignature, "Bodies signed in chunks (%s) are not supported: let the client send the body's SHA-256 in X-Amz-Content-Sha256.", hash)
	case hash == unsignedPayload && !v.UnsignedPayload:
		return a.scope.refuse(badSignature, "Unsigned bodies are accepted over TLS or from this machine only: let the client sign the body.")
	case hash == unsignedPayload, hash == "", len(hash) == len(emptyHash) && isHex(hash):
		return nil
	}
	return a.scope.refuse(malformed, "X-Amz-Content-Sha256 has to be %s or 64 hexadecimal digits in lower case.", unsignedPayload)
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// appendHeader appends the value of a signed header as it is signed.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	switch values := r.Header[canonicalName(name)]; {
	case name == "host", name == authority && r.ProtoMajor == 2:
		return append(b, trimSpaces(r.Host)...)
	case name == "content-length" && len(values) == 0 && r.ContentLength >= 0:
		return strconv.AppendInt(b, r.ContentLength, 10)
	default:
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, trimSpaces(v)...)
		}
		return b
	}
}

// canonicalNames are those of headers that calls sign, in the form that net/http keeps names in, which it allocates for all but the
// best known.
var canonicalNames = map[string]string{
	"x-amz-date": "X-Amz-Date", "x-amz-content-sha256": "X-Amz-Content-Sha256", "x-amz-security-token": "X-Amz-Security-Token", "x-amz-target": "X-Amz-Target",
	"x-amzn-bedrock-agentcore-runtime-session-id": "X-Amzn-Bedrock-Agentcore-Runtime-Session-Id",
	"x-amzn-bedrock-agentcore-runtime-user-id":    "X-Amzn-Bedrock-Agentcore-Runtime-User-Id",
}

func canonicalName(lower string) string {
	if name, ok := canonicalNames[lower]; ok {
		return name
	}
	return textproto.CanonicalMIMEHeaderKey(lower)
}

// trimSpaces removes spaces around s and turns runs of them within it into one.
func trimSpaces(s string) string {
	s = strings.Trim(s, " \t")
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// parameter is one name and value of a query, decoded.
type parameter struct{ name, value string }

func has(query []parameter, name string) bool {
	return slices.ContainsFunc(query, func(p parameter) bool { return p.name == name })
}

// valueOf returns the first value under a name, or "".
func valueOf(parts []parameter, name string) string {
	for _, p := range parts {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// parseQuery splits a raw query. Unlike url.ParseQuery it keeps ';', which clients may sign.
func parseQuery(raw string) ([]parameter, error) {
	var query []parameter
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, scope{}.refuse(malformed, "The query is not percent-encoded as it should be.")
		}
		query = append(query, parameter{n, v})
	}
	return query, nil
}
