// Package process runs each sandbox as an ordinary process of the host: for development, on
// machines where no namespace can be made. It isolates nothing, and says so in [sandbox.Info].
//
// What a sandbox may take from the host is bounded by a control group where one can be written;
// what cannot be held, such as network rules and the size of writes, is listed in Info.Unenforced.
//
// All agents share the host's ports. Each is told a free one as PORT, and Dial(8080) finds it there.
// An agent that ignores PORT is found at 8080 itself, if it got it: two such agents cannot run at
// once, and the second is told why.
package process
