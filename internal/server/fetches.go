package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/agentcore"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity/vault"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/archive"
	"github.com/moorage-dev/moorage/internal/telemetry/calls"
)

// fetched has telemetry know of a call for a token or key: a span in the caller's trace, and AgentCore's metrics of identity.
func (h *house) fetched(ctx context.Context, f agentcore.Fetch) {
	exception := ""
	if f.Err != nil {
		exception = wire.ExceptionOf(ctx, f.Err)
	}
	h.countFetch(f, exception)
	requestID := wire.RequestID(ctx)
	h.asked.AddOf(ctx, "identity", fetchScope, func(span ptrace.Span) { h.describeFetch(span, f, requestID) })
}

// fetchScope is the scope of the spans of fetches.
const fetchScope = "moorage.identity"

// defaultName is the name of the one directory of identities that there is, and of the one vault.
const defaultName = "default"

// countFetch counts a fetch. Source: AgentCore developer guide, identity metrics. What does not exist is no dimension:
// callers could make up as many as they like.
func (h *house) countFetch(f agentcore.Fetch, exception string) {
	name, labels := "WorkloadAccessTokenFetch", map[string]string{telemetry.NamespaceLabel: telemetry.RuntimeNamespace}
	if _, known := h.workloads.Identity(f.Workload); known {
		labels["WorkloadIdentity"], labels["WorkloadIdentityDirectory"] = f.Workload, defaultName
	}
	switch f.Kind {
	case vault.APIKey:
		name = "ApiKeyFetch"
	case vault.OAuth2:
		name = "ResourceAccessTokenFetch"
		if f.Flow == vault.FlowM2M || f.Flow == vault.FlowUser || f.Flow == vault.FlowOnBehalf {
			labels["Type"] = string(f.Flow)
		}
	default:
		labels["Operation"] = f.Operation
	}
	if _, err := h.vault.Provider(f.Kind, f.Provider); f.Provider != "" && err == nil {
		labels["TokenVault"], labels["ProviderName"] = defaultName, f.Provider
	}
	switch calls.FaultOf(f.Err) {
	case telemetry.NoFault:
		name += "Success"
	case telemetry.Throttle:
		name += "Throttles"
	default:
		name += "Failures"
		labels["ExceptionType"] = exception
	}
	h.calls.Observe(telemetry.Series{Name: name, Unit: "Count", Labels: archive.Labels(labels)}, 1)
}

// describeFetch writes a fetch as a span. Source: AgentCore developer guide, identity spans.
func (h *house) describeFetch(span ptrace.Span, f agentcore.Fetch, requestID string) {
	span.SetName(f.Operation)
	span.SetKind(ptrace.SpanKindServer)
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(f.Began))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(f.Began.Add(f.Took)))
	arn, kind, vaultName := "", "", ""
	switch f.Kind {
	case vault.APIKey:
		arn, kind, vaultName = h.vault.ARN(vault.Provider{Kind: f.Kind, Name: f.Provider}), "API Key", defaultName
	case vault.OAuth2:
		arn, kind, vaultName = h.vault.ARN(vault.Provider{Kind: f.Kind, Name: f.Provider}), "OAuth2", defaultName
	default:
		arn = moorage.WorkloadIdentityARN(h.Region, h.account, f.Workload).String()
	}
	user := claimsOf(f)
	a := span.Attributes()
	for _, each := range [...]struct{ key, text string }{
		{"aws.operation.name", f.Operation}, {"aws.resource.arn", arn}, {"aws.request_id", requestID}, {"aws.account.id", h.account},
		{"aws.region", h.Region}, {"workload.identity.id", f.Workload}, {"workload.identity.directory", defaultName},
		{"credential.provider.name", f.Provider}, {"credential.provider.type", kind}, {"token.vault.name", vaultName},
		{"oauth2.flow", string(f.Flow)}, {"issuer", user.Issuer}, {"user_sub", user.Subject},
	} {
		if each.text != "" {
			a.PutStr(each.key, each.text)
		}
	}
	a.PutInt("latency_ms", f.Took.Milliseconds())
	if f.Err != nil {
		a.PutStr("error_type", string(calls.FaultOf(f.Err)))
		span.Status().SetCode(ptrace.StatusCodeError)
		span.Status().SetMessage(f.Err.Error())
	}
}

// user is of whom a token is.
type user struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// claimsOf reads the token of a fetch on behalf of its user: one that was verified.
func claimsOf(f agentcore.Fetch) (u user) {
	parts := strings.Split(f.UserToken, ".")
	if f.Err != nil || len(parts) != 3 {
		return user{}
	}
	doc, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(doc, &u) != nil {
		return user{}
	}
	return u
}

// tracedFetches says which trace calls for tokens and keys belong to.
func (h *house) tracedFetches(next http.Handler) http.Handler {
	traced := h.traced(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/identities/") {
			traced.ServeHTTP(w, r)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}
