// Package vault is the token vault: the credentials that agents have for other services.
//
// A credential provider is an API key, or a client at an OAuth2 provider. An agent that presents its workload
// access token, see package workload, is given the key, or an access token that the vault obtained:
//
//	M2M              of the client itself, by client credentials
//	USER_FEDERATION  of the user, who consented in a browser
//	ON_BEHALF_OF     of the user, exchanged for the token that the user called with
//
// Secrets rest in the store under envelope encryption: each under a data key of its own, which is wrapped by
// the vault's key. What a secret belongs to is bound to it, so that one moved to another row, provider or
// user does not open. Access tokens are kept in memory until a minute before they expire; asking for one that
// is there touches neither disk, nor key, nor provider.
package vault
