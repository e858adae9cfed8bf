package pool

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

// Lives of tokens, and how long they may be set to. Source: CreateUserPoolClient, API reference.
const (
	DefaultLife    = time.Hour // of access and identity tokens
	DefaultRefresh = 30 * 24 * time.Hour
	minLife        = 5 * time.Minute
	maxLife        = 24 * time.Hour
	minRefresh     = time.Hour
	maxRefresh     = 3650 * 24 * time.Hour
)

// Standard scopes. Source: Amazon Cognito, scopes of tokens.
var standardScopes = []string{"openid", "email", "phone", "profile", adminScope}

// adminScope is what a token says that a user got by password.
const adminScope = "aws.cognito.signin.user.admin"

// check refuses what cannot work.
func (c *Client) check(p *state) error {
	for _, life := range []time.Duration{c.Access, c.Identity} {
		if life < minLife || life > maxLife {
			return invalid("Invalid range for token validity: access and identity tokens live between 5 minutes and 1 day.")
		}
	}
	if c.Refresh < minRefresh || c.Refresh > maxRefresh {
		return invalid("Invalid range for token validity: refresh tokens live between 60 minutes and 10 years.")
	}
	if slices.Contains(c.OAuth, "implicit") {
		return moorage.Errorf(moorage.Unsupported, "the implicit flow is not supported by Moorage: use code")
	}
	if slices.Contains(c.OAuth, "client_credentials") && slices.Contains(c.OAuth, "code") {
		return named(moorage.Invalid, "InvalidOAuthFlowException", "client_credentials flow can not be selected along with code flow or implicit flow.")
	}
	if slices.Contains(c.OAuth, "code") && len(c.Callbacks) == 0 {
		return invalid("AllowedOAuthFlows and CallbackURLs: the code flow needs a callback URL.")
	}
	if len(c.OAuth) > 0 && len(c.Scopes) == 0 {
		return invalid("AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth flows.")
	}
	for _, scope := range c.Scopes {
		if !p.hasScope(scope) {
			return named(moorage.Invalid, "ScopeDoesNotExistException", "Invalid scope requested: %s", scope)
		}
	}
	for _, callback := range c.Callbacks {
		if err := checkCallback(callback); err != nil {
			return err
		}
	}
	return nil
}

func (p *state) hasScope(scope string) bool {
	if slices.Contains(standardScopes, scope) {
		return true
	}
	i := strings.LastIndexByte(scope, '/')
	if i < 0 {
		return false
	}
	return slices.ContainsFunc(p.servers[scope[:i]].Scopes, func(s Scope) bool { return s.Name == scope[i+1:] })
}

// checkCallback wants an absolute address without a fragment: https, an app's own scheme, or http to this machine.
func checkCallback(callback string) error {
	u, err := url.Parse(callback)
	switch {
	case err != nil || u.Scheme == "" || strings.Contains(callback, "#"):
		return invalid("%s is not a callback URL: it is absolute and has no fragment", callback)
	case slices.Contains([]string{"javascript", "data", "vbscript", "file", "blob", "about"}, u.Scheme):
		return invalid("%s is not a callback URL: browsers must not run it", callback)
	case u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1":
		return invalid("%s is not a callback URL: http is for localhost; use https", callback)
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host == "":
		return invalid("%s is not a callback URL: it names no host", callback)
	}
	return nil
}
