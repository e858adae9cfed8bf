package main

import (
	"context"
	"strings"
	"sync"
)

// Story is what the newsroom hands over: the article, and everything that it stands on.
type Story struct {
	Article   string      `json:"article"`
	Entities  []Entity    `json:"entities"`
	Discarded []Discarded `json:"discarded"`
	Conflicts []Conflict  `json:"conflicts"`
	Unused    []string    `json:"unusedFacts"`       // sentences of the facts that rest on what was discarded
	Removed   []string    `json:"removedQuotations"` // that no source contains
	Reviews   []Review    `json:"reviews"`           // one for each round
	Notes     []string    `json:"notes,omitempty"`   // what did not go as it should
	Bill      *Bill       `json:"usage"`
	TraceID   string      `json:"traceId,omitempty"`
}

// Entity is a person, an organisation or a product that the knowledge base knows.
type Entity struct {
	Text       string     `json:"text"`
	Type       string     `json:"type,omitempty"`
	Confidence float64    `json:"confidence"` // 0 to 1
	Evidence   []Evidence `json:"evidence"`
}

// Evidence is a statement, word for word, and where it stands.
type Evidence struct {
	Statement string `json:"statement"`
	Source    string `json:"source"`
	Chunk     string `json:"chunk"`
}

// Discarded is an entity that is not used, and why: not_in_facts, not_in_kb or weak_match.
type Discarded struct {
	Text       string  `json:"text"`
	Reason     string  `json:"reason"`
	Confidence float64 `json:"confidence"`
	Best       string  `json:"bestEvidence,omitempty"`
}

// Conflict is a question that sources answer differently.
type Conflict struct {
	Entity string  `json:"entity"`
	Field  string  `json:"field"`
	Claims []Claim `json:"claims"`
}

// Claim is one source's answer.
type Claim struct {
	Value  string `json:"value"`
	Source string `json:"source"`
	Chunk  string `json:"chunk"`
}

// Verdict of a review.
type Verdict string

const (
	Approve Verdict = "approve"
	Revise  Verdict = "revise"
)

// Review is one round's.
type Review struct {
	Verdict  Verdict `json:"verdict"`
	Feedback string  `json:"feedback"`
}

// Bill is what all calls of models took.
type Bill struct {
	mu           sync.Mutex
	Calls        int     `json:"modelCalls"`
	InputTokens  int     `json:"inputTokens"`
	OutputTokens int     `json:"outputTokens"`
	ListPrice    float64 `json:"listPriceUSD"` // at Amazon's list price of the models asked for; the built-in model costs nothing
}

// prices of a million tokens in and out, in dollars. Source: Amazon Bedrock pricing, us-east-1.
var prices = map[string][2]float64{
	"nova-micro": {0.035, 0.14}, "nova-lite": {0.06, 0.24}, "nova-pro": {0.8, 3.2}, "claude-3-5-haiku": {0.8, 4},
}

func (b *Bill) add(model string, in, out int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Calls, b.InputTokens, b.OutputTokens = b.Calls+1, b.InputTokens+in, b.OutputTokens+out
	for name, price := range prices {
		if strings.Contains(model, name) {
			b.ListPrice += (price[0]*float64(in) + price[1]*float64(out)) / 1e6
		}
	}
}

type billKey struct{}

func withBill(ctx context.Context, b *Bill) context.Context {
	return context.WithValue(ctx, billKey{}, b)
}

// billOf returns the bill of a story, or one that nobody reads.
func billOf(ctx context.Context) *Bill {
	if b, ok := ctx.Value(billKey{}).(*Bill); ok {
		return b
	}
	return &Bill{}
}
