// Package shim keeps sandboxes alive while the server that asked for them crashes, restarts or is
// upgraded.
//
// A shim is this program, copied to DIR/engines/BUILD and started again in a session of its own.
// It holds the sandboxes, their output, their network and their exits, and answers on a socket in
// that directory. A [Client] is a [sandbox.Driver] whose sandboxes live there. Connections into a
// sandbox reach the client as open descriptors: once dialled, nothing of the shim is in between.
//
//	server ──one request per connection──▶ shim (current build) ──▶ engines, one per sandbox
//	       ╲─────────────────────────────▶ shim (older build)   ──▶ engines that began before the upgrade
//
// Create always uses the current build, starting its shim when none answers. List and Lookup cover
// every build, and Restore wakes a sleeping sandbox on the build that froze it, whose directory is
// kept for that long. A shim leaves when it has neither a sandbox, nor an exit that nobody acknowledged by
// Stop, nor a client. When a shim is killed its sandboxes die with it, and Wait says so.
//
// Only processes of the same user may connect. The shim inherits no environment and no descriptor.
// An ordinary user's shim runs in a user namespace of its own, as root of it alone.
package shim
