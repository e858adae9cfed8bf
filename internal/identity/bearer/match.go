package bearer

import (
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
)

// match holds a token's claims against an authorizer: each field that is set has to match, by any of
// its values.
func match(a moorage.JWTAuthorizer, claims map[string]any) error {
	if len(a.Audience) > 0 && !anyOf(a.Audience, Texts(claims["aud"])) {
		return mismatch("aud")
	}
	if len(a.Clients) > 0 && !slices.Contains(a.Clients, text(claims["client_id"])) {
		return mismatch("client_id")
	}
	if len(a.Scopes) > 0 && !anyOf(a.Scopes, scopes(claims)) {
		return mismatch("scope")
	}
	for _, rule := range a.Claims {
		if !satisfies(rule, claims[rule.Name]) {
			return mismatch(rule.Name)
		}
	}
	return nil
}

// satisfies reports whether a claim is there, has the rule's type, and fits.
func satisfies(rule moorage.ClaimRule, claim any) bool {
	if !rule.List {
		said, ok := claim.(string)
		return ok && rule.Operator == "EQUALS" && slices.Contains(rule.Values, said)
	}
	list, ok := claim.([]any)
	return ok && (rule.Operator == "CONTAINS" || rule.Operator == "CONTAINS_ANY") && anyOf(rule.Values, Texts(list))
}

func anyOf(allowed, said []string) bool {
	return slices.ContainsFunc(said, func(s string) bool { return slices.Contains(allowed, s) })
}

// scopes are those of the claim scope, or of scp, which some providers write: a list, or words.
func scopes(claims map[string]any) []string {
	said, ok := claims["scope"]
	if !ok {
		said = claims["scp"]
	}
	if line, ok := said.(string); ok {
		return strings.Fields(line)
	}
	return Texts(said)
}

// Texts are the strings of a claim's value that is one or has several.
func Texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, each := range v {
			if s, ok := each.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}
