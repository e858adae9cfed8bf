// Package reseed keeps clones of one snapshot from sharing randomness.
//
// Clones begin with one memory, and with it one state of every random generator that a program keeps
// for itself: OpenSSL's too, so that two of them would hand out the same keys. Before a clone serves
// anybody, every process in it draws new entropy and confirms that it did:
//
//	platform                                     process
//	SIGWINCH to all  ──────────────────────────▶ (ignored where nothing of ours is)
//	                 ◀── connects to 169.254.169.254:Port ──
//	epoch            ──────────────────────────▶ draws from the kernel, for every generator
//	                 ◀── epoch, its pid, "ok" or "no" and why ──
//	all confirmed: may serve; else it is no clone, and another sandbox starts fresh
//
// The signal is one that does nothing by default. Some servers take it for a wish that they end their
// work, so it is sent only where a sandbox is a clone, or is there to be cloned. The connection ends
// in the sandbox's own gateway, so it cannot speak for another sandbox, and the epoch is new each time.
// Within a sandbox the platform believes what a process says of itself: it is the agent's code that
// would lie, to itself.
//
// What answers in unmodified Python is a sitecustomize of ours: [WriteImage] makes the image that it is
// mounted from, and [Environment] has Python find it. Programs in Go answer by the agent SDK's
// ConfirmClones. Node cannot be made to: nothing in JavaScript reseeds its OpenSSL. What does not
// answer is not cloned.
package reseed

import "strings"

const (
	// Port is where processes confirm, at the platform's address.
	Port = 1021

	// Dir is where a sandbox has the image that WriteImage makes.
	Dir = "/opt/moorage"

	// Variable tells the processes that answer by themselves where to confirm: host:port. The agent
	// SDK reads it too, so neither the name nor what is said there changes between versions.
	Variable = "MOORAGE_RESEED"

	pythonPath = "PYTHONPATH"
	onPath     = Dir + "/site:" + Dir + "/user"
)

// Environment adds to an environment of KEY=VALUE what has processes find the image at Dir, and
// where they confirm: the platform's address. What was on Python's path comes after.
func Environment(env []string, address string) []string {
	path, out := onPath, make([]string, 0, len(env)+2)
	for _, pair := range env {
		switch name, value, _ := strings.Cut(pair, "="); {
		case name == Variable:
		case name == pythonPath && value != "":
			path = onPath + ":" + value // of several, the last, as for Python
		case name == pythonPath:
		default:
			out = append(out, pair)
		}
	}
	return append(out, pythonPath+"="+path, Variable+"="+address)
}
