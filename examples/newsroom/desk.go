package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// Newsroom is a team: a supervisor, a researcher, a writer and a reviewer.
type Newsroom struct {
	Models  *bedrockruntime.Client
	Library library
	Rounds  int                    // drafts that are reviewed, at most; 0 is 2
	Model   func(of string) string // which model an agent thinks with
}

// Event is progress: which agent, and what it has done.
type Event struct {
	Agent   string `json:"agent"`
	Message string `json:"message"`
	Story   *Story `json:"story,omitempty"` // in the last event
}

// work is one story in the making. What the agents hand to each other goes through it, so that facts
// arrive as they were sent, whatever a model makes of them on the way.
type work struct {
	*Newsroom
	facts string
	story *Story
	usable,
	sources string // the facts that may be printed; all that may be quoted
	tell       func(Event)
	prose      []string // what the research found, in sentences
	researched bool
	written    bool
}

// Write makes a story of facts.
func (n *Newsroom) Write(ctx context.Context, facts string, tell func(Event)) (*Story, error) {
	w := &work{Newsroom: n, facts: strings.TrimSpace(facts), usable: strings.TrimSpace(facts), story: &Story{
		Entities: []Entity{}, Discarded: []Discarded{}, Conflicts: []Conflict{}, Unused: []string{}, Removed: []string{}, Reviews: []Review{}, Bill: &Bill{},
	}, tell: tell}
	ctx = withBill(ctx, w.story.Bill)
	w.story.TraceID = traceOf(ctx)
	supervisor := w.agent("interface_supervisor", "us.anthropic.claude-3-5-haiku-20241022-v1:0", supervisorPrompt)
	supervisor.Tools = []Tool{
		{"researchAgent", "Researches the people, organisations and products in news facts. Takes the facts, unchanged.", "news_facts", w.researchTool},
		{"articleAgent", "Writes an article from research, has it reviewed and revised, and returns it. Takes the research.", "research", w.articleTool},
	}
	tell(Event{supervisor.Name, "has the facts", nil})
	if _, err := supervisor.Run(ctx, w.facts); err != nil {
		return nil, err
	}
	return w.story, w.finish(ctx)
}

// finish does what the supervisor left out, and says so.
func (w *work) finish(ctx context.Context) error {
	if !w.written {
		w.note("the supervisor ended before there was an article; the newsroom went on without it")
		if _, err := w.articleTool(ctx, ""); err != nil {
			return err
		}
	}
	w.tell(Event{"interface_supervisor", fmt.Sprintf("is done: %d calls of models, %d tokens", w.story.Bill.Calls, w.story.Bill.InputTokens+w.story.Bill.OutputTokens), nil})
	return nil
}

func (w *work) note(format string, args ...any) {
	w.story.Notes = append(w.story.Notes, fmt.Sprintf(format, args...))
}

func (w *work) agent(name, model, system string) *Agent {
	if w.Model != nil {
		if other := w.Model(name); other != "" {
			model = other
		}
	}
	return &Agent{Name: name, Model: model, System: system, Client: w.Models}
}

// researchTool is the supervisor's: the research agent, with a tool of its own.
func (w *work) researchTool(ctx context.Context, _ string) (string, error) {
	if w.researched {
		return w.brief(), nil
	}
	w.tell(Event{"researchAgent", "looks for people, organisations and products", nil})
	researcher := w.agent("researchAgent", "us.amazon.nova-lite-v1:0", researchPrompt)
	list, err := researcher.Run(ctx, w.facts)
	if err != nil {
		return "", err
	}
	if err := w.lookUp(ctx, list); err != nil {
		return "", err
	}
	return w.brief(), nil
}

// lookUp weighs every entity of the research agent's list against the knowledge base.
func (w *work) lookUp(ctx context.Context, list string) (err error) {
	ctx, span := startLookUp(ctx, list)
	defer func() { span.finish(w.brief(), err) }()
	found, invented := mentions(list, w.facts)
	if len(found) == 0 {
		w.note("the research agent named no entities; they were found by their spelling")
		found = namesIn(w.facts)
	}
	w.story.Discarded = append(w.story.Discarded, invented...)
	var records []record
	for _, m := range found {
		e, discarded, r, err := weigh(ctx, w.Library, m)
		if err != nil {
			return err
		}
		if discarded != nil {
			w.story.Discarded = append(w.story.Discarded, *discarded)
			w.tell(Event{"researchAgent", fmt.Sprintf("discards %s: %s", m.name, discarded.Reason), nil})
			continue
		}
		w.story.Entities, records = append(w.story.Entities, e), append(records, r...)
		w.tell(Event{"researchAgent", fmt.Sprintf("knows %s (%.2f)", m.name, e.Confidence), nil})
	}
	w.story.Conflicts = append(w.story.Conflicts, conflicts(records)...)
	for _, c := range w.story.Conflicts {
		w.tell(Event{"researchAgent", "finds that sources disagree on the " + c.Field + " of " + c.Entity, nil})
	}
	for _, r := range records {
		if s := r.prose(w.story.Conflicts); s != "" && !slices.Contains(w.prose, s) {
			w.prose = append(w.prose, s)
		}
	}
	unused := []string{}
	w.usable, unused = dropNames(w.facts, w.story.Discarded)
	w.story.Unused = append(w.story.Unused, unused...)
	w.researched = true
	return nil
}

// brief is what the research comes to, as the writer reads it.
func (w *work) brief() string {
	var b strings.Builder
	b.WriteString("## Research\n\n")
	for _, s := range w.prose {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	fmt.Fprintf(&b, "\n## News Facts\n\n%s\n", w.usable)
	return b.String()
}

// articleTool is the supervisor's: writer and reviewer, in turn, for so many rounds and no more.
func (w *work) articleTool(ctx context.Context, _ string) (string, error) {
	if w.written {
		return w.story.Article, nil
	}
	if !w.researched {
		if _, err := w.researchTool(ctx, ""); err != nil {
			return "", err
		}
	}
	w.sources = w.facts
	for _, e := range w.story.Entities {
		for _, proof := range e.Evidence {
			w.sources += "\n" + proof.Statement
		}
	}
	w.sources += "\n" + strings.Join(w.prose, "\n")
	rounds, feedback := w.Rounds, ""
	if rounds == 0 {
		rounds = 2
	}
	for range rounds {
		draft, err := w.draft(ctx, feedback)
		if err != nil {
			return "", err
		}
		w.story.Article = draft
		review, err := w.review(ctx, draft)
		if err != nil {
			return "", err
		}
		w.story.Reviews = append(w.story.Reviews, review)
		if review.Verdict == Approve {
			break
		}
		feedback = review.Feedback
	}
	if last := w.story.Reviews[len(w.story.Reviews)-1]; last.Verdict == Revise {
		w.note("the last of %d drafts was not approved", rounds)
	}
	w.story.Article += editorsNote(w.story.Conflicts)
	w.written = true
	return "<article>\n" + w.story.Article + "\n</article>", nil
}

// draft has the writer write, and takes out what no source bears out.
func (w *work) draft(ctx context.Context, feedback string) (string, error) {
	writer := w.agent("articleWritingAgent", "us.amazon.nova-pro-v1:0", writerPrompt)
	task := w.brief()
	if feedback != "" {
		task += "\n<review_feedback>\n" + feedback + "\n\nIt is about this draft:\n" + w.story.Article + "\n</review_feedback>"
	}
	answer, err := writer.Run(ctx, task)
	if err != nil {
		return "", err
	}
	article, removed := keepQuotations(tagged(answer, "article"), w.sources)
	w.story.Removed = append(w.story.Removed, removed...)
	article, _ = dropNames(article, w.story.Discarded)
	if strings.TrimSpace(article) == "" {
		return "", fmt.Errorf("articleWritingAgent: nothing of the draft is borne out by the facts or the research")
	}
	w.tell(Event{"articleWritingAgent", fmt.Sprintf("wrote a draft of %d words", len(strings.Fields(article))), nil})
	return article, nil
}

func (w *work) review(ctx context.Context, draft string) (Review, error) {
	reviewer := w.agent("articleReviewerAgent", "us.amazon.nova-micro-v1:0", reviewerPrompt)
	answer, err := reviewer.Run(ctx, w.brief()+"\n<article>\n"+draft+"\n</article>")
	if err != nil {
		return Review{}, err
	}
	r := Review{verdictOf(answer), tagged(answer, "review_feedback")}
	w.tell(Event{"articleReviewerAgent", "says: " + string(r.Verdict), nil})
	return r, nil
}

var verdict = regexp.MustCompile(`(?i)verdict\W{0,12}(approve|revise)`)

// verdictOf reads a review. One without a verdict asks for another draft.
func verdictOf(answer string) Verdict {
	found := verdict.FindAllStringSubmatch(answer, -1)
	if len(found) > 0 && strings.EqualFold(found[len(found)-1][1], "approve") {
		return Approve
	}
	return Revise
}

// editorsNote tells readers where the sources disagree. It is not left to a model.
func editorsNote(all []Conflict) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "\n\nEditor's note: our sources disagree on the %s of %s:", c.Field, c.Entity)
		for i, claim := range c.Claims {
			if i > 0 {
				b.WriteString(";")
			}
			fmt.Fprintf(&b, " %s according to %s", claim.Value, claim.Source[strings.LastIndexByte(claim.Source, '/')+1:])
		}
		b.WriteString(".")
	}
	return b.String()
}
