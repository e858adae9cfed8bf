// Package openid logs people in by an OpenID provider, as its client: the authorization code flow with PKCE.
//
// A login goes from [Client.Begin], which sends the browser to the provider, to [Client.Finish], which takes it back. What belongs to
// one login (state, nonce, the verifier of PKCE) is sealed in a cookie of that browser: who was sent by somebody else, or comes back
// with another's answer, has none that fits. The provider's word counts only in an ID token that it signed for this client and
// this login; claims that are missing there are asked for at its userinfo endpoint, of the same subject.
//
// Whom the provider knows is nobody here yet: a [Grant] makes a user or role of who has a claim. What no grant fits is refused.
//
// Source: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (iss); RFC 9700 (best current practice).
package openid
