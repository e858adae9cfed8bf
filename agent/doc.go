// Package agent makes a program an agent that Moorage, or Amazon Bedrock AgentCore, can run.
//
// An agent is an HTTP server in a sandbox of its own, one sandbox for each session. The platform
// calls three paths of it, and this package answers them:
//
//	POST /invocations   one call: JSON in, and JSON, a stream of events or anything else out
//	GET  /ping          whether the session is in use: Healthy, or HealthyBusy while work goes on
//	GET  /ws            one WebSocket connection, where the agent takes them
//
// [Handle] and [Stream] turn a function into the answer to /invocations; any http.Handler does for
// bodies that are not JSON. [Main] serves one until the platform sends SIGTERM. [Server] has the
// settings.
//
// A session that answers Healthy may be put to sleep or ended once nobody has called for a while.
// Work that goes on after its call has been answered is started with [Go], or marked with [Busy], and
// keeps the session alive.
//
// What the platform knows of a call (session, trace, the token that stands for the user) is in its
// context: [RequestOf].
//
// The package behaves as the AgentCore SDK for Python does, errors included, so callers cannot tell
// which language an agent is written in. It does not speak MCP or A2A: an agent that does needs only
// its own server, on those protocols' ports.
package agent
