package cli

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// spending is what calls to models took, and may take.
type spending struct {
	Tokens     int64   `json:"tokens"`
	CostUSD    float64 `json:"costUSD"`
	MaxTokens  int64   `json:"maxTokens,omitempty"`
	MaxCostUSD float64 `json:"maxCostUSD,omitempty"`
	AtTheLimit string  `json:"atTheLimit,omitempty"`
}

// line says what was spent, and of what: "12,300 of 200,000 tokens, $0.02 of $0.50".
func (s spending) line() string {
	tokens := grouped(s.Tokens)
	if s.MaxTokens > 0 {
		tokens += " of " + grouped(s.MaxTokens)
	}
	parts := []string{tokens + " tokens"}
	switch {
	case s.MaxCostUSD > 0:
		parts = append(parts, money(s.CostUSD)+" of "+money(s.MaxCostUSD))
	case s.CostUSD > 0:
		parts = append(parts, money(s.CostUSD))
	}
	return strings.Join(parts, ", ") + s.spent()
}

// spent says so where a budget is used up, and what that means.
func (s spending) spent() string {
	if (s.MaxTokens == 0 || s.Tokens < s.MaxTokens) && (s.MaxCostUSD == 0 || s.CostUSD < s.MaxCostUSD) {
		return ""
	}
	if s.AtTheLimit == "end" {
		return " (used up: the session ends)"
	}
	return " (used up: calls to models are refused)"
}

// limits says what may be spent, and what happens then: "at most 200,000 tokens, then it ends".
func (s spending) limits() string {
	var parts []string
	if s.MaxTokens > 0 {
		parts = append(parts, grouped(s.MaxTokens)+" tokens")
	}
	if s.MaxCostUSD > 0 {
		parts = append(parts, money(s.MaxCostUSD))
	}
	then := "then calls to models are refused"
	if s.AtTheLimit == "end" {
		then = "then it ends"
	}
	return "at most " + strings.Join(parts, " and ") + ", " + then
}

// money writes dollars with as many digits as small amounts need.
func money(usd float64) string {
	if usd == 0 || usd >= 0.01 {
		return fmt.Sprintf("$%.2f", usd)
	}
	return "$" + strings.TrimRight(fmt.Sprintf("%.9f", usd), "0")
}

// grouped writes a number with commas: 12,300.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// budgets is what a runtime's sessions spent today, and what each of them may; nil where nothing is limited.
func (c *client) budgets(ctx context.Context, id string) (today spending, each *spending, err error) {
	var answer struct {
		SpendingToday spending
		SessionBudget *spending
	}
	err = c.v1(ctx, "GET", "runtimes/"+url.PathEscape(id), nil, &answer)
	return answer.SpendingToday, answer.SessionBudget, err
}
