// Package moorage holds the nouns of the runtime: what is deployed, called, run and refused.
//
// A [Runtime] is an agent as its owner knows it. Each update of it makes an immutable [Version];
// an [Endpoint] is a name that points at one version and can be moved. A call to an endpoint opens
// or joins a [Session], which has a sandbox of its own. A [Caller] is whoever was authenticated.
// Everything that can go wrong is an [Error] with one of a dozen codes.
//
// The package does no I/O and imports the standard library only, so that every room can share it.
package moorage
