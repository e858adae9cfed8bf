package server

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/moorage-dev/moorage/internal/aws/bedrockruntime"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/guest"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/builtin"
	"github.com/moorage-dev/moorage/internal/model/provider"
	"github.com/moorage-dev/moorage/internal/model/spans"
	"github.com/moorage-dev/moorage/internal/store"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

// modelsSetting is where the setup of models is kept, sealed.
const modelsSetting = "models"

func (h *house) openModels(ctx context.Context) error {
	h.asked = spans.New(h.inlet.Keep, h.Log)
	h.models = &provider.Registry{
		Table: &model.Table{},
		Ready: map[string]model.Provider{model.Builtin: &builtin.Model{}},
		Save: func(ctx context.Context, setup []byte) error {
			return h.store.Update(ctx, func(tx *store.Tx) error { return tx.PutSealedSetting(modelsSetting, setup) })
		},
	}
	var saved []byte
	err := h.store.View(ctx, func(tx *store.Tx) (err error) {
		saved, err = tx.SealedSetting(modelsSetting)
		return err
	})
	if err != nil {
		return err
	}
	if err := h.models.Load(saved); err != nil {
		h.Log.Warn("the setup of models cannot be read, and is left out", "err", err)
	}
	for _, p := range h.models.Providers() {
		if p.Fault != "" {
			h.Log.Warn("a provider of models is left out", "provider", p.Name, "why", p.Fault)
		}
	}
	return nil
}

// answerer answers calls to models within their budgets, and has telemetry know.
func (h *house) answerer() *model.Service {
	return &model.Service{Table: h.models.Table, Admit: h.admitModel, Done: h.asked.Done}
}

func modelService(models *model.Service, log *slog.Logger) *wire.Service {
	svc := wire.NewService(bedrockruntime.Model, wire.Options{Logger: log})
	bedrockruntime.Serve(svc, models)
	return svc
}

// traced says which session and trace a request belongs to, where it comes from inside a sandbox.
func (h *house) traced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := guest.OccupantOf(r.Context())
		ctx := r.Context()
		if who.Sandbox != "" {
			ctx = telemetry.WithSource(ctx, h.sourceOf(who))
		}
		trace, span := h.calls.ParentOf(r.Header, who.Session)
		next.ServeHTTP(w, r.WithContext(spans.WithParent(ctx, spans.Parent{Trace: trace, Span: span})))
	})
}
