package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

// Person is somebody whom an OpenID provider vouched for, and the user or role that they are here.
type Person struct {
	Issuer, Subject string
	Name            string        // for people to read; it names the role's session
	Principal       string        // ARN of the user or role
	ID              string        // of that: one that is made anew under its name is another
	Life            time.Duration // of the login, a working day at most
}

// personPrefix begins a person's cookie. No access key's id, with which the other cookies begin, has a dot so early.
const personPrefix = "openid."

// personClaims are what a person's cookie says.
type personClaims struct {
	Issuer    string `json:"i"`
	Subject   string `json:"s"`
	Name      string `json:"n"`
	Principal string `json:"p"`
	ID        string `json:"d"`
	Expires   int64  `json:"e"` // seconds since 1970
	Random    string `json:"r"` // no two logins have the same cookie
}

// Admit returns the cookie of a person's login.
func (b *Browser) Admit(p Person) (*http.Cookie, error) {
	life := cookieLife
	if p.Life > 0 {
		life = min(life, p.Life)
	}
	doc, err := json.Marshal(personClaims{p.Issuer, p.Subject, p.Name, p.Principal, p.ID, b.now().Add(life).Unix(), rand.Text()})
	if err != nil {
		return nil, err
	}
	head := personPrefix + base64.RawURLEncoding.EncodeToString(doc)
	return b.cookie(head+"."+b.personMAC(head), int(life.Seconds())), nil
}

func (b *Browser) personMAC(head string) string {
	return base64.RawURLEncoding.EncodeToString(sign(b.PersonKey, "moorage console person\n"+b.Terms+"\n"+head))
}

// person is who a cookie is of, as the user or role that they are still.
func (b *Browser) person(given string) (moorage.Caller, error) {
	end := strings.LastIndexByte(given, '.')
	head, mac := given[:end], given[end+1:]
	if len(b.PersonKey) == 0 || b.ended(given) || len(head) <= len(personPrefix) || !hmac.Equal([]byte(mac), []byte(b.personMAC(head))) {
		return moorage.Caller{}, notLoggedIn
	}
	doc, err := base64.RawURLEncoding.DecodeString(head[len(personPrefix):])
	var c personClaims
	if err != nil || json.Unmarshal(doc, &c) != nil || !b.now().Before(time.Unix(c.Expires, 0)) || c.ID == "" || b.PrincipalID(c.Principal) != c.ID {
		return moorage.Caller{}, notLoggedIn
	}
	caller := AccessKey{Principal: sessionOf(c.Principal, c.Name)}.caller("")
	caller.Issuer, caller.Subject = c.Issuer, c.Subject
	return caller, nil
}

// notInSessions are the characters that the name of a role's session has not. Source: STS API, RoleSessionName.
var notInSessions = regexp.MustCompile(`[^\w+=,.@-]+`)

// sessionOf is the session of a role that somebody has; a user is who they are.
func sessionOf(principal, name string) string {
	arn, err := moorage.ParseARN(principal)
	if err != nil || !strings.HasPrefix(arn.Resource, "role/") {
		return principal
	}
	name = notInSessions.ReplaceAllString(name, "-")
	return Workload{Role: principal, Session: (name + "--")[:min(max(len(name), 2), 64)]}.principal()
}
