package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

// AgentCore is the name that requests to both planes are signed for. Source: botocore's service
// models, signingName.
const AgentCore = "bedrock-agentcore"

// IAM has no regions: its clients sign for us-east-1 wherever they are.
const IAM = "iam"

// S3 is signed unlike every other service: its path is encoded once, not twice.
const S3 = "s3"

// DefaultMaxBody is the largest body of a call, in bytes. Source: AgentCore, InvokeAgentRuntime's payload.
const DefaultMaxBody = 100_000_000

// IsAccessKeyID reports whether a text has the form of an access key's id. What has not may be anything that somebody put into the
// wrong field, a secret too: it is kept out of records. Source: IAM API, accessKeyIdType, and AWS's prefixes.
func IsAccessKeyID(s string) bool {
	return len(s) >= 16 && len(s) <= 32 && (strings.HasPrefix(s, "AKIA") || strings.HasPrefix(s, temporaryPrefix)) &&
		!strings.ContainsFunc(s, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') })
}

// AccessKey is what a Verifier has to know of a key. It holds the secret: do not log it.
type AccessKey struct {
	Secret    string
	Principal string // ARN of whoever holds the key
	// Token is the session token that has to come with the key; empty for a long-term key, with
	// which none may come.
	Token   string
	Expires time.Time // zero for never

	SessionPolicy string // bounds what a role's session may do; empty for no bound
}

// Verifier checks signatures. Keys and Services are required. It may be used concurrently, and must
// not be copied or changed after its first use.
type Verifier struct {
	// Keys finds an active access key by its id. A moorage.NotFound means that there is none; any
	// other error is passed on as it is. It runs on every call and should not wait for a disk.
	Keys func(ctx context.Context, accessKeyID string) (AccessKey, error)

	// Temporary recognises credentials that it made, without asking Keys. Nil knows none.
	Temporary *Temporary

	// Services holds the signing names that are served here, each with the size of its largest body
	// in bytes; 0 is DefaultMaxBody.
	Services map[string]int64

	// Regions are those that a request may be signed for. Empty accepts all.
	Regions []string

	// UnsignedPayload accepts bodies that the signature does not cover: UNSIGNED-PAYLOAD, and for S3
	// also the chunks with a checksum behind them that its clients send over TLS. They are not read
	// before the handler reads them. Set it only where nobody can sit between: TLS or loopback.
	UnsignedPayload bool

	TempDir string           // for bodies over 1 MiB; default os.TempDir
	Now     func() time.Time // default time.Now

	signing keyCache
}

// Signed is a request that verified.
type Signed struct {
	Caller  moorage.Caller
	Service string // signing name, one of Verifier.Services
	Region  string
}

// Verify says who made r. On success r.Body holds the verified body from its start, r.ContentLength
// its size, and whoever called Verify has to close r.Body: net/http closes the one that it made, not
// this one, which may hold an unlinked temporary file. On failure the body may have been read in part.
//
// Errors that a caller may see: moorage.Unauthenticated with an Exception, for everything that is
// wrong with a signature; moorage.Invalid for a malformed one (IncompleteSignatureException), for a
// body over the limit, and for one whose connection ran into its read deadline (RequestTimeoutException).
func (v *Verifier) Verify(r *http.Request) (Signed, error) {
	a, err := parseAuthorization(r)
	if err != nil {
		return Signed{}, err
	}
	if err := v.check(r, a); err != nil {
		return Signed{}, err
	}
	key, err := v.verify(r, a)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Caller: key.caller(a.accessKeyID), Service: a.scope.service, Region: a.scope.region}, nil
}

// check refuses what needs no key to refuse.
func (v *Verifier) check(r *http.Request, a *authorization) error {
	if err := v.checkScope(a.scope); err != nil {
		return err
	}
	if err := checkSignedHeaders(r, a); err != nil {
		return err
	}
	if err := a.checkTime(v.now()); err != nil {
		return err
	}
	if err := a.checkExpires(rawPath(r)); err != nil {
		return err
	}
	return v.checkPayload(r, a)
}

func (v *Verifier) checkScope(s scope) error {
	if _, ok := v.Services[s.service]; !ok {
		return s.refuse(badSignature, "Credential should be scoped to correct service: %q is not served here.", s.service)
	}
	if len(v.Regions) > 0 && s.service != IAM && !slices.Contains(v.Regions, s.region) {
		return s.refuse(badSignature, "Credential should be scoped to a valid region: %q is not served here, %s is.", s.region, strings.Join(v.Regions, ", "))
	}
	return nil
}

// verify checks the signature, then the body, then the rest of the key. A body whose hash the client
// sent is not read before the signature over that hash is good; one of which it sent none has to be.
func (v *Verifier) verify(r *http.Request, a *authorization) (AccessKey, error) {
	key, err := v.key(r.Context(), a)
	if err != nil {
		return AccessKey{}, err
	}
	body := &body{scope: a.scope, limit: v.maxBody(a.scope.service), dir: v.TempDir}
	if a.payloadHash == "" {
		if err := body.read(r); err != nil {
			return AccessKey{}, err
		}
		a.payloadHash = body.hash
	}
	if !v.matches(r, a, key.Secret) {
		body.Close()
		return AccessKey{}, a.scope.refuse(badSignature, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if err := a.checkSession(key, v.now()); err != nil {
		body.Close()
		return AccessKey{}, err
	}
	return key, body.replace(r, a.payloadHash)
}

// key finds the key. For one that does not exist the signature is calculated all the same, with a
// secret that nobody has, so that the time taken does not tell one from the other.
func (v *Verifier) key(ctx context.Context, a *authorization) (AccessKey, error) {
	key, unknown, err := v.lookUp(ctx, a)
	if unknown != "" {
		sign(deriveKey("no such key", a.scope), a.stringToSign(nil, nil))
		return AccessKey{}, a.scope.refuse(badToken, "The security token included in the request is invalid: %s.", unknown)
	}
	return key, err
}

// lookUp returns the key, or why there is none that the caller may use.
func (v *Verifier) lookUp(ctx context.Context, a *authorization) (key AccessKey, unknown string, err error) {
	if v.Temporary != nil && isTemporary(a.accessKeyID) {
		key, unknown = v.Temporary.accessKey(ctx, a.accessKeyID, a.token)
		return key, unknown, nil
	}
	key, err = v.Keys(ctx, a.accessKeyID)
	if moorage.CodeOf(err) == moorage.NotFound {
		if !IsAccessKeyID(a.accessKeyID) { // a secret in the wrong place, perhaps: it is not repeated
			return key, "there is no such access key", nil
		}
		return key, "there is no active access key " + a.accessKeyID, nil
	}
	return key, "", err
}

func (v *Verifier) matches(r *http.Request, a *authorization, secret string) bool {
	var room [1 << 10]byte // what calls of SDKs fit in
	canonical := canonicalRequest(room[:0], r, a)
	var by *signer
	if isTemporary(a.accessKeyID) { // used a few times: nothing to keep
		by = newSigner(deriveKey(secret, a.scope))
	} else {
		by = v.signing.signer(secret, a.scope)
	}
	return by.signed(a, canonical)
}

// sign returns HMAC-SHA256 of text.
func sign[T string | []byte](key []byte, text T) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// checkSession compares the session token with the key's, and refuses a key that has expired.
func (a *authorization) checkSession(key AccessKey, now time.Time) error {
	if subtle.ConstantTimeCompare([]byte(a.token), []byte(key.Token)) != 1 {
		if key.Token == "" {
			return a.scope.refuse(badToken, "The security token included in the request is invalid: access key %s has no session token (is AWS_SESSION_TOKEN left over from another account?).", a.accessKeyID)
		}
		return a.scope.refuse(badToken, "The security token included in the request is invalid.")
	}
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return a.scope.refuse(expiredToken, "The security token included in the request is expired.")
	}
	return nil
}

// caller is whoever holds the key with this id.
func (k AccessKey) caller(id string) moorage.Caller {
	c := moorage.Caller{Source: moorage.SigV4, ARN: k.Principal, AccessKeyID: id, SessionPolicy: k.SessionPolicy}
	if arn, err := moorage.ParseARN(k.Principal); err == nil {
		c.Account = arn.Account
	}
	return c
}

func (v *Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

func (v *Verifier) maxBody(service string) int64 {
	if n := v.Services[service]; n > 0 {
		return n
	}
	return DefaultMaxBody
}

// exception is the name of a refusal, by which SDKs decide whether to correct their clock, to fetch new
// credentials or to give up. Source: AWS, "Common errors"; S3 has names of its own.
type exception struct{ name, s3 string }

var (
	noCredentials = exception{"MissingAuthenticationTokenException", "AccessDenied"}
	malformed     = exception{"IncompleteSignatureException", "AuthorizationHeaderMalformed"}
	badSignature  = exception{"InvalidSignatureException", "SignatureDoesNotMatch"}
	wrongClock    = exception{"InvalidSignatureException", "RequestTimeTooSkewed"}
	wrongBody     = exception{"InvalidSignatureException", "XAmzContentSHA256Mismatch"}
	badToken      = exception{"UnrecognizedClientException", "InvalidAccessKeyId"}
	expiredToken  = exception{"ExpiredTokenException", "ExpiredToken"}
	tooLate       = exception{"RequestTimeoutException", "RequestTimeout"}
)

// refuse makes the error for a request of the scope's service that does not verify.
func (s scope) refuse(x exception, format string, args ...any) *moorage.Error {
	code := moorage.Unauthenticated
	if x == malformed || x == tooLate {
		code = moorage.Invalid
	}
	e := moorage.Errorf(code, format, args...)
	e.Exception = x.name
	if s.service == S3 {
		e.Exception = x.s3
	}
	return e
}
