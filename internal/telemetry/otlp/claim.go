package otlp

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// sessionKeys are the attributes that name a session, the most explicit first.
var sessionKeys = []string{"session.id", "gen_ai.conversation.id", "session_id", "langfuse.session.id"}

// maxName bounds what becomes part of a key: names of sessions, runtimes and endpoints, in bytes.
const maxName = 256

// sessionOf returns the session that attributes name, or what else is known.
func sessionOf(attributes pcommon.Map, or string) string {
	for _, key := range sessionKeys {
		if v, ok := attributes.Get(key); ok && v.Type() == pcommon.ValueTypeStr && v.Str() != "" {
			return short(v.Str())
		}
	}
	return or
}

// claimOf reads what a resource says of its sender: the ARN …/runtime/ID/runtime-endpoint/NAME:NAME,
// or else the name of its service.
func claimOf(resource pcommon.Map) (claim telemetry.Source) {
	claim.Session = sessionOf(resource, "")
	if v, ok := resource.Get("cloud.resource_id"); ok {
		if _, rest, ok := strings.Cut(v.AsString(), ":runtime/"); ok {
			id, endpoint, _ := strings.Cut(rest, "/runtime-endpoint/")
			endpoint, _, _ = strings.Cut(endpoint, ":")
			claim.Runtime, claim.Endpoint = short(id), short(endpoint)
			return claim
		}
	}
	if v, ok := resource.Get("service.name"); ok {
		claim.Runtime = short(v.AsString())
	}
	return claim
}

// claimed is who attributes say that a log record is from.
func claimed(attributes pcommon.Map, claim telemetry.Source) telemetry.Source {
	claim.Session = sessionOf(attributes, claim.Session)
	return claim
}

func short(name string) string { return cut(name, maxName) }
