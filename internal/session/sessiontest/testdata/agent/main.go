// Command agent is what tests of sessions and calls run inside sandboxes: an agent that does what the
// body of a call tells it.
//
//	echo TEXT      answers TEXT
//	headers        answers the request's headers as JSON
//	length         answers how many bytes the body has
//	status N       answers with status N
//	stream         answers "one", and "two" when something was posted to /go on
//	flood N        answers N bytes
//	hang           answers nothing, until the caller is gone; /left then counts it
//	ping JSON      answers pings with JSON from here on
//	stuck          leaves pings unanswered from here on; shut refuses new connections
//	print TEXT     prints TEXT to stdout, and "err TEXT" to stderr
//	exit N         exits with status N
//	write F N      writes N bytes to the file F; read F answers how many bytes F has
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	server = http.Server{Addr: ":8080", ConnState: track}

	ping  atomic.Value // JSON; "" leaves it unanswered
	begun atomic.Int64 // calls
	left  atomic.Int64 // callers that went away
	goOn  = make(chan struct{}, 100)
	calls = map[string]func(w http.ResponseWriter, r *http.Request, args []string){
		"echo": func(w http.ResponseWriter, _ *http.Request, args []string) {
			io.WriteString(w, strings.Join(args, " "))
		},
		"print": func(_ http.ResponseWriter, _ *http.Request, args []string) {
			fmt.Println(strings.Join(args, " "))
			fmt.Fprintln(os.Stderr, "err "+strings.Join(args, " "))
		},
		"headers": func(w http.ResponseWriter, r *http.Request, _ []string) { json.NewEncoder(w).Encode(r.Header) },
		"status":  func(w http.ResponseWriter, _ *http.Request, args []string) { w.WriteHeader(number(args[0])) },
		"ping":    func(_ http.ResponseWriter, _ *http.Request, args []string) { ping.Store(strings.Join(args, " ")) },
		"stuck":   func(http.ResponseWriter, *http.Request, []string) { ping.Store("") },
		"shut":    func(http.ResponseWriter, *http.Request, []string) { go server.Shutdown(context.Background()) },
		"exit":    func(_ http.ResponseWriter, _ *http.Request, args []string) { os.Exit(number(args[0])) },
		"stream":  stream,
		"flood":   flood,
		"hang":    hang,
		"write":   write,
		"read":    read,
	}
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "exit" {
		fmt.Fprintln(os.Stderr, "these are my last words")
		os.Exit(number(os.Args[2]))
	}
	if len(os.Args) > 1 && os.Args[1] == "never" {
		time.Sleep(time.Hour) // never listens
	}
	ping.Store(`{"status":"Healthy"}`)
	http.HandleFunc("GET /ping", func(w http.ResponseWriter, r *http.Request) {
		answer := ping.Load().(string)
		if answer == "" {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, answer)
	})
	http.HandleFunc("POST /invocations", call)
	http.HandleFunc("/go", func(http.ResponseWriter, *http.Request) { goOn <- struct{}{} })
	http.HandleFunc("/left", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, left.Load()) })
	http.HandleFunc("/calls", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, begun.Load()) })
	http.HandleFunc("/unpool", func(http.ResponseWriter, *http.Request) { closeIdle() })
	http.HandleFunc("/ws", socket)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	time.Sleep(time.Hour) // shut: the process lives on
}

// idle holds the connections on which no request is under way.
var idle sync.Map

func track(c net.Conn, state http.ConnState) {
	if state == http.StateIdle {
		idle.Store(c, nil)
	} else {
		idle.Delete(c)
	}
}

// closeIdle is what a server does whose keep-alive time is over.
func closeIdle() {
	idle.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil })
}

func call(w http.ResponseWriter, r *http.Request) {
	begun.Add(1)
	head := make([]byte, 256)
	n, _ := io.ReadFull(r.Body, head)
	rest, _ := io.Copy(io.Discard, r.Body)
	words := strings.Fields(string(head[:n]))
	if len(words) == 0 || words[0] == "length" {
		fmt.Fprint(w, int64(n)+rest)
		return
	}
	do, ok := calls[words[0]]
	if !ok {
		http.Error(w, "what?", http.StatusBadRequest)
		return
	}
	do(w, r, words[1:])
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func stream(w http.ResponseWriter, r *http.Request, _ []string) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "one")
	w.(http.Flusher).Flush()
	select {
	case <-goOn:
		io.WriteString(w, "two")
	case <-r.Context().Done():
		left.Add(1)
	}
}

func hang(_ http.ResponseWriter, r *http.Request, _ []string) {
	<-r.Context().Done()
	left.Add(1)
}

func flood(w http.ResponseWriter, _ *http.Request, args []string) {
	block := make([]byte, 1<<20)
	for n := number(args[0]); n > 0; n -= len(block) {
		if _, err := w.Write(block[:min(n, len(block))]); err != nil {
			left.Add(1)
			return
		}
	}
}

func write(w http.ResponseWriter, _ *http.Request, args []string) {
	if err := os.WriteFile(args[0], make([]byte, number(args[1])), 0o600); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func read(w http.ResponseWriter, _ *http.Request, args []string) {
	info, err := os.Stat(args[0])
	if err != nil {
		fmt.Fprint(w, "none")
		return
	}
	fmt.Fprint(w, info.Size())
}
