package server

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/budget"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// budgetsSetting is where it is kept what agents spent.
const budgetsSetting = "budgets"

// saveBudgets is how often that is written down, if it changed.
const saveBudgets = time.Second

func (h *house) openBudgets(ctx context.Context) error {
	h.budgets = budget.New()
	return h.store.View(ctx, func(tx *store.Tx) error {
		doc, err := tx.Setting(budgetsSetting)
		if err != nil || doc == "" {
			return err
		}
		return h.budgets.Load([]byte(doc))
	})
}

// keepBudgets writes down what agents spent until ctx ends, and then once more.
func (h *house) keepBudgets(ctx context.Context) {
	defer h.ending.Wait()
	save := func() (next time.Duration) {
		if err := h.saveBudgets(context.WithoutCancel(ctx)); err != nil {
			h.Log.Error("write down what agents spent", "err", err)
			return saveBudgets
		}
		return 0
	}
	h.rounds.budgets.Run(ctx, save)
	save()
}

func (h *house) saveBudgets(ctx context.Context) error {
	doc, err := h.budgets.Save(func(session string) bool {
		_, lives := h.sessions.Find(session)
		return lives
	})
	if err != nil || doc == nil {
		return err
	}
	if err := h.store.Update(ctx, func(tx *store.Tx) error { return tx.PutSetting(budgetsSetting, string(doc)) }); err != nil {
		h.budgets.Unsaved()
		return err
	}
	return nil
}

// admitModel refuses a call to a model that its agent has no budget for, and ends its session where the
// runtime's owner wants that. Who calls from outside of sandboxes has no budget here.
func (h *house) admitModel(ctx context.Context, r model.Request) (settle func(model.Record), err error) {
	from, ok := telemetry.SourceOf(ctx)
	if !ok {
		return func(model.Record) {}, nil
	}
	limits := h.control.Budget(from.Runtime)
	done, err := h.budgets.Admit(from.Runtime, from.Session, limits, h.holds(r, limits), time.Now())
	if err != nil {
		if limits.End && moorage.CodeOf(err) == moorage.Quota && from.Session != "" {
			h.endSpent(ctx, from.Session, err)
		}
		return nil, err
	}
	return func(record model.Record) {
		done(h.took(record.Spent(), record.Answer.Stop.Model), time.Now())
		h.rounds.budgets.Wake()
	}, nil
}

// holds is what a call may take, as far as can be said before it. Where nothing is limited nothing has to be held.
func (h *house) holds(r model.Request, limits budget.Limits) budget.Amount {
	if limits == (budget.Limits{}) {
		return budget.Amount{}
	}
	out := r.MaxTokens
	if out == 0 {
		out = budget.Unsaid
	}
	_, name, err := h.models.Table.Find(r.Model)
	if err != nil {
		name = r.Model // the call will be refused
	}
	return h.took(model.Usage{Input: model.Estimate(r), Output: out}, name)
}

func (h *house) took(u model.Usage, name string) budget.Amount {
	cost, _ := h.prices.Of(name, telemetry.Usage{Input: int64(u.Input), Output: int64(u.Output), Cached: int64(u.CacheRead), CacheWritten: int64(u.CacheWrite)})
	return budget.Amount{Tokens: int64(u.Input + u.Output), Cost: cost}
}

// endSpent ends a session whose budget is used up. It does not wait: the call that found out is the session's own.
func (h *house) endSpent(ctx context.Context, session string, why error) {
	h.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := h.sessions.StopID(ctx, session, "ended: "+why.Error()); err != nil && moorage.CodeOf(err) != moorage.NotFound {
			h.Log.Warn("end a session whose budget is used up", "session", session, "err", err)
		}
	})
}
