// Command engine is what runs in each sandbox's process: the part of moorage that a sandbox needs. It
// is not for people to start; moorage carries it, see package engine.
package main

import "github.com/moorage-dev/moorage/internal/sandbox/gvisor"

func main() { gvisor.Main() }
