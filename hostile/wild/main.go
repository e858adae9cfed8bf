// Command wild is an agent that misbehaves as it is told: by MODE as it starts, by the op of a
// call afterwards.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// order is what a caller wants done.
type order struct {
	Op    string
	Bytes int64
	Text  string
}

var ops = map[string]func(http.ResponseWriter, order){
	"":              func(w http.ResponseWriter, o order) { io.WriteString(w, `{"answer":"hello"}`) },
	"fork":          fork,
	"allocate":      allocate,
	"fill":          fill,
	"log":           logMuch,
	"hang":          func(http.ResponseWriter, order) { select {} },
	"leave":         leave,
	"ignore":        func(w http.ResponseWriter, _ order) { signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP) },
	"large-headers": func(w http.ResponseWriter, o order) { w.Header().Set("X-Large", strings.Repeat("h", int(o.Bytes))) },
	"large-answer":  largeAnswer,
	"slow":          slow,
	"raw":           raw,
	"headers":       headers,
	"spin":          spin,
}

func main() {
	if len(os.Args) > 1 { // a child of fork
		time.Sleep(time.Hour)
	}
	fmt.Fprintln(os.Stderr, "wild:", os.Getenv("MODE"))
	switch os.Getenv("MODE") {
	case "exit":
		os.Exit(7)
	case "never-bind":
		time.Sleep(time.Hour)
	case "bind-late":
		time.Sleep(4 * time.Second)
	}
	http.HandleFunc("GET /ping", ping)
	http.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			io.Copy(io.Discard, r.Body)
			o = order{}
		}
		op, ok := ops[o.Op]
		if !ok {
			http.Error(w, "unknown op", http.StatusBadRequest)
			return
		}
		op(w, o)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
}

func ping(w http.ResponseWriter, _ *http.Request) {
	switch os.Getenv("MODE") {
	case "large-ping":
		io.WriteString(w, `{"status":"Healthy","more":"`)
		block := strings.Repeat("p", 1<<20)
		for range 256 {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	case "garbled-ping":
		io.WriteString(w, "\x00\xff{]")
	default:
		io.WriteString(w, `{"status":"Healthy"}`)
	}
}

// fork starts children until no more start, and says how many did and why it stopped.
func fork(w http.ResponseWriter, _ order) {
	started := 0
	for {
		_, err := syscall.ForkExec("/proc/self/exe", []string{"wild", "child"}, &syscall.ProcAttr{})
		if err != nil {
			fmt.Fprintf(w, `{"started":%d,"error":%q}`, started, err)
			return
		}
		started++
	}
}

func allocate(http.ResponseWriter, order) {
	var kept [][]byte
	for {
		block := make([]byte, 16<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		kept = append(kept, block)
		runtime.KeepAlive(kept)
	}
}

// fill writes a file until it is told to stop.
func fill(w http.ResponseWriter, o order) {
	f, err := os.Create(o.Text)
	if err != nil {
		fmt.Fprintf(w, `{"error":%q}`, err)
		return
	}
	defer f.Close()
	block := []byte(strings.Repeat("f", 1<<20))
	var written int64
	for err == nil && written < o.Bytes {
		var n int
		n, err = f.Write(block)
		written += int64(n)
	}
	fmt.Fprintf(w, `{"written":%d,"error":%q}`, written, fmt.Sprint(err))
}

func logMuch(w http.ResponseWriter, o order) {
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	line := strings.Repeat("l", 127) + "\n"
	for written := int64(0); written < o.Bytes; written += int64(len(line)) {
		out.WriteString(line)
	}
	out.Flush()
	io.WriteString(w, `{"answer":"logged"}`)
}

func leave(_ http.ResponseWriter, o order) {
	fmt.Fprintln(os.Stderr, o.Text)
	code, _ := strconv.Atoi(o.Text)
	os.Exit(code)
}

func largeAnswer(w http.ResponseWriter, o order) {
	block := []byte(strings.Repeat("a", 1<<20))
	for left := o.Bytes; left > 0; left -= int64(len(block)) {
		if _, err := w.Write(block[:min(left, int64(len(block)))]); err != nil {
			return
		}
	}
}

// slow dribbles an answer, a byte at a time.
func slow(w http.ResponseWriter, o order) {
	for range o.Bytes {
		io.WriteString(w, ".")
		w.(http.Flusher).Flush()
		time.Sleep(100 * time.Millisecond)
	}
}

// raw answers with bytes that may be no HTTP at all. With Bytes set it repeats them.
func raw(w http.ResponseWriter, o order) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	for range max(1, o.Bytes) {
		if _, err := io.WriteString(conn, o.Text); err != nil {
			return
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.CloseWrite()
		io.Copy(io.Discard, tcp)
	}
}

// headers answers with what only the platform may say.
func headers(w http.ResponseWriter, _ order) {
	for name, value := range map[string]string{
		"X-Amzn-Requestid": "forged", "X-Amzn-Errortype": "forged", "Set-Cookie": "forged=1", "Access-Control-Allow-Origin": "http://forged",
		"X-Amzn-Bedrock-Agentcore-Runtime-Session-Id": "forged", "Www-Authenticate": "forged", "Location": "http://forged", "Server": "forged",
	} {
		w.Header().Set(name, value)
	}
	io.WriteString(w, `{"answer":"hello"}`)
}

// spin takes all the processor time that it gets, for as long as the call lasts.
func spin(w http.ResponseWriter, o order) {
	done := make(chan struct{})
	for range runtime.NumCPU() * 4 {
		go func() {
			for {
				select {
				case <-done:
					return
				default:
				}
			}
		}()
	}
	time.Sleep(time.Duration(o.Bytes) * time.Millisecond)
	close(done)
	io.WriteString(w, `{"answer":"spun"}`)
}
