// Package pool is a user directory with an OpenID provider, for places that have none: a subset of Amazon Cognito's user
// pools, under the issuers that Cognito's would have.
//
// A pool has users with passwords, clients (the applications that users sign in by), resource servers with scopes, and two
// RSA keys that sign its tokens. There are three ways to a token: a user's password, the login page with an authorization
// code, and a client's own secret. Refresh tokens get new ones until the user's password is set anew, the user, client or
// pool goes, or they expire.
//
// What is kept: passwords as argon2id hashes, everything else sealed by the store; refresh tokens are not kept at all, they
// are sealed themselves and carry what they are for. Authorization codes are in memory, good once and for five minutes.
//
// What there is not: SRP, second factors, sign-up by users, mails and short messages, triggers, groups, federation. Who asks
// for that is told so.
//
// Source of texts, ranges and defaults: Amazon Cognito user pools API reference and developer guide; RFC 6749, 7636 and 9700.
package pool
