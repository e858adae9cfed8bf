package openid

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

const (
	maxAnswer    = 1 << 20 // bytes of a provider's answer
	metadataLife = time.Hour
	suffix       = "/.well-known/openid-configuration"
)

// metadata is what a provider says of itself. Source: OpenID Connect Discovery 1.0, 3.
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	SendsIssuer   bool   `json:"authorization_response_iss_parameter_supported"`
}

// tokens are what a provider gives for a code.
type tokens struct {
	Identity string `json:"id_token"`
	Access   string `json:"access_token"`
	Error    string `json:"error"`
}

// discovery is the address of the provider's metadata.
func (c *Client) discovery() string {
	if strings.HasSuffix(c.Provider, suffix) {
		return c.Provider
	}
	return strings.TrimSuffix(c.Provider, "/") + suffix
}

// known is the provider's metadata, read at most hourly.
func (c *Client) known(ctx context.Context) (metadata, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.read) < metadataLife && c.metadata.Issuer != "" {
		return c.metadata, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.discovery(), nil)
	if err != nil {
		return metadata{}, err
	}
	var m metadata
	if _, err := c.answer(r, &m); err != nil {
		return m, unavailable(err)
	}
	if m.Issuer == "" || m.Authorization == "" || m.Token == "" {
		return m, unavailable(errors.New("its metadata names no issuer, or lacks an endpoint"))
	}
	if !c.isIssuer(m.Issuer) {
		return m, unavailable(fmt.Errorf("its metadata is another issuer's, %q", m.Issuer))
	}
	c.metadata, c.read = m, c.now()
	return m, nil
}

// isIssuer reports whether an issuer is the one that the operator named. A pool that is here has two names.
func (c *Client) isIssuer(issuer string) bool {
	named := strings.TrimSuffix(c.discovery(), suffix)
	if strings.TrimSuffix(issuer, "/") == named {
		return true
	}
	if c.Tokens.Local == nil {
		return false
	}
	own, _, ok := c.Tokens.Local(c.discovery())
	return ok && own == issuer
}

func unavailable(err error) error {
	return moorage.Errorf(moorage.Unavailable, "the OpenID provider cannot be asked: %w", err)
}

// answer sends a request and decodes what comes back; a status other than 200 is no error of its own.
func (c *Client) answer(r *http.Request, into any) (status int, err error) {
	r.Header.Set("Accept", "application/json")
	response, err := c.HTTP.Do(r)
	if err != nil {
		var failed *url.Error // which names the address, query and all
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return 0, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into); err != nil {
		return response.StatusCode, fmt.Errorf("%s answers %s, and nothing that can be read", r.URL.Host, response.Status)
	}
	return response.StatusCode, nil
}

// exchange gets the tokens of a code. Source: RFC 6749, 4.1.3.
func (c *Client) exchange(ctx context.Context, m metadata, code, verifier string) (t tokens, err error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Callback}, "code_verifier": {verifier}}
	if c.Secret == "" {
		form.Set("client_id", c.ID)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return t, unavailable(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Secret != "" {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret)) // RFC 6749, 2.3.1
	}
	status, err := c.answer(r, &t)
	switch {
	case err != nil:
		return t, unavailable(err)
	case status != http.StatusOK || t.Identity == "":
		return t, moorage.Errorf(moorage.Denied, "the OpenID provider gave no ID token for the code: %.60q", t.Error)
	}
	return t, nil
}

// ask adds the claims of the provider's userinfo endpoint, where it has one. They count only of the same subject; those of the
// ID token stay.
func (c *Client) ask(ctx context.Context, m metadata, access, subject string, claims map[string]any) error {
	if m.UserInfo == "" || access == "" {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.UserInfo, nil)
	if err != nil {
		return unavailable(err)
	}
	r.Header.Set("Authorization", "Bearer "+access)
	var said map[string]any
	status, err := c.answer(r, &said)
	if err != nil {
		return unavailable(err)
	}
	if status != http.StatusOK {
		return unavailable(fmt.Errorf("%s answers %d", r.URL.Host, status))
	}
	if said["sub"] != subject {
		return moorage.Errorf(moorage.Denied, "the OpenID provider's userinfo is of somebody else")
	}
	if claims["email"] == nil || claims["email_verified"] == nil { // one does not vouch for the other's address
		delete(claims, "email")
		delete(claims, "email_verified")
	}
	for name, value := range said {
		if _, there := claims[name]; !there {
			claims[name] = value
		}
	}
	return nil
}
