// Command newsroom is the reference application: a team of agents that makes a news article from facts, and
// hands it over with everything that it stands on.
//
//	interface_supervisor ─▶ researchAgent ─▶ knowledge base
//	                     └▶ articleWritingAgent ⇄ articleReviewerAgent, for so many rounds and no more
//
// It speaks to models by Amazon Bedrock's ConverseStream and to the knowledge base by its Retrieve, through
// the AWS SDK alone: the same program runs on Moorage and in the cloud.
//
//	{"facts": "…"}                  the story as one JSON document
//	{"facts": "…", "stream": true}  server-sent events: progress, and the story in the last
//
// KNOWLEDGE_BASE_ID names the knowledge base. NEWSROOM_MODEL, if set, is what all agents think with;
// NEWSROOM_ROUNDS is how many drafts are reviewed at most, 2 unless it is set.
//
// Package main is meant to be read in this order: loop.go, desk.go, research.go.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage/agent"
	telemetry "github.com/moorage-dev/moorage/agent/otel"
)

// request is the payload of a call. Facts may come by the names that other agents use.
type request struct {
	Facts  string `json:"facts"`
	Query  string `json:"query"`
	Prompt string `json:"prompt"`
	Stream bool   `json:"stream"`
}

// maxFacts is how long facts may be, in bytes.
const maxFacts = 20_000

func (r request) facts() (string, error) {
	for _, facts := range []string{r.Facts, r.Query, r.Prompt} {
		if len(facts) > maxFacts {
			return "", &agent.Error{Status: http.StatusBadRequest, Message: "the facts have " + strconv.Itoa(len(facts)) + " bytes, and may have " + strconv.Itoa(maxFacts)}
		}
		if strings.TrimSpace(facts) != "" {
			return facts, nil
		}
	}
	return "", &agent.Error{Status: http.StatusBadRequest, Message: `there are no facts to write about: send {"facts": "…"}`}
}

func (n *Newsroom) whole(ctx context.Context, r request) (*Story, error) {
	facts, err := r.facts()
	if err != nil {
		return nil, err
	}
	return n.Write(ctx, facts, func(e Event) { log.Printf("%s %s", e.Agent, e.Message) })
}

// stream tells the progress while the story is made.
func (n *Newsroom) stream(ctx context.Context, r request) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		facts, err := r.facts()
		if err != nil {
			yield(Event{}, err)
			return
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		gone := false
		story, err := n.Write(ctx, facts, func(e Event) {
			if !gone && !yield(e, nil) {
				gone = true
				stop() // nobody listens any more
			}
		})
		if !gone {
			yield(Event{Agent: "newsroom", Message: "the story", Story: story}, err)
		}
	}
}

// ServeHTTP answers a call as its payload asks.
func (n *Newsroom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var asked request
	_ = json.Unmarshal(body, &asked) // what is wrong with it the handlers say
	r.Body = io.NopCloser(bytes.NewReader(body))
	if asked.Stream {
		agent.Stream(n.stream).ServeHTTP(w, r)
		return
	}
	agent.Handle(n.whole).ServeHTTP(w, r)
}

func main() {
	ctx := context.Background()
	flush, err := telemetry.Start(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer flush(ctx)
	models, knowledge, err := connect(ctx)
	if err != nil {
		log.Fatal(err)
	}
	rounds, _ := strconv.Atoi(os.Getenv("NEWSROOM_ROUNDS"))
	desk := &Newsroom{
		Models:  models,
		Library: library{os.Getenv("KNOWLEDGE_BASE_ID"), knowledge},
		Rounds:  rounds,
		Model:   func(string) string { return os.Getenv("NEWSROOM_MODEL") },
	}
	// Sessions may start from copies of this program: the ids of its spans and requests come from the kernel, and it logs in
	// with its first call. What its libraries draw from math/rand is how long they wait before they try again.
	server := &agent.Server{Entrypoint: telemetry.Trace(desk), Clone: agent.NothingToRenew}
	server.Main()
}
