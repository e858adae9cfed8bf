package v1

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/identity/policy"
	"github.com/moorage-dev/moorage/internal/store"
)

// ReleasePolicy is what decides which agents get which credentials.
type ReleasePolicy struct {
	Source string `json:"source"` // the file's name, or that it is the default
	Text   string `json:"text"`   // in Cedar
}

// ResourcePolicy is the policy of a runtime or of one of its endpoints.
type ResourcePolicy struct {
	ARN      string          `json:"arn"`
	Document json.RawMessage `json:"document"`
}

// listPolicies answers with the policies that are no user's or role's own: those of resources, those that can be attached, and the one on
// the release of credentials.
func (h *Handler) listPolicies(w http.ResponseWriter, r *http.Request) error {
	var documents map[string]string
	err := h.Store.View(r.Context(), func(tx *store.Tx) (err error) {
		documents, err = tx.ResourcePolicies()
		return err
	})
	if err != nil {
		return err
	}
	resources, builtIn := []ResourcePolicy{}, []NamedPolicy{}
	for _, arn := range slices.Sorted(maps.Keys(documents)) {
		resources = append(resources, ResourcePolicy{arn, rawOf(documents[arn])})
	}
	for _, arn := range iam.BuiltIns() {
		builtIn = append(builtIn, NamedPolicy{Name: arn[strings.LastIndexByte(arn, '/')+1:], ARN: arn, Document: rawOf(iam.BuiltIn(arn))})
	}
	return writeJSON(w, map[string]any{"resources": resources, "builtIn": builtIn, "release": h.Release})
}

// rawOf is a document as it is; what is not JSON, which only an old server kept, is text.
func rawOf(document string) json.RawMessage {
	if json.Valid([]byte(document)) {
		return json.RawMessage(document)
	}
	text, _ := json.Marshal(document)
	return text
}

const maxQuestion = 64 << 10 // bytes

func question(r *http.Request, into any) error {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxQuestion))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return moorage.Errorf(moorage.Invalid, "the body is not the JSON that is wanted: %v", err)
	}
	return nil
}

// simulatePolicy says what would become of a request, and why. It changes nothing.
func (h *Handler) simulatePolicy(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Principal string              `json:"principal"` // ARN of a user, a role or a role's session
		Action    string              `json:"action"`
		Resources []string            `json:"resources"`
		Context   map[string][]string `json:"context"`
	}
	if err := question(r, &in); err != nil {
		return err
	}
	arn, err := moorage.ParseARN(in.Principal)
	if err != nil || in.Action == "" {
		return moorage.Errorf(moorage.Invalid, "principal must be an ARN and action service:Operation")
	}
	if rest, ok := strings.CutPrefix(arn.Resource, "role/"); ok && arn.Service == "iam" {
		arn.Service, arn.Resource = "sts", "assumed-role/"+rest[strings.LastIndexByte(rest, '/')+1:]+"/simulation"
	}
	lower := map[string][]string{}
	for k, v := range in.Context {
		lower[strings.ToLower(k)] = v
	}
	d := h.People.Authorize(iam.Request{
		Caller: moorage.Caller{Source: moorage.SigV4, ARN: arn.String(), Account: arn.Account}, Action: in.Action, Resources: in.Resources,
		Values: func(key string) []string { return lower[key] },
	})
	return writeJSON(w, map[string]any{"allowed": d.Allowed, "why": d.Why, "statements": matchesView(d.Matches)})
}

func matchesView(matches []policy.Match) []map[string]any {
	out := []map[string]any{}
	for _, m := range matches {
		effect := "Allow"
		if m.Deny {
			effect = "Deny"
		}
		out = append(out, map[string]any{"policy": m.Policy, "statement": m.Statement, "effect": effect})
	}
	return out
}

// lintPolicy says what in a policy does not do what its author may think.
func (h *Handler) lintPolicy(w http.ResponseWriter, r *http.Request) error {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxQuestion))
	if err != nil {
		return err
	}
	kind, ok := map[string]policy.Kind{"": policy.Identity, "identity": policy.Identity, "resource": policy.Resource, "trust": policy.Trust}[r.URL.Query().Get("kind")]
	if !ok {
		return moorage.Errorf(moorage.Invalid, "kind is one of identity, resource and trust")
	}
	doc, err := policy.Parse(kind, "policy", string(raw))
	if err != nil {
		return err
	}
	findings := doc.Lint(h.Known)
	if findings == nil {
		findings = []policy.Finding{}
	}
	return writeJSON(w, map[string]any{"findings": findings})
}

// explain says why a request was refused or allowed, by its id.
func (h *Handler) explain(w http.ResponseWriter, r *http.Request) error {
	id := r.URL.Query().Get("request")
	if id == "" {
		return moorage.Errorf(moorage.Invalid, "request must be the id of a request, which every answer has in x-amzn-RequestId")
	}
	records, err := h.Audit.List(audit.Filter{RequestID: id})
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return moorage.Errorf(moorage.NotFound, "no request with the id %q is on record", id)
	}
	return writeJSON(w, map[string]any{"records": records})
}
