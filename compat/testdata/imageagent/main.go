// Command imageagent is the smallest agent that an image from scratch can hold.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync/atomic"
)

func main() {
	var count atomic.Int64
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"status":"Healthy"}`)
	})
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{
			"count": count.Add(1), "echo": string(body), "greeting": os.Getenv("GREETING"), "uid": os.Getuid(), "args": os.Args[1:],
		})
	})
	if err := http.ListenAndServe("0.0.0.0:8080", nil); err != nil {
		os.Exit(1)
	}
}
