// Package gvisor runs each sandbox on a kernel of its own in user space: gVisor, linked into this
// binary and re-executed as a process per sandbox.
//
// A sandbox is made of one engine process and the processes that the engine keeps for the agent's
// address spaces. With an EROFS root and no mounts there is no file proxy, and the engine runs as
// nobody in namespaces of its own, with no capability and no file of the host but the image. What
// is mounted from the host goes through a second process that opens files on the engine's behalf.
//
//	Create:  bundle, journal, control group → engine boots → its network is set → the agent runs
//	ends:    the agent exits, Stop, a limit, or the engine dies; whichever is first is the Exit
//	after:   engine and proxy reaped, control group and state removed, output drained, Wait returns
//
// There is no virtual network device, no address on the host and no port: [sandbox.Sandbox.Dial]
// hands the engine one end of a socket pair, and what the agent sends outward arrives as frames on
// another, in the gateway of package gateway.
//
// The program that uses this package must call [Main] first thing when [IsEngine] says so: the
// engine is the same executable, started again. What comes before that is in package cell.
//
// The engine's own memory, about 9 MiB, counts towards the sandbox's memory limit. One gVisor
// build is pinned in go.mod; what was frozen by one build is never restored by another.
package gvisor
