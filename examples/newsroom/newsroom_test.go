package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// server is Moorage, running on a directory of its own, with the newsroom's knowledge base in it.
type server struct {
	Endpoint, Region, AccessKeyID, SecretAccessKey string
	base                                           string
}

var running struct {
	sync.Once
	server
	skip string
	err  error
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "newsroom-test-")
	if err != nil {
		panic(err)
	}
	os.Setenv("MOORAGE_DIR", dir)
	code := m.Run()
	if bin := moorage(); bin != "" {
		exec.Command(bin, "down").Run() // there may be no server
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func moorage() string {
	bin := os.Getenv("MOORAGE_BIN")
	if bin == "" {
		bin = "../../bin/moorage"
	}
	if _, err := os.Stat(bin); err != nil {
		return ""
	}
	bin, _ = filepath.Abs(bin)
	return bin
}

func started(t *testing.T) server {
	t.Helper()
	running.Do(func() {
		if running.skip = ""; moorage() == "" {
			running.skip = "the server is not built: run make build"
			return
		}
		running.err = running.start()
	})
	if running.skip != "" {
		t.Skip(running.skip)
	}
	if running.err != nil {
		t.Fatal(running.err)
	}
	return running.server
}

func (s *server) start() error {
	serve := exec.Command(moorage(), "serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--json")
	serve.Stderr = os.Stderr
	out, err := serve.StdoutPipe()
	if err == nil {
		err = serve.Start()
	}
	if err != nil {
		return err
	}
	if err := json.NewDecoder(out).Decode(&map[string]any{}); err != nil { // what it says when it is ready
		return err
	}
	doc, err := os.ReadFile(filepath.Join(os.Getenv("MOORAGE_DIR"), "client.json"))
	if err == nil {
		err = json.Unmarshal(doc, s)
	}
	if err != nil {
		return err
	}
	made, err := exec.Command(moorage(), "kb", "create", "newsroom", "--from", "knowledge").Output()
	s.base = strings.TrimSpace(string(made))
	return err
}

func (s server) keys() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, "")
}

// room is a newsroom whose models are a script, and whose knowledge base is real.
func room(t *testing.T, s server, script http.Handler) *Newsroom {
	models := httptest.NewServer(script)
	t.Cleanup(models.Close)
	keys := s.keys()
	return &Newsroom{
		Models:  bedrockruntime.New(bedrockruntime.Options{BaseEndpoint: &models.URL, Region: s.Region, Credentials: keys, Retryer: aws.NopRetryer{}, HTTPClient: httpClient()}),
		Library: library{s.base, bedrockagentruntime.New(bedrockagentruntime.Options{BaseEndpoint: &s.Endpoint, Region: s.Region, Credentials: keys})},
	}
}

// script plays a model: it knows each agent by its instructions.
type script struct {
	entities string // the research agent's list
	verdicts string // the reviewer's, one after the other; the last for ever
	invents  bool   // the writer makes a quotation up
	lazy     bool   // the supervisor calls no tool

	mu     sync.Mutex
	calls  map[string]int
	prompt map[string]string // the last
}

type turn struct {
	Role    string
	Content []struct {
		Text       string
		ToolResult *struct {
			Content []struct{ Text string }
		}
	}
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		System   []struct{ Text string }
		Messages []turn
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasSuffix(r.URL.Path, "/converse-stream") {
		http.Error(w, "not what is expected", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls, s.prompt = map[string]int{}, map[string]string{}
	}
	last := in.Messages[len(in.Messages)-1]
	said := last.Content[0].Text
	if last.Content[0].ToolResult != nil {
		said = last.Content[0].ToolResult.Content[0].Text
	}
	agent := map[string]string{supervisorPrompt: "supervisor", researchPrompt: "research", writerPrompt: "writer", reviewerPrompt: "reviewer"}[in.System[0].Text]
	s.calls[agent]++
	s.prompt[agent] = said
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	switch {
	case agent == "supervisor" && len(in.Messages) == 1 && !s.lazy:
		answerTool(w, "researchAgent", "news_facts", said)
	case agent == "supervisor" && len(in.Messages) == 3:
		answerTool(w, "articleAgent", "research", said)
	case agent == "supervisor":
		answer(w, "<final>"+said+"</final>")
	case agent == "research":
		answer(w, s.entities)
	case agent == "writer":
		answer(w, s.article(said))
	default:
		verdicts := strings.Fields(s.verdicts)
		n := min(s.calls[agent], len(verdicts)) - 1
		answer(w, "<review_feedback>Say more.\nVerdict: "+verdicts[n]+"</review_feedback>")
	}
}

// article prints all facts and all evidence, as a model without taste would.
func (s *script) article(task string) string {
	_, facts, _ := strings.Cut(task, "## News Facts\n")
	facts, _, _ = strings.Cut(facts, "<review_feedback>")
	out := "<article>\nNews\n\n" + strings.TrimSpace(facts) + "\nThe list of entities names nobody else."
	if s.invents {
		out += "\n\"This will change everything for everybody,\" Marcus Williams said. The rest stays."
	}
	for _, name := range []string{"Veridian Oncology Trust", "Aurelia Maritime Insurance", "Fairline Consumer Trust", "Osgood Pellweather"} {
		out += "\nOf " + name + " nothing more is known."
	}
	return out + "\n</article>"
}

func send(w io.Writer, event string, body any) {
	doc, _ := json.Marshal(body)
	m := eventstream.Message{Payload: doc}
	for name, value := range map[string]string{":message-type": "event", ":event-type": event, ":content-type": "application/json"} {
		m.Headers.Set(name, eventstream.StringValue(value))
	}
	eventstream.NewEncoder().Encode(w, m)
}

type object = map[string]any

func answer(w io.Writer, text string) {
	send(w, "messageStart", object{"role": "assistant"})
	for piece := range slices.Chunk([]byte(text), 50) {
		send(w, "contentBlockDelta", object{"contentBlockIndex": 0, "delta": object{"text": string(piece)}})
	}
	finish(w, "end_turn")
}

func answerTool(w io.Writer, name, argument, text string) {
	input, _ := json.Marshal(map[string]string{argument: text})
	send(w, "messageStart", object{"role": "assistant"})
	send(w, "contentBlockStart", object{"contentBlockIndex": 0, "start": object{"toolUse": object{"toolUseId": "tooluse_1", "name": name}}})
	for piece := range slices.Chunk(input, 40) {
		send(w, "contentBlockDelta", object{"contentBlockIndex": 0, "delta": object{"toolUse": object{"input": string(piece)}}})
	}
	finish(w, "tool_use")
}

func finish(w io.Writer, reason string) {
	send(w, "contentBlockStop", object{"contentBlockIndex": 0})
	send(w, "messageStop", object{"stopReason": reason})
	send(w, "metadata", object{"usage": object{"inputTokens": 100, "outputTokens": 10, "totalTokens": 110}, "metrics": object{"latencyMs": 1}})
}

func factsOf(t *testing.T, name string) string {
	t.Helper()
	doc, err := os.ReadFile("facts/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func list(names ...string) string {
	out := "Entities\n"
	for i, name := range names {
		out += fmt.Sprintf("- entity_id: %d\n  text: %s\n  type: ORGANIZATION\n  confidence: 0.9\n", i+1, name)
	}
	return out
}

// sets are the facts, what they name, and what the knowledge base does not know of it.
var sets = map[string]struct {
	names    []string
	unknown  string
	quote    string
	conflict string
}{
	"mediscan": {[]string{"NeuraHealth Solutions", "MediScan", "Dr. Eliza Chen", "Raj Patel", "Veridian Oncology Trust"}, "Veridian Oncology Trust", "MediScan gives a radiologist a second pair of eyes", "Raj Patel"},
	"ferry":    {[]string{"Tidewater Lines", "Sound of Arran", "Ingrid Solheim", "Aurelia Maritime Insurance"}, "Aurelia Maritime Insurance", "We tested it in fog, in snow and in traffic for 400 days", ""},
	"bank":     {[]string{"Orchard Savings Bank", "Tomas Okafor", "Fairline Consumer Trust"}, "Fairline Consumer Trust", "Nobody loses an account, and nobody loses a face to talk to", ""},
	"solar":    {[]string{"Kestrel Field", "Helena Brandt", "Suncrest Power", "Osgood Pellweather"}, "Osgood Pellweather", "We were told the marsh was useless land", ""},
}

func TestNewsroom_fourSetsOfFacts(t *testing.T) {
	s := started(t)
	for name, set := range sets {
		t.Run(name, func(t *testing.T) {
			var articles []string
			for range 2 {
				n := room(t, s, &script{entities: list(set.names...), verdicts: "revise approve", invents: true})
				story, err := n.Write(t.Context(), factsOf(t, name), func(Event) {})
				if err != nil {
					t.Fatal(err)
				}
				articles = append(articles, story.Article)
				checkStory(t, story, set.unknown, set.quote, set.conflict, len(set.names))
			}
			if articles[0] != articles[1] {
				t.Errorf("two runs give two articles:\n%s\n\n%s", articles[0], articles[1])
			}
		})
	}
}

// TestNewsroom_withTheBuiltInModel writes about four sets of facts, each twice.
func TestNewsroom_withTheBuiltInModel(t *testing.T) {
	s := started(t)
	for name, set := range sets {
		t.Run(name, func(t *testing.T) {
			var stories []*Story
			for range 2 {
				n := room(t, s, http.NotFoundHandler())
				n.Models = bedrockruntime.New(bedrockruntime.Options{BaseEndpoint: &s.Endpoint, Region: s.Region, Credentials: s.keys(), HTTPClient: httpClient()})
				story, err := n.Write(t.Context(), factsOf(t, name), func(Event) {})
				if err != nil {
					t.Fatal(err)
				}
				stories = append(stories, story)
			}
			story := stories[0]
			if len(story.Notes) > 0 || story.Bill.InputTokens == 0 || len(story.Entities) < 2 {
				t.Errorf("notes %q, %+v, entities %+v", story.Notes, story.Bill, story.Entities)
			}
			t.Run("two runs give the same article", func(t *testing.T) {
				if story.Article != stories[1].Article {
					t.Errorf("%s\n\n%s", story.Article, stories[1].Article)
				}
			})
			t.Run("what is quoted stands in the facts word for word", func(t *testing.T) {
				if !strings.Contains(story.Article, set.quote) {
					t.Errorf("%q is missing from:\n%s", set.quote, story.Article)
				}
				known := factsOf(t, name) + allEvidence(story)
				for _, quoted := range quotations.FindAllStringSubmatch(story.Article, -1) {
					if !strings.Contains(known, quoted[1]) {
						t.Errorf("nothing says %q", quoted[1])
					}
				}
			})
			t.Run("who is unknown is discarded with the reason", func(t *testing.T) {
				found := slices.IndexFunc(story.Discarded, func(d Discarded) bool { return strings.Contains(d.Text, set.unknown) })
				if found < 0 || story.Discarded[found].Reason == "" || strings.Contains(story.Article, set.unknown) {
					t.Errorf("discarded %+v of %+v, the article:\n%s", story.Discarded, story.Entities, story.Article)
				}
			})
			t.Run("the conflict of sources is reported", func(t *testing.T) {
				if (set.conflict != "") != (len(story.Conflicts) > 0) || set.conflict != "" && !strings.Contains(story.Article, "disagree") {
					t.Errorf("conflicts %+v, the article:\n%s", story.Conflicts, story.Article)
				}
			})
			t.Run("the loop is bounded", func(t *testing.T) {
				if n := len(story.Reviews); n < 1 || n > 2 {
					t.Errorf("%d reviews", n)
				}
			})
		})
	}
}

var quotations = regexp.MustCompile(`"([^"]+)"`)

func allEvidence(s *Story) (out string) {
	for _, e := range s.Entities {
		for _, evidence := range e.Evidence {
			out += "\n" + evidence.Statement
		}
	}
	return out
}

func checkStory(t *testing.T, story *Story, unknown, quote, conflict string, names int) {
	t.Helper()
	if len(story.Discarded) != 1 || story.Discarded[0].Text != unknown || !slices.Contains([]string{"not_in_kb", "weak_match"}, story.Discarded[0].Reason) {
		t.Errorf("discarded %+v", story.Discarded)
	}
	if len(story.Entities) != names-1 {
		t.Errorf("entities %+v", story.Entities)
	}
	for _, e := range story.Entities {
		if e.Confidence < enough || len(e.Evidence) == 0 || !strings.HasPrefix(e.Evidence[0].Source, "s3://") || e.Evidence[0].Chunk == "" {
			t.Errorf("%s is believed on %+v", e.Text, e)
		}
	}
	if !strings.Contains(story.Article, quote) || strings.Contains(story.Article, "change everything") || strings.Contains(story.Article, unknown) {
		t.Errorf("the article:\n%s", story.Article)
	}
	if !slices.Contains(story.Removed, "This will change everything for everybody,") || len(story.Unused) == 0 {
		t.Errorf("removed %q, unused %q", story.Removed, story.Unused)
	}
	if len(story.Reviews) != 2 || story.Reviews[1].Verdict != Approve || len(story.Notes) != 0 {
		t.Errorf("reviews %+v, notes %q", story.Reviews, story.Notes)
	}
	if story.Bill.Calls != 8 || story.Bill.InputTokens != 800 || story.Bill.ListPrice <= 0 {
		t.Errorf("the bill %+v", story.Bill)
	}
	if conflict == "" && len(story.Conflicts) > 0 || conflict != "" && (len(story.Conflicts) != 1 || story.Conflicts[0].Entity != conflict || len(story.Conflicts[0].Claims) != 2) {
		t.Errorf("conflicts %+v", story.Conflicts)
	}
	if conflict != "" && !strings.Contains(story.Article, "our sources disagree on the employer of "+conflict) {
		t.Errorf("the article does not tell of the conflict:\n%s", story.Article)
	}
}

func TestNewsroom_reviewsEndWhateverTheReviewerSays(t *testing.T) {
	s := started(t)
	m := &script{entities: list("MediScan"), verdicts: "revise"}
	story, err := room(t, s, m).Write(t.Context(), factsOf(t, "mediscan"), func(Event) {})
	if err != nil || len(story.Reviews) != 2 || m.calls["writer"] != 2 || m.calls["reviewer"] != 2 {
		t.Fatalf("%d drafts, %d reviews, %v", m.calls["writer"], m.calls["reviewer"], err)
	}
	if !slices.Contains(story.Notes, "the last of 2 drafts was not approved") || !strings.Contains(m.prompt["writer"], "Say more.") {
		t.Errorf("notes %q, the writer's task %q", story.Notes, m.prompt["writer"])
	}
}

func TestNewsroom_goesOnWithoutWhatAModelLeavesOut(t *testing.T) {
	s := started(t)
	m := &script{entities: "I found nothing.", verdicts: "approve", lazy: true}
	story, err := room(t, s, m).Write(t.Context(), factsOf(t, "mediscan"), func(Event) {})
	if err != nil || story.Article == "" || len(story.Notes) != 2 || len(story.Entities) < 4 {
		t.Fatalf("%+v, %v", story, err)
	}
	m = &script{entities: list("MediScan", "Globex Biotech"), verdicts: "approve"}
	if story, err = room(t, s, m).Write(t.Context(), factsOf(t, "mediscan"), func(Event) {}); err != nil || !slices.ContainsFunc(story.Discarded, func(d Discarded) bool { return d == Discarded{Text: "Globex Biotech", Reason: "not_in_facts"} }) {
		t.Errorf("%+v, %v", story.Discarded, err)
	}
}

func TestNewsroom_endsWhereAModelFails(t *testing.T) {
	s := started(t)
	for name, handler := range map[string]http.HandlerFunc{
		"throttled": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", "ThrottlingException")
			w.WriteHeader(429)
			io.WriteString(w, `{"message": "slow down"}`)
		},
		"garbage": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"breaks off": func(w http.ResponseWriter, _ *http.Request) {
			send(w, "messageStart", object{"role": "assistant"})
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"silent":         func(w http.ResponseWriter, _ *http.Request) { finish(w, "end_turn") },
		"calls for ever": func(w http.ResponseWriter, _ *http.Request) { answerTool(w, "noSuchTool", "x", "y") },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if story, err := room(t, s, handler).Write(ctx, "Facts.", func(Event) {}); err == nil || ctx.Err() != nil {
			t.Errorf("%s: %+v", name, story)
		}
		cancel()
	}
}

func TestNewsroom_answersAsItsPayloadAsks(t *testing.T) {
	s := started(t)
	n := room(t, s, &script{entities: list("MediScan"), verdicts: "approve"})
	call := func(payload any) *httptest.ResponseRecorder {
		doc, _ := json.Marshal(payload)
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/invocations", bytes.NewReader(doc))
		r.Header.Set("Content-Type", "application/json")
		n.ServeHTTP(w, r)
		return w
	}
	var story Story
	if w := call(object{"query": factsOf(t, "mediscan")}); w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &story) != nil || story.Article == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := call(object{"facts": factsOf(t, "mediscan"), "stream": true})
	events := strings.Split(strings.TrimSpace(w.Body.String()), "\n\n")
	var last Event
	if err := json.Unmarshal([]byte(strings.TrimPrefix(events[len(events)-1], "data: ")), &last); err != nil || last.Story == nil || last.Story.Article != story.Article || len(events) < 6 {
		t.Errorf("%v: %s", err, w.Body)
	}
	for _, wrong := range []object{{}, {"facts": " "}, {"facts": strings.Repeat("x", maxFacts+1)}, {"facts": strings.Repeat("x", maxFacts+1), "stream": true}} {
		if w := call(wrong); w.Code != 400 {
			t.Errorf("%.30v: %d %s", wrong, w.Code, w.Body)
		}
	}
}

func TestSentences_quotationsStayWhole(t *testing.T) {
	for text, want := range map[string][]string{
		`He left. She stayed.`:                         {"He left.", "She stayed."},
		`"We won. At last," said Dr. Ada Q. Reed. So.`: {`"We won. At last," said Dr. Ada Q. Reed.`, "So."},
		`It cost 3.5 million. “Too much.” He paid.`:    {"It cost 3.5 million.", "“Too much.”", "He paid."},
	} {
		if got := sentences(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
}
