// Command pack puts the engine's program behind moorage's: pack OUT MOORAGE ENGINE.
package main

import (
	"log"
	"os"

	"github.com/moorage-dev/moorage/internal/sandbox/engine"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: pack OUT MOORAGE ENGINE")
	}
	if err := engine.Pack(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal("pack: ", err)
	}
}
