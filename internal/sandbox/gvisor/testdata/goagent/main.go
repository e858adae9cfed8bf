// Command goagent says by the agent SDK that it may be cloned, and shows what it draws. Any argument
// keeps it from saying so.
package main

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"

	"github.com/moorage-dev/moorage/agent"
)

var own *rand.ChaCha8

func renew(context.Context) error {
	var seed [32]byte
	cryptorand.Read(seed[:])
	own = rand.NewChaCha8(seed)
	return nil
}

func main() {
	renew(nil)
	if len(os.Args) == 1 {
		go agent.ConfirmClones(context.Background(), renew)
	}
	http.HandleFunc("/draw", draw)
	fmt.Fprintln(os.Stderr, http.ListenAndServe("0.0.0.0:8080", nil))
	os.Exit(1)
}

func draw(w http.ResponseWriter, _ *http.Request) {
	hello := clientHello()
	json.NewEncoder(w).Encode(map[string]string{
		"crypto/rand":                cryptorand.Text(),
		"a generator of the agent's": fmt.Sprint(own.Uint64()),
		"TLS client random":          hex.EncodeToString(hello[11:43]),
		"TLS session id":             hex.EncodeToString(hello[44:76]),
		"TLS key share":              hex.EncodeToString(hello[len(hello)-32:]), // the last extension that Go writes
	})
}

// clientHello is the first message of a TLS connection.
func clientHello() []byte {
	client, server := net.Pipe()
	go tls.Client(client, &tls.Config{ServerName: "example.com", CurvePreferences: []tls.CurveID{tls.X25519}}).Handshake()
	message := make([]byte, 4096)
	n, _ := server.Read(message)
	server.Close()
	return message[:n]
}
