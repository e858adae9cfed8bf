package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

const (
	maxAnswer      = 1 << 20   // bytes of a provider's answer
	metadataLife   = time.Hour // until a discovery document is read again
	unsaidLife     = 5 * time.Minute
	beforeExpiry   = time.Minute // that a token is no longer handed out
	maxDescription = 200         // bytes of a provider's own words
)

type metadataCache struct {
	mu    sync.Mutex
	byWay map[string]knownServer // to the discovery document
}

type knownServer struct {
	Server
	read time.Time
}

// server returns where a client's authorization server is, reading its discovery document at most hourly.
func (v *Vault) server(ctx context.Context, c Client) (Server, error) {
	if c.Server.DiscoveryURL == "" {
		return c.Server, nil
	}
	client, err := v.clientOf(c)
	if err != nil {
		return Server{}, moorage.Errorf(moorage.Unavailable, "the credential provider cannot be reached: %w", err)
	}
	way := v.way(c).Key()
	v.metadata.mu.Lock()
	defer v.metadata.mu.Unlock()
	if known, ok := v.metadata.byWay[way]; ok && v.now().Sub(known.read) < metadataLife {
		return known.Server, nil
	}
	found, err := discover(ctx, client, c.Server.DiscoveryURL)
	if err != nil {
		return Server{}, moorage.Errorf(moorage.Unavailable, "the credential provider's discovery document cannot be read: %w", err)
	}
	if v.metadata.byWay == nil {
		v.metadata.byWay = map[string]knownServer{}
	}
	v.metadata.byWay[way] = knownServer{found, v.now()}
	return found, nil
}

// discover reads a discovery document. Source: RFC 8414, OpenID Connect Discovery 1.0.
func discover(ctx context.Context, client *http.Client, from string) (s Server, err error) {
	r, err := http.NewRequestWithContext(ctx, "GET", from, nil)
	if err != nil {
		return s, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return s, fmt.Errorf("%s answers %s", r.URL.Host, answer.Status)
	}
	var doc struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		SendsIssuer   bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&doc); err != nil {
		return s, fmt.Errorf("%s: %w", r.URL.Host, err)
	}
	if doc.Issuer == "" || doc.Token == "" {
		return s, fmt.Errorf("%s names no issuer or no token endpoint", r.URL.Host)
	}
	return Server{Issuer: doc.Issuer, Authorization: doc.Authorization, Token: doc.Token, SendsIssuer: doc.SendsIssuer}, nil
}

// grant is what a provider gave. All of it is secret.
type grant struct {
	Access  string    `json:"a"`
	Refresh string    `json:"r,omitempty"`
	Expires time.Time `json:"x"` // zero is never
	Scopes  []string  `json:"s"` // asked for and granted
}

// live reports whether the token is good for a minute more.
func (g grant) live(now time.Time) bool {
	return g.Access != "" && (g.Expires.IsZero() || now.Add(beforeExpiry).Before(g.Expires))
}

// errRefused is a provider's refusal by the code of RFC 6749, 5.2.
type errRefused struct{ code, description string }

func (e errRefused) Error() string {
	if e.description == "" {
		return e.code
	}
	return e.code + ": " + e.description
}

// token asks a provider's token endpoint, as the client, for what form says.
func (v *Vault) token(ctx context.Context, p *Provider, form url.Values) (g grant, err error) {
	server, err := v.server(ctx, p.Client)
	if err != nil {
		return g, err
	}
	secret, err := v.secretOf(ctx, p)
	if err != nil {
		return g, err
	}
	if p.Client.AuthPost {
		form.Set("client_id", p.Client.ID)
		form.Set("client_secret", secret)
	}
	r, err := http.NewRequestWithContext(ctx, "POST", server.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return g, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if !p.Client.AuthPost {
		r.SetBasicAuth(url.QueryEscape(p.Client.ID), url.QueryEscape(secret)) // RFC 6749, 2.3.1
	}
	client, err := v.clientOf(p.Client)
	if err != nil {
		return g, moorage.Errorf(moorage.Unavailable, "the credential provider %s cannot be reached: %w", p.Name, err)
	}
	answer, err := client.Do(r)
	if err != nil {
		var failed *url.Error // which names the address, query and all
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return g, moorage.Errorf(moorage.Unavailable, "the credential provider %s cannot be reached: %w", p.Name, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return g, moorage.Errorf(moorage.Unavailable, "the credential provider %s broke off: %w", p.Name, err)
	}
	g, err = v.read(answer.StatusCode, body)
	var refused errRefused
	if errors.As(err, &refused) && secret != "" && strings.Contains(refused.description, secret) {
		return g, errRefused{code: refused.code}
	}
	if err != nil && !errors.As(err, &refused) {
		return g, moorage.Errorf(moorage.Unavailable, "the credential provider %s: %w", p.Name, err)
	}
	return g, err
}

// read understands a token endpoint's answer. Source: RFC 6749, 5.1 and 5.2.
func (v *Vault) read(status int, body []byte) (g grant, err error) {
	var answer struct {
		Access      string          `json:"access_token"`
		Refresh     string          `json:"refresh_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"` // some send a string
		Scope       string          `json:"scope"`
		Error       string          `json:"error"`
		Description string          `json:"error_description"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return g, fmt.Errorf("it answers %d, and no JSON", status)
	}
	switch {
	case answer.Error != "": // GitHub says so with status 200
		return g, errRefused{cut(answer.Error), cut(answer.Description)}
	case status != http.StatusOK || answer.Access == "":
		return g, fmt.Errorf("it answers %d without a token", status)
	}
	g = grant{Access: answer.Access, Refresh: answer.Refresh, Scopes: strings.FieldsFunc(answer.Scope, func(r rune) bool { return r == ' ' || r == ',' })}
	if seconds, err := strconv.Atoi(strings.Trim(string(answer.ExpiresIn), `"`)); err == nil && seconds > 0 {
		g.Expires = v.now().Add(time.Duration(seconds) * time.Second)
	}
	return g, nil
}

// cut makes a provider's words fit for a message.
func cut(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxDescription)]
}

// told is a provider's refusal as the agent learns of it.
func told(p *Provider, err error) error {
	var refused errRefused
	if errors.As(err, &refused) {
		return moorage.Errorf(moorage.Invalid, "the credential provider %s refuses: %s", p.Name, refused)
	}
	return err
}
