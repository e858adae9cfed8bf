package identity_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity"
)

const reader = "arn:aws:iam::123456789012:role/teams/reader"

// persons is a browser's logins, of a directory in which the role has an id; now is what its clock says.
func persons(id *string, now *time.Time) *identity.Browser {
	return &identity.Browser{
		Keys: func(context.Context, string) (identity.AccessKey, error) {
			return identity.AccessKey{}, moorage.Errorf(moorage.NotFound, "none")
		},
		PersonKey: []byte("a key of thirty-two bytes, or so"), Terms: "these",
		PrincipalID: func(arn string) string {
			if arn != reader {
				return ""
			}
			return *id
		},
		Now: func() time.Time { return *now },
	}
}

func with(cookie *http.Cookie) *http.Request {
	r := httptest.NewRequest("GET", "/console/me", nil)
	r.AddCookie(cookie)
	return r
}

func TestBrowser_aPersonsLoginEndsWithWhatItStandsOn(t *testing.T) {
	id, now := "AROA1", time.Now()
	b := persons(&id, &now)
	cookie, err := b.Admit(identity.Person{Issuer: "https://id.example", Subject: "7", Name: "ann lee@x", Principal: reader, ID: id, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Caller(with(cookie))
	if err != nil || c.ARN != "arn:aws:sts::123456789012:assumed-role/reader/ann-lee@x" || c.Issuer != "https://id.example" || c.Subject != "7" || c.AccessKeyID != "" {
		t.Fatalf("%+v (%v)", c, err)
	}
	refused := func(why string, b *identity.Browser, cookie *http.Cookie) {
		t.Helper()
		if c, err := b.Caller(with(cookie)); moorage.CodeOf(err) != moorage.Unauthenticated || c.ARN != "" {
			t.Errorf("%s: %+v (%v)", why, c, err)
		}
	}
	for at := range cookie.Value {
		if changed := cookie.Value[:at] + "~" + cookie.Value[at+1:]; strings.HasPrefix(changed, "openid.") {
			refused("changed", b, &http.Cookie{Name: cookie.Name, Value: changed})
		}
	}
	for _, value := range []string{"openid.", "openid..", "openid.e30.", "openid", "openid.e30." + cookie.Value[strings.LastIndexByte(cookie.Value, '.')+1:]} {
		refused(value, b, &http.Cookie{Name: cookie.Name, Value: value})
	}
	other := persons(&id, &now)
	other.Terms = "others"
	refused("other terms", other, cookie)
	other = persons(&id, &now)
	other.PersonKey = nil
	refused("no provider any more", other, cookie)
	id = "AROA2"
	refused("a role that was made anew", b, cookie)
	id = ""
	refused("a role that is gone", b, cookie)
	id = "AROA1"
	now = now.Add(time.Hour)
	refused("an hour later", b, cookie)
	now = now.Add(-time.Hour)
	if _, err := b.Caller(with(cookie)); err != nil {
		t.Fatalf("and it is good again: %v", err)
	}
	b.Logout(with(cookie))
	refused("logged out", b, cookie)
}

// A login by an access key ends with the key's cookie, for whoever copied it, and with no other login by the key.
func TestBrowser_aLoginByKeyEndsForItsCopies(t *testing.T) {
	const id, secret = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG"
	now := time.Now()
	b := &identity.Browser{
		Keys: func(context.Context, string) (identity.AccessKey, error) {
			return identity.AccessKey{Secret: secret, Principal: reader}, nil
		},
		Now: func() time.Time { return now },
	}
	var cookies []*http.Cookie
	for range 2 { // at the same moment
		cookie, err := b.Login(t.Context(), id, secret)
		if err != nil {
			t.Fatal(err)
		}
		cookies = append(cookies, cookie)
	}
	byTicket, err := b.Redeem(t.Context(), identity.Ticket(id, secret, now))
	if err != nil {
		t.Fatal(err)
	}
	if again := b.Logout(with(cookies[0])); again.MaxAge >= 0 || again.Value != "" {
		t.Errorf("the browser keeps %+v", again)
	}
	if c, err := b.Caller(with(cookies[0])); moorage.CodeOf(err) != moorage.Unauthenticated || c.ARN != "" {
		t.Errorf("a copy of what was logged out: %+v (%v)", c, err)
	}
	for name, cookie := range map[string]*http.Cookie{"of another browser": cookies[1], "by a ticket": byTicket} {
		if _, err := b.Caller(with(cookie)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	parts := strings.Split(cookies[1].Value, ".")
	parts[2] = "another"
	if _, err := b.Caller(with(&http.Cookie{Name: cookies[1].Name, Value: strings.Join(parts, ".")})); err == nil {
		t.Error("a nonce can be changed")
	}
}
