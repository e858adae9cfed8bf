package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

// Browser authenticates the console's pages. A page must not hold a secret where its scripts could
// lose it, so it trades an access key, or a [Ticket] made from one, for a cookie that scripts cannot
// read. Cookie and ticket are made with the key's secret: they end with the key.
//
// Somebody whom an OpenID provider vouched for has a cookie that says so, under a key of the server's: it ends with the user or
// role that they are here, and with the operator's word on who is what.
//
// Keys is required. It may be used concurrently.
type Browser struct {
	Keys   func(ctx context.Context, accessKeyID string) (AccessKey, error) // as a Verifier's
	Secure bool                                                             // pages come by TLS only
	Now    func() time.Time                                                 // default time.Now

	// PersonKey signs the logins of an OpenID provider's people; without it there are none.
	PersonKey []byte
	// Terms are what the operator said of who is what: logins by other terms have ended.
	Terms string
	// PrincipalID returns the id of a user or role, by its ARN; "" when it is gone.
	PrincipalID func(arn string) string

	mu   sync.Mutex
	used map[string]time.Time // tickets that were redeemed and cookies that were logged out, until they expire
}

const (
	cookieName = "moorage_console"
	// cookieLife is how long a login lasts: a working day.
	cookieLife = 12 * time.Hour
	// ticketLife is how long it may take from the command to the browser.
	ticketLife = time.Minute
)

// Ticket returns a login for one browser, once, within a minute.
func Ticket(accessKeyID, secret string, now time.Time) string {
	return proof("ticket", accessKeyID, secret, now.Add(ticketLife))
}

// Login trades an access key for a cookie. A wrong key or secret is moorage.Unauthenticated.
func (b *Browser) Login(ctx context.Context, accessKeyID, secret string) (*http.Cookie, error) {
	key, err := b.Keys(ctx, accessKeyID)
	if err != nil || !hmac.Equal([]byte(key.Secret), []byte(secret)) {
		return nil, moorage.Errorf(moorage.Unauthenticated, "no active access key has this id and secret: `moorage env` prints one that has")
	}
	return b.cookie(proof("cookie", accessKeyID, secret, b.now().Add(cookieLife)), int(cookieLife.Seconds())), nil
}

// Redeem trades a ticket for a cookie.
func (b *Browser) Redeem(ctx context.Context, ticket string) (*http.Cookie, error) {
	id, key, err := b.check(ctx, "ticket", ticket)
	if err != nil || !b.first(ticket, b.now().Add(ticketLife)) {
		return nil, moorage.Errorf(moorage.Unauthenticated, "this link was used already, or is older than a minute: `moorage console` makes a new one")
	}
	return b.cookie(proof("cookie", id, key.Secret, b.now().Add(cookieLife)), int(cookieLife.Seconds())), nil
}

// first notes a ticket or a cookie as used up, until it expires anyway, and reports whether it was not before.
func (b *Browser) first(used string, until time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for old, end := range b.used {
		if now.After(end) {
			delete(b.used, old)
		}
	}
	if _, again := b.used[used]; again {
		return false
	}
	if b.used == nil {
		b.used = map[string]time.Time{}
	}
	b.used[used] = until
	return true
}

// ended reports whether a cookie was logged out. A server that is started anew does not know.
func (b *Browser) ended(cookie string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, over := b.used[cookie]
	return over
}

// Logout returns a cookie that takes the browser's away. The login ends for whoever has a copy of the cookie, too.
func (b *Browser) Logout(r *http.Request) *http.Cookie {
	if cookie, err := r.Cookie(cookieName); err == nil {
		if _, err := b.Caller(r); err == nil {
			b.first(cookie.Value, b.now().Add(cookieLife))
		}
	}
	return b.cookie("", -1)
}

func (b *Browser) cookie(value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: b.Secure, SameSite: http.SameSiteStrictMode}
}

// LoggedIn reports whether r is a browser's: it has our cookie, and no credentials of its own.
func (b *Browser) LoggedIn(r *http.Request) bool {
	_, err := r.Cookie(cookieName)
	return err == nil && r.Header.Get("Authorization") == "" && !strings.Contains(r.URL.RawQuery, "X-Amz-")
}

// Caller says who is logged in. Errors: moorage.Unauthenticated when the login has ended;
// moorage.Denied when a page of another origin made the browser call.
func (b *Browser) Caller(r *http.Request) (moorage.Caller, error) {
	if !sameOrigin(r) {
		return moorage.Caller{}, moorage.Errorf(moorage.Denied, "a page of another origin may not use the console's login")
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return moorage.Caller{}, notLoggedIn
	}
	if strings.HasPrefix(cookie.Value, personPrefix) {
		return b.person(cookie.Value)
	}
	id, key, err := b.check(r.Context(), "cookie", cookie.Value)
	if err != nil {
		return moorage.Caller{}, err
	}
	if b.ended(cookie.Value) {
		return moorage.Caller{}, notLoggedIn
	}
	return key.caller(id), nil
}

var notLoggedIn = moorage.Errorf(moorage.Unauthenticated, "not logged in, or not any more")

// check verifies a proof and returns the key that made it.
func (b *Browser) check(ctx context.Context, use, given string) (id string, key AccessKey, err error) {
	parts := strings.Split(given, ".")
	if len(parts) != 4 {
		return "", key, notLoggedIn
	}
	id = parts[0]
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || !b.now().Before(time.Unix(until, 0)) {
		return "", key, notLoggedIn
	}
	key, err = b.Keys(ctx, id)
	if err != nil || key.Token != "" || !hmac.Equal([]byte(given), []byte(proven(use, id, key.Secret, time.Unix(until, 0), parts[2]))) {
		return "", AccessKey{}, notLoggedIn
	}
	return id, key, nil
}

// proof is ID.EXPIRY.NONCE.MAC, the MAC under the key's secret over what it is for. No two are the same: one that was used up
// takes no other along. It needs no escaping in a cookie or a URL's fragment.
func proof(use, accessKeyID, secret string, until time.Time) string {
	return proven(use, accessKeyID, secret, until, rand.Text())
}

func proven(use, accessKeyID, secret string, until time.Time, nonce string) string {
	head := accessKeyID + "." + strconv.FormatInt(until.Unix(), 10) + "." + nonce
	mac := sign([]byte(secret), "moorage console "+use+"\n"+head)
	return head + "." + base64.RawURLEncoding.EncodeToString(mac)
}

// sameOrigin reports whether a page of ours made the request. Cookies do not tell ports apart, and
// SameSite takes all of localhost for one site, so the browser's own word decides: Sec-Fetch-Site, which it
// sends over TLS and to this machine, else Origin.
func sameOrigin(r *http.Request) bool {
	reading := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == ""
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "none": // typed, or a bookmark
		return reading
	case "":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return reading
	}
	from, err := url.Parse(origin)
	return err == nil && from.Host == r.Host
}

func (b *Browser) now() time.Time {
	if b.Now == nil {
		return time.Now()
	}
	return b.Now()
}
