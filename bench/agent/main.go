// Command agent is the static Go agent of the benchmarks: the least that the contract asks for.
package main

import (
	"cmp"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"status":"Healthy"}`)
	})
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"answer":"hello"}`)
	})
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}
