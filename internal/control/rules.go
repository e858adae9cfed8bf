package control

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
)

// invalid makes the error for one member of a request.
func invalid(member, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	return &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: member, Message: message}}}
}

// check holds a configuration against the rules that the service model cannot express.
// Source: AgentCore developer guide and observed answers, listed in the contract.
func (s *Service) check(c moorage.Config) error {
	for _, rule := range []func(moorage.Config) error{s.checkRole, checkProtocol, checkLifecycle, s.checkAuthorizer, checkHeaders, checkEnvironment, checkStorage} {
		if err := rule(c); err != nil {
			return err
		}
	}
	return nil
}

var roleARN = regexp.MustCompile(`^arn:aws(?:-[^:]+)?:iam::([0-9]{12})?:role/.+$`)

// checkRole accepts any well-formed role of our account. Toolkits look for these very words.
func (s *Service) checkRole(c moorage.Config) error {
	m := roleARN.FindStringSubmatch(c.RoleARN)
	if m == nil || m[1] != s.Account {
		return invalid("roleArn", "Role validation failed for '%s'. Please verify that the role exists in account %s and its trust policy allows assumption by this service", c.RoleARN, s.Account)
	}
	return nil
}

func checkProtocol(c moorage.Config) error {
	if p := c.Protocol.Port; p != 0 && (p < 8000 || p > 12000 || p == 8443) {
		return invalid("protocolConfiguration.port", "the port must be between 8000 and 12000 and not 8443; %d is not", p)
	}
	if p := c.Protocol.Path; p != "" && !strings.HasPrefix(p, "/") {
		return invalid("protocolConfiguration.path", "the path must begin with '/'; %q does not", p)
	} else if _, err := url.ParseRequestURI(p); p != "" && err != nil {
		return invalid("protocolConfiguration.path", "%q is not a path of a URL", p)
	}
	return nil
}

// checkStorage keeps a mount inside /mnt: the contract's pattern lets "." and ".." pass as names.
func checkStorage(c moorage.Config) error {
	if name := path.Base(c.Storage); name == "." && c.Storage != "" || name == ".." {
		return invalid("filesystemConfigurations.1.sessionStorage.mountPath", "%q is no directory of its own below /mnt", c.Storage)
	}
	return nil
}

// Bounds of a lifecycle. Source: AgentCore developer guide, lifecycle settings.
const (
	minLifecycle = time.Minute
	maxLifecycle = 8 * time.Hour
)

func checkLifecycle(c moorage.Config) error {
	for member, d := range map[string]time.Duration{
		"lifecycleConfiguration.idleRuntimeSessionTimeout": c.Lifecycle.Idle,
		"lifecycleConfiguration.maxLifetime":               c.Lifecycle.Max,
	} {
		if d < minLifecycle || d > maxLifecycle {
			return invalid(member, "must be between %d and %d seconds", int(minLifecycle.Seconds()), int(maxLifecycle.Seconds()))
		}
	}
	if c.Lifecycle.Idle > c.Lifecycle.Max {
		return invalid("lifecycleConfiguration", "idleRuntimeSessionTimeout must be less than or equal to maxLifetime")
	}
	return nil
}

const jwtMember = "authorizerConfiguration.customJWTAuthorizer"

// checkAuthorizer wants a rule to match, and the rules to make sense. Source: AgentCore API,
// CustomJWTAuthorizerConfiguration and CustomClaimValidationType.
func (s *Service) checkAuthorizer(c moorage.Config) error {
	a := c.Authorizer
	if a == nil {
		return nil
	}
	if len(a.Audience)+len(a.Clients)+len(a.Scopes)+len(a.Claims) == 0 {
		return invalid(jwtMember, "at least one of allowedAudience, allowedClients, allowedScopes and customClaims must be set: any token of the provider would do otherwise")
	}
	for i, rule := range a.Claims {
		if err := checkClaim(fmt.Sprintf("%s.customClaims.%d", jwtMember, i+1), rule); err != nil {
			return err
		}
	}
	if err := cmp.Or(s.Tokens, &bearer.Verifier{}).Check(jwtMember, *a); err != nil {
		return err
	}
	return s.checkWorkloads(a.Workloads)
}

// checkWorkloads wants workloads that a call can have come through: there is no gateway here, and no runtime of another account.
func (s *Service) checkWorkloads(rule *moorage.WorkloadRule) error {
	const member = jwtMember + ".allowedWorkloadConfiguration"
	if rule == nil {
		return nil
	}
	if len(rule.Hosts)+len(rule.Names) == 0 {
		return invalid(member, "name at least one of hostingEnvironments and workloadIdentities: nobody could call otherwise")
	}
	for i, text := range rule.Hosts {
		arn, err := moorage.ParseARN(text)
		if err == nil {
			id, _, bad := arn.RuntimeID()
			if bad == nil && text == moorage.RuntimeARN(s.Region, s.Account, id).String() {
				continue
			}
		}
		return invalid(fmt.Sprintf("%s.hostingEnvironments.%d.arn", member, i+1), "%q is not the ARN of an agent runtime of this account: there are no gateways here; name the workload identity of one of your own in workloadIdentities", text)
	}
	return nil
}

func checkClaim(member string, rule moorage.ClaimRule) error {
	switch {
	case rule.Name == "client_id": // as the cloud service has it
		return invalid(member, "the claim client_id is reserved: allowedClients is what holds it against")
	case !rule.List && rule.Operator != "EQUALS":
		return invalid(member, "a claim of the type STRING is compared with EQUALS, not with %s", rule.Operator)
	case rule.List && rule.Operator == "EQUALS":
		return invalid(member, "a claim of the type STRING_ARRAY is compared with CONTAINS or CONTAINS_ANY")
	case len(rule.Values) == 0:
		return invalid(member, "there is nothing to compare the claim with")
	case rule.Operator != "CONTAINS_ANY" && len(rule.Values) > 1:
		return invalid(member, "%s takes one value: matchValueString", rule.Operator)
	}
	return nil
}

// customPrefix marks the platform's headers that an owner may pass to the agent.
const customPrefix = "x-amzn-bedrock-agentcore-runtime-custom-"

func checkHeaders(c moorage.Config) error {
	seen := map[string]bool{}
	for i, h := range c.Headers {
		member := fmt.Sprintf("requestHeaderConfiguration.requestHeaderAllowlist.%d", i+1)
		name := strings.ToLower(h)
		if seen[name] {
			return invalid(member, "the header %s is listed twice", h)
		}
		seen[name] = true
		if name == "authorization" {
			if c.Authorizer != nil {
				continue
			}
			return invalid(member, "the Authorization header can be passed on only with a customJWTAuthorizer")
		}
		if restricted(name) {
			return invalid(member, "the header %s is restricted and cannot be passed to the agent", h)
		}
	}
	return nil
}

// forged are the platform's own headers beside those with its prefixes: who could send them would pose
// as the platform to the agent.
var forged = set("workloadaccesstoken", "oauth2callbackurl")

// restricted reports whether a header, in lower case, belongs to the transport or the platform.
func restricted(name string) bool {
	if strings.HasPrefix(name, customPrefix) {
		return false
	}
	for _, prefix := range []string{"x-amz-", "x-amzn-", "sec-", "proxy-", "access-control-", "x-forwarded-", "cf-", "cloudfront-", ":"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return forged[name] || restrictedHeaders[name]
}

// maxEnvironment is the limit on all names and values together, in bytes.
const maxEnvironment = 4096

func checkEnvironment(c moorage.Config) error {
	total := 0
	for k, v := range c.Environment {
		total += len(k) + len(v)
		if strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return invalid("environmentVariables", "the variable %q holds a character that the environment cannot", k)
		}
	}
	if total > maxEnvironment {
		return invalid("environmentVariables", "names and values have %d bytes together; the limit is %d", total, maxEnvironment)
	}
	return nil
}

// restrictedHeaders are those that the allow-list may not name beside the prefixes in restricted.
// Source: AgentCore developer guide, "Pass custom headers to Amazon Bedrock AgentCore Runtime".
var restrictedHeaders = set(
	"accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges", "age", "allow", "alt-svc", "cache-control",
	"clear-site-data", "connection", "content-encoding", "content-language", "content-length", "content-location", "content-range",
	"content-security-policy", "content-type", "cookie", "cross-origin-embedder-policy", "cross-origin-opener-policy",
	"cross-origin-resource-policy", "date", "device-memory", "dnt", "downlink", "dpr", "early-data", "ect", "etag", "expect", "expires",
	"forwarded", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "keep-alive",
	"last-modified", "link", "location", "max-forwards", "origin", "permissions-policy", "pragma", "range", "referer", "referrer-policy",
	"refresh", "retry-after", "rtt", "save-data", "server", "server-timing", "set-cookie", "strict-transport-security", "te", "trailer",
	"transfer-encoding", "true-client-ip", "upgrade", "upgrade-insecure-requests", "user-agent", "vary", "via", "viewport-width",
	"warning", "width", "www-authenticate", "x-content-type-options", "x-csrf-token", "x-frame-options", "x-real-ip", "x-requested-with",
	"x-xss-protection",
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}
