package server

import (
	"context"
	"iter"
	"log/slog"
	"net/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/bedrockagent"
	"github.com/moorage-dev/moorage/internal/aws/bedrockagentruntime"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/knowledge"
	"github.com/moorage-dev/moorage/internal/knowledge/index"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/builtin"
)

func (h *house) openKnowledge(context.Context) error {
	embedder, err := knowledge.ParseEmbedder(h.Embedder, h.EmbedderKey)
	if err != nil {
		return err
	}
	h.knowledge, err = knowledge.Open(knowledge.Options{
		Dir: h.path("knowledge"), Objects: h.objects, OpenIndex: index.Open, Embedder: embedder, Write: h.writeAnswer, Log: h.Log,
		Found: func(ctx context.Context, s knowledge.Search) { h.asked.Add(ctx, s.Describe) },
	})
	return err
}

// writeAnswer has a model write what a knowledge base is asked for. The built-in one leaves that to the
// knowledge room, which puts passages together word for word.
func (h *house) writeAnswer(ctx context.Context, p knowledge.Prompt) iter.Seq2[string, error] {
	asked := model.Request{
		Model: p.Model, System: []string{p.System}, Messages: []model.Message{{Role: model.User, Content: []model.Block{{Text: p.Text}}}},
		MaxTokens: p.MaxTokens, Temperature: p.Temperature, TopP: p.TopP, Stop: p.Stop,
	}
	events := h.answerer().Answer(ctx, asked)
	if answers, _, _ := h.models.Table.Find(p.Model); answers == h.models.Ready[model.Builtin] {
		events = h.answerer().AnswerBy(ctx, asked, func(ctx context.Context) iter.Seq2[model.Event, error] {
			return builtin.Say(ctx, asked, knowledge.Extract(p))
		})
	}
	return func(yield func(string, error) bool) {
		for piece, err := range events {
			if (piece.Text != "" || err != nil) && !yield(piece.Text, err) {
				return
			}
		}
	}
}

// bedrockName is what requests to all of Bedrock's services are signed for.
const bedrockName = "bedrock"

// bedrock serves the services of Bedrock, which share a signing name and no paths.
func (h *house) bedrock() http.Handler {
	services := append(knowledgeServices(h.knowledge, h.baseARN, h.Log), modelService(h.answerer(), h.Log))
	for _, svc := range services {
		svc.Use(func(next http.Handler) http.Handler { return h.keyed(h.traced(next), wire.WriteError) })
	}
	return wire.Router(services)
}

// bedrockInside is what of Bedrock an agent's role may call: to ask, not to change.
func (h *house) bedrockInside() http.Handler {
	services := knowledgeServices(h.knowledge, h.baseARN, h.Log)
	services[0].Use(func(http.Handler) http.Handler { return h.signed(http.HandlerFunc(denyManagement), wire.WriteError) })
	services = append(services, modelService(h.answerer(), h.Log))
	for _, svc := range services[1:] {
		svc.Use(func(next http.Handler) http.Handler { return h.signed(h.traced(next), wire.WriteError) })
	}
	return wire.Router(services)
}

func denyManagement(w http.ResponseWriter, r *http.Request) {
	wire.WriteError(w, r, moorage.Errorf(moorage.Denied, "%s is not authorized to perform %s: an agent asks knowledge bases, and does not change them", identity.CallerOf(r.Context()).ARN, wire.OperationName(r.Context())))
}

// knowledgeServices are the management of knowledge bases, and retrieval.
func knowledgeServices(k *knowledge.Service, arn func(string) string, log *slog.Logger) []*wire.Service {
	manage := wire.NewService(bedrockagent.Model, wire.Options{Logger: log})
	bedrockagent.Serve(manage, k, arn)
	retrieve := wire.NewService(bedrockagentruntime.Model, wire.Options{Logger: log})
	bedrockagentruntime.Serve(retrieve, k)
	return []*wire.Service{manage, retrieve}
}

func (h *house) baseARN(id string) string {
	return "arn:aws:bedrock:" + h.Region + ":" + h.account + ":knowledge-base/" + id
}
