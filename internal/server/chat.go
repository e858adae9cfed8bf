package server

import (
	"bytes"
	"crypto/subtle"
	"io"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/openai"
	"github.com/moorage-dev/moorage/internal/sandbox/door"
)

// isChat reports whether a path is of the door for clients that speak OpenAI's form.
func isChat(path string) bool {
	return path == "/v1/chat/completions" || path == "/v1/models" || strings.HasPrefix(path, "/v1/models/")
}

// chat answers clients that speak OpenAI's form, by the same providers and under the same policies as Bedrock's operations.
func (h *house) chat() http.Handler {
	models := h.answerer()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { h.complete(models, w, r) })
	mux.HandleFunc("GET /v1/models", h.listChat)
	mux.HandleFunc("GET /v1/models/{id...}", h.findChat)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.refuseChat(w, r, moorage.Errorf(moorage.Unsupported, "%s is not asked by %s: there are POST /v1/chat/completions and GET /v1/models", r.URL.Path, r.Method))
	})
	return h.whoAsks(h.traced(mux))
}

// whoAsks says who calls: who sends an access key and its secret as a bearer token, and inside, the role of the sandbox.
func (h *house) whoAsks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := h.chatCaller(r)
		if err = h.authenticated(r, caller, err); err != nil {
			h.refuseChat(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(identity.WithCaller(r.Context(), caller)))
	})
}

// chatCaller is who asks. Who dialled out of a sandbox is known without a key; that its client sends some bearer token, as all
// of OpenAI's form do, and asks by address, tells it from a page or a redirect that was led here.
func (h *house) chatCaller(r *http.Request) (moorage.Caller, error) {
	token, sent := bearerToken(r)
	who := identity.WorkloadOf(r.Context())
	switch at, err := netip.ParseAddrPort(r.Host); {
	case who.Sandbox == "" && sent:
		return h.byKey(r, token)
	case who.Sandbox == "":
		return moorage.Caller{}, errBearerKey
	case err != nil || at.Addr() != door.Addr || r.Header.Get("X-Forwarded-For") != "":
		return who.Caller(), moorage.Errorf(moorage.Denied, "ask by address, http://%s:%d/v1, and not as %q", door.Addr, door.AWS, r.Host)
	case !sent:
		return who.Caller(), moorage.Errorf(moorage.Unauthenticated, "send a bearer token: any will do inside a sandbox, $OPENAI_API_KEY say")
	}
	return who.Caller(), nil
}

var errBearerKey = moorage.Errorf(moorage.Unauthenticated, "the API key here is an access key and its secret, joined by a colon: $AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY as moorage env prints them")

// byKey is the caller whose access key and secret a token is, joined by a colon.
func (h *house) byKey(r *http.Request, token string) (moorage.Caller, error) {
	id, secret, _ := strings.Cut(token, ":")
	key, err := h.people.AccessKey(r.Context(), id)
	if err != nil || subtle.ConstantTimeCompare([]byte(secret), []byte(key.Secret)) != 1 {
		return moorage.Caller{Source: moorage.SigV4, AccessKeyID: id}, errBearerKey
	}
	h.people.Use(id, bedrockName)
	return moorage.Caller{Source: moorage.SigV4, ARN: key.Principal, Account: h.account, AccessKeyID: id}, nil
}

// bringsKey reports whether a request for Bedrock has an access key as a bearer token in place of a signature, as clients send
// that were given AWS_BEARER_TOKEN_BEDROCK.
func bringsKey(r *http.Request) bool {
	if _, sent := bearerToken(r); !sent {
		return false
	}
	path := r.URL.EscapedPath()
	return strings.HasPrefix(path, "/model/") || strings.HasPrefix(path, "/retrieveAndGenerate") || strings.HasPrefix(path, "/knowledgebases")
}

// keyed is signed for clients that may also send an access key as a bearer token.
func (h *house) keyed(next http.Handler, fail func(http.ResponseWriter, *http.Request, error)) http.Handler {
	signed := h.signed(next, fail)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, sent := bearerToken(r)
		if !sent {
			signed.ServeHTTP(w, r)
			return
		}
		caller, err := h.byKey(r, token)
		if err = h.authenticated(r, caller, err); err == nil {
			r = r.WithContext(identity.WithCaller(r.Context(), caller))
			err = h.permitted(r)
		}
		if err != nil {
			fail(w, r, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBedrock)
		next.ServeHTTP(w, r)
	})
}

func (h *house) complete(models *model.Service, w http.ResponseWriter, r *http.Request) {
	asked, err := readChat(w, r)
	if err != nil {
		h.refuseChat(w, r, err)
		return
	}
	operation := "Converse"
	if asked.Stream {
		operation = "ConverseStream"
	}
	if err := h.mayAsk(r, demand{action: modelAction(operation), resources: h.modelARNs(asked.Request.Model)}); err != nil {
		h.refuseChat(w, r, err)
		return
	}
	events := models.Answer(r.Context(), asked.Request)
	reply := openai.Reply{ID: "chatcmpl-" + wire.RequestID(r.Context()), Model: asked.Request.Model, Created: time.Now()}
	if asked.Stream {
		h.streamChat(w, r, reply, events, asked.Usage)
		return
	}
	answer, err := model.Collect(events)
	if err != nil {
		h.refuseChat(w, r, err)
		return
	}
	doc, err := reply.Whole(answer)
	if err != nil {
		h.refuseChat(w, r, err)
		return
	}
	writeChat(w, http.StatusOK, doc)
}

func readChat(w http.ResponseWriter, r *http.Request) (openai.Asked, error) {
	coming := inTime(w, r, bodyPatience)
	defer coming.release()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBedrock))
	if err != nil {
		return openai.Asked{}, &moorage.Error{Code: moorage.Invalid, Message: "the body is larger than 25 MiB, or was cut off", Err: err}
	}
	return openai.Read(body)
}

// mayAsk decides whether the caller's policies let it do what a request needs.
func (h *house) mayAsk(r *http.Request, d demand) error {
	return h.decide(r, identity.CallerOf(r.Context()), d, h.valuesOf(r, nil))
}

// streamChat sends an answer as server-sent events. What fails before the first is still an answer with a status.
func (h *house) streamChat(w http.ResponseWriter, r *http.Request, reply openai.Reply, events iter.Seq2[model.Event, error], usage bool) {
	begun, err := model.Begun(events)
	if err != nil {
		h.refuseChat(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	var line bytes.Buffer
	for doc, err := range reply.Pieces(flushed(w, begun), usage) {
		if err != nil {
			_, doc = openai.Refuse(err)
			h.Log.Warn("an answer of a model broke off", "requestId", wire.RequestID(r.Context()), "err", err)
		}
		line.Reset()
		line.WriteString("data: ")
		line.Write(doc)
		line.WriteString("\n\n")
		if _, gone := w.Write(line.Bytes()); gone != nil || err != nil {
			return
		}
	}
	io.WriteString(w, "data: [DONE]\n\n")
}

// flushed sends what was written of an event before it waits for the next: the pieces of one go together, and what
// follows the last goes with the end.
func flushed(w http.ResponseWriter, events iter.Seq2[model.Event, error]) iter.Seq2[model.Event, error] {
	flush := http.NewResponseController(w).Flush
	return func(yield func(model.Event, error) bool) {
		for e, err := range events {
			if !yield(e, err) || err != nil {
				return
			}
			if e.Stop == nil && flush() != nil {
				return // the caller is gone
			}
		}
	}
}

// listChat lists the models that routes name exactly: patterns are no names to ask by.
func (h *house) listChat(w http.ResponseWriter, r *http.Request) {
	if err := h.mayAsk(r, demand{action: "bedrock:ListFoundationModels"}); err != nil {
		h.refuseChat(w, r, err)
		return
	}
	var names, providers []string
	for _, route := range h.models.Table.Routes() {
		if !strings.ContainsAny(route.Pattern, `*?[\`) && !slices.Contains(names, route.Pattern) {
			names, providers = append(names, route.Pattern), append(providers, route.Provider)
		}
	}
	writeChat(w, http.StatusOK, openai.Models(names, providers))
}

func (h *house) findChat(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	err := h.mayAsk(r, demand{action: "bedrock:GetFoundationModel", resources: h.modelARNs(id)})
	if err == nil {
		_, _, err = h.models.Table.Find(id)
	}
	if err != nil {
		h.refuseChat(w, r, err)
		return
	}
	writeChat(w, http.StatusOK, openai.OneModel(id, "moorage"))
}

func (h *house) refuseChat(w http.ResponseWriter, r *http.Request, err error) {
	status, doc := openai.Refuse(err)
	if status >= http.StatusInternalServerError && r.Context().Err() == nil {
		h.Log.Error("request failed", "path", r.URL.Path, "requestId", wire.RequestID(r.Context()), "err", err)
	}
	if moorage.CodeOf(err) == moorage.Throttled {
		w.Header().Set("Retry-After", "1")
	}
	writeChat(w, status, doc)
}

func writeChat(w http.ResponseWriter, status int, doc []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(doc, '\n'))
}
