// Command kit tries to escape from the sandbox that it runs in, and says how far it got.
//
// It runs as an agent: POST /invocations takes [Targets] and answers with one [Finding] per
// attempt. As "kit attack" it reads Targets from stdin and prints the findings, so that the same
// attempts can be made by a plain process of the host: there many of them succeed, which shows that
// the kit can see an escape.
//
// No attempt harms a machine on which it succeeds: files are opened and not written, capabilities
// are proven by calls that change nothing.
//
// A canary is a secret that the test plants in the host's files, processes, listeners and other
// sessions. The kit is told its hash only, so a canary that it finds came from outside the sandbox.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
)

// Targets is what the test planted on the host, for the kit to look for.
type Targets struct {
	CanaryHash  string   `json:"canaryHash"` // SHA-256 of the canary, in hex
	Files       []string `json:"files"`      // hold the canary: the server's, other sessions', root's
	ShadowHash  string   `json:"shadowHash"` // SHA-256 of the host's /etc/shadow
	BootID      string   `json:"bootId"`     // SHA-256 of the host's boot id
	Release     string   `json:"release"`    // of the host's kernel
	PID         int      `json:"pid"`        // of a process that has the canary in its arguments, environment and memory
	Address     uint64   `json:"address"`    // where in its memory; 0 when unknown
	Disk        [2]int   `json:"disk"`       // major and minor of a disk of the host
	Loopback    []string `json:"loopback"`   // listeners that greet with the canary, by where they listen
	Interfaces  []string `json:"interfaces"`
	Private     []string `json:"private"`
	Metadata    []string `json:"metadata"`
	Neighbour   []string `json:"neighbour"`
	NeighbourID string   `json:"neighbourId"` // of the sandbox that is told the canary at the metadata's address
	UDP         []string `json:"udp"`
	Ports       []int    `json:"ports"`    // of those listeners, to be tried at the gateway's address
	Names       []string `json:"names"`    // "name:port" that a hostile resolver points at the host
	Abstract    string   `json:"abstract"` // a unix socket without a file
	Sockets     []string `json:"sockets"`  // unix sockets with one
	Key         string   `json:"key"`      // description of a key in root's keyring
	SHM         int      `json:"shm"`      // key of a System V segment
	Writable    string   `json:"writable"` // a directory that the host lends, where there is one
}

// Finding is the outcome of one attempt.
type Finding struct {
	Name     string `json:"name"`
	Tried    string `json:"tried"`
	Outcome  string `json:"outcome"`
	Evidence string `json:"evidence"`
}

const (
	blocked = "blocked"
	escaped = "ESCAPED"
)

// attempt is one way out. try returns what it saw, and whether that is outside the sandbox.
type attempt struct {
	name, tried string
	try         func(*Targets) (evidence string, out bool)
}

// inherited are the descriptors that this process was born with.
var inherited = openDescriptors()

func main() {
	mode := "serve"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "attack":
		var t Targets
		if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
			fmt.Fprintln(os.Stderr, "read targets:", err)
			os.Exit(2)
		}
		json.NewEncoder(os.Stdout).Encode(attack(&t))
	case "within": // a child in namespaces of its own
		within(os.Args[2])
	default:
		serve()
	}
}

func serve() {
	http.HandleFunc("/ping", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"status":"Healthy"}`)
	})
	http.HandleFunc("/invocations", func(w http.ResponseWriter, r *http.Request) {
		var t Targets
		if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(attack(&t))
	})
	// The one thing that is allowed: so a test knows that the network works at all.
	http.HandleFunc("/reach", func(w http.ResponseWriter, r *http.Request) {
		evidence, _ := new(Targets).greet(r.URL.Query().Get("address"))
		io.WriteString(w, evidence)
	})
	go greetNeighbours(os.Getenv("SECRET"))
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
	os.Exit(1)
}

// greetNeighbours tells whoever connects the secret that this session has, if it has one.
func greetNeighbours(secret string) {
	l, err := net.Listen("tcp", ":8099")
	for err == nil && secret != "" {
		var conn net.Conn
		if conn, err = l.Accept(); err == nil {
			io.WriteString(conn, secret)
			conn.Close()
		}
	}
}

func attempts() []attempt {
	var all []attempt
	for _, some := range [][]attempt{fileAttempts, processAttempts, deviceAttempts, mountAttempts, kernelAttempts, networkAttempts} {
		all = append(all, some...)
	}
	return all
}

func attack(t *Targets) []Finding {
	all := attempts()
	findings := make([]Finding, len(all))
	var wait sync.WaitGroup
	for i, a := range all {
		wait.Go(func() { findings[i] = a.finding(t) })
	}
	wait.Wait()
	return findings
}

func (a attempt) finding(t *Targets) (f Finding) {
	f = Finding{Name: a.name, Tried: a.tried, Outcome: blocked}
	defer func() {
		if r := recover(); r != nil {
			f.Outcome, f.Evidence = "broken", fmt.Sprint(r)
		}
	}()
	var out bool
	if f.Evidence, out = a.try(t); out {
		f.Outcome = escaped
	}
	return f
}

var canaryForm = regexp.MustCompile(`canary-[0-9a-f]{32}`)

// holdsCanary reports whether data came from outside.
func (t *Targets) holdsCanary(data []byte) bool {
	for _, c := range canaryForm.FindAll(data, -1) {
		if hash(c) == t.CanaryHash {
			return true
		}
	}
	return false
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// firstOf runs try for each target until one succeeds, and else tells the first refusals.
func firstOf[T any](targets []T, try func(T) (string, bool)) (string, bool) {
	if len(targets) == 0 {
		return "no target given", false
	}
	var refusals []string
	for _, target := range targets {
		evidence, out := try(target)
		if out {
			return evidence, true
		}
		refusals = append(refusals, evidence)
	}
	if more := len(refusals) - 2; more > 1 {
		refusals = append(refusals[:2], fmt.Sprintf("%d more", more))
	}
	return strings.Join(refusals, "; "), false
}
