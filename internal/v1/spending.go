package v1

import (
	"time"

	"github.com/moorage-dev/moorage/internal/model/budget"
)

// Spending is what calls to models took, and may take: of one session, or of all of a runtime today (UTC).
type Spending struct {
	Tokens     int64   `json:"tokens"`
	CostUSD    float64 `json:"costUSD"`
	MaxTokens  int64   `json:"maxTokens,omitempty"` // the budget; none where there is no member
	MaxCostUSD float64 `json:"maxCostUSD,omitempty"`
	AtTheLimit string  `json:"atTheLimit,omitempty"` // what happens there: refuse, or end
}

// spending returns what a session spent, and its runtime today.
func (h *Handler) spending(runtime, session string) (ofSession, today Spending) {
	limits := h.Control.Budget(runtime)
	spent, day := h.Budgets.Spent(runtime, session, time.Now())
	return spendingOf(spent, limits.Session, limits.End), spendingOf(day, limits.Day, limits.End)
}

func spendingOf(spent, limit budget.Amount, end bool) Spending {
	out := Spending{Tokens: spent.Tokens, CostUSD: spent.Dollars(), MaxTokens: limit.Tokens, MaxCostUSD: limit.Dollars()}
	switch {
	case limit == (budget.Amount{}):
	case end:
		out.AtTheLimit = "end"
	default:
		out.AtTheLimit = "refuse"
	}
	return out
}
