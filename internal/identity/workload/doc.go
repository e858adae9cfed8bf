// Package workload is who agents are, and the tokens by which they prove it.
//
// Each runtime has a workload identity of its own; callers may make others. With each call on behalf of a
// user the agent is handed a workload access token: opaque, sealed under this directory's key, and good for
//
//   - the one session that it was handed to, and only from inside that session's sandbox,
//   - until the caller's own token expires, or an hour, the longest that a call takes.
//
// It is no bearer token for calls, and says nothing to whoever carries it away. Tokens of identities that a
// caller made ([Service.TokenForUser] and its siblings) are bound to no session and live 15 minutes. How long
// the cloud service's live is not documented; these times are our choice.
//
// The caller's token that a call came with is kept in memory while it is valid, for exchanges on the
// caller's behalf: after a restart of the server the agent has to be called again for one.
package workload
