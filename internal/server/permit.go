package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/agentcore"
	"github.com/moorage-dev/moorage/internal/aws/agentcorecontrol"
	"github.com/moorage-dev/moorage/internal/aws/cognitoidp"
	awsiam "github.com/moorage-dev/moorage/internal/aws/iam"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/identity"
	"github.com/moorage-dev/moorage/internal/identity/audit"
	"github.com/moorage-dev/moorage/internal/identity/bearer"
	"github.com/moorage-dev/moorage/internal/identity/iam"
	"github.com/moorage-dev/moorage/internal/identity/policy"
	"github.com/moorage-dev/moorage/internal/invoke"
)

// demand is one action that a request needs, on resources each of which has to be allowed.
type demand struct {
	action    string
	resources []string
	key       string // id of the access key that it is about, which no policy names
}

// permitted decides whether the caller that a request's context has may do what it asks for, and puts that on record. The error is
// what the caller sees: that it may not, not why.
func (h *house) permitted(r *http.Request) error {
	c := identity.CallerOf(r.Context())
	if c.Source == moorage.APIKey { // its scopes were looked at with the key
		return h.decided(r, c, demand{action: actionOf(r)}, iam.Decision{Allowed: true, Why: "the API key is made for this"})
	}
	body, err := peek(r)
	if err != nil {
		return err
	}
	values := h.valuesOf(r, body)
	for _, d := range h.demands(r, body) {
		if err := h.decide(r, c, d, values); err != nil {
			return err
		}
	}
	return h.trusted(r, body)
}

// decide decides on one demand, whose conditions are about values, and puts that on record.
func (h *house) decide(r *http.Request, c moorage.Caller, d demand, values func(string) []string) error {
	decision := iam.Decision{Allowed: true, Why: "an agent may call what the platform offers to every agent"}
	if !h.offered(r.Context(), c, d.action) {
		decision = h.people.Authorize(iam.Request{Caller: c, Action: d.action, Resources: d.resources, Values: values})
	}
	return h.decided(r, c, d, decision)
}

// offered reports whether an agent may do something without a policy: who asks out of a sandbox under a role that is not known
// here has what the platform offers to every agent; so has every role for its own identity.
func (h *house) offered(ctx context.Context, c moorage.Caller, action string) bool {
	if identity.WorkloadOf(ctx).Sandbox == "" || c.Source == moorage.JWT { // a user is not the agent that passes a call on
		return false
	}
	service, _, _ := strings.Cut(action, ":")
	return service == identity.AgentCore || !h.people.Knows(c)
}

// decided puts a decision on record and returns what the caller is told.
func (h *house) decided(r *http.Request, c moorage.Caller, d demand, decision iam.Decision) error {
	kind := audit.Decision
	if decision.Allowed && changes(r) {
		kind = audit.Change // on record before it is done
	}
	record := audit.Record{
		Kind: kind, Caller: callerName(c), Source: string(c.Source), Key: c.AccessKeyID, Action: d.action, Resources: d.resources,
		Refused: !decision.Allowed, Reason: decision.Why, Detail: behind(c),
	}
	if identity.IsAccessKeyID(d.key) { // what was typed there instead may be a secret
		if record.Detail == nil {
			record.Detail = map[string]string{}
		}
		record.Detail["accessKey"] = d.key
	}
	if err := h.note(r, record); err != nil {
		return err
	}
	if decision.Allowed {
		return nil
	}
	who := "The caller"
	if c.ARN != "" {
		who = "User: " + c.ARN
	}
	return moorage.Errorf(moorage.Denied, "%s is not authorized to perform: %s on resource: %s", who, d.action, strings.Join(d.resources, ", "))
}

// changes reports whether a request is to change something that is administered.
func changes(r *http.Request) bool {
	op := wire.OperationName(r.Context())
	if op == "" {
		return r.Method != http.MethodGet && r.Method != http.MethodHead && strings.HasPrefix(r.URL.Path, "/v1/") && !isTelemetry(r.URL.Path) && !isChat(r.URL.Path)
	}
	for _, verb := range []string{"Create", "Update", "Delete", "Put", "Attach", "Detach", "Set", "Tag", "Untag", "Admin"} {
		if strings.HasPrefix(op, verb) && !strings.HasPrefix(op, "PutLog") {
			return true
		}
	}
	return false
}

// isTelemetry reports whether a path under /v1 takes what agents report, which is no change of anything.
func isTelemetry(path string) bool {
	return path == "/v1/traces" || path == "/v1/logs" || path == "/v1/metrics" || path == "/v1/audit/verify" || strings.HasPrefix(path, "/v1/policy/")
}

// maxPeek is how long the body of a request that policies ask about may be, in bytes; it is no less than what the
// operations take.
const maxPeek = 8 << 20

// peek reads the members of the JSON body of an operation that policies ask about, as the operation itself will: of a name that is there
// twice the last counts. Payloads for agents are not touched.
func peek(r *http.Request) (members map[string]any, err error) {
	call := wire.CallOf(r.Context())
	asked := call.Service == identity.AgentCore && call.Label("agentRuntimeArn") == "" || call.Service == "logs" || call.Service == "cognito-idp" || call.Service == identity.IAM || call.Service == "sts"
	if !asked || r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	form := call.Service == identity.IAM || call.Service == "sts"
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxPeek+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxPeek {
		return nil, moorage.Errorf(moorage.Invalid, "the request body is larger than the %d bytes that are allowed", maxPeek)
	}
	r.Body = again{bytes.NewReader(raw), r.Body}
	if form {
		return peekForm(raw)
	}
	json.Unmarshal(raw, &members) // what is no JSON has no members; the operation says so
	return members, nil
}

// peekForm reads the members of a form, each of which may be there once: else two readers could take two of them for the one.
func peekForm(raw []byte) (map[string]any, error) {
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "the body is no form")
	}
	members := map[string]any{}
	for name, values := range form {
		if len(values) > 1 {
			return nil, moorage.Errorf(moorage.Invalid, "%s stands in the request twice", name)
		}
		members[name] = values[0]
	}
	return members, nil
}

type again struct {
	io.Reader
	io.Closer
}

func text(members map[string]any, name string) string {
	s, _ := members[name].(string)
	return s
}

// actionOf is the action of a request whose operation is known.
func actionOf(r *http.Request) string {
	call := wire.CallOf(r.Context())
	service := call.Service
	if service == "monitoring" { // signs as what it was once called
		service = "cloudwatch"
	}
	return service + ":" + call.Operation
}

// demands are the actions that a request needs.
func (h *house) demands(r *http.Request, body map[string]any) []demand {
	call := wire.CallOf(r.Context())
	switch {
	case call.Operation == "" && strings.HasPrefix(r.URL.Path, "/v1/"):
		return []demand{h.ownDemand(r)}
	case call.Operation == "" && signedFor(r) == identity.S3:
		return []demand{objectDemand(r)}
	case call.Operation == "":
		return []demand{{action: "moorage:" + r.Method}}
	case call.Service == identity.AgentCore && call.Label("agentRuntimeArn") != "":
		return h.callDemands(r, call)
	case call.Service == identity.AgentCore:
		return h.manageDemands(call, body)
	case call.Service == "sts": // decided with the role's trust, or open to all
		return nil
	case call.Service == identity.IAM:
		return []demand{{action: actionOf(r), resources: h.principalARNs(r, body), key: text(body, "AccessKeyId")}}
	case call.Service == bedrockName && call.Label("modelId") != "":
		return []demand{{action: modelAction(call.Operation), resources: h.modelARNs(call.Label("modelId"))}}
	case call.Service == bedrockName && call.Label("knowledgeBaseId") != "":
		return []demand{{action: actionOf(r), resources: []string{h.baseARN(call.Label("knowledgeBaseId"))}}}
	case call.Service == "logs" && text(body, "logGroupName") != "":
		return []demand{{action: actionOf(r), resources: []string{"arn:aws:logs:" + h.Region + ":" + h.account + ":log-group:" + text(body, "logGroupName") + ":*"}}}
	case call.Service == "cognito-idp" && text(body, "UserPoolId") != "":
		return []demand{{action: actionOf(r), resources: []string{h.poolARN(text(body, "UserPoolId"))}}}
	}
	return []demand{{action: actionOf(r)}}
}

// principalARNs are the users and roles that an operation of IAM is about: the caller, where it names none.
func (h *house) principalARNs(r *http.Request, members map[string]any) []string {
	named := func(kind, name string) []string {
		if v, err := h.people.Get(kind, name); err == nil {
			return []string{v.ARN}
		}
		path := text(members, "Path")
		if path == "" {
			path = "/"
		}
		return []string{"arn:aws:iam::" + h.account + ":" + kind + path + name}
	}
	switch {
	case text(members, "RoleName") != "":
		return named(iam.Role, text(members, "RoleName"))
	case text(members, "UserName") != "":
		return named(iam.User, text(members, "UserName"))
	case strings.HasSuffix(wire.OperationName(r.Context()), "User") || strings.HasSuffix(wire.OperationName(r.Context()), "AccessKey") || strings.HasSuffix(wire.OperationName(r.Context()), "AccessKeys"):
		return []string{identity.CallerOf(r.Context()).ARN}
	}
	return nil
}

func (h *house) poolARN(id string) string {
	return "arn:aws:cognito-idp:" + h.Region + ":" + h.account + ":userpool/" + id
}

func (h *house) modelARNs(id string) []string {
	return []string{"arn:aws:bedrock:" + h.Region + "::foundation-model/" + id}
}

// modelAction is the action of a call to a model. Source: Bedrock API, Converse.
func modelAction(operation string) string {
	if strings.HasSuffix(operation, "Stream") {
		return "bedrock:InvokeModelWithResponseStream"
	}
	return "bedrock:InvokeModel"
}

// callDemands are those of a call to an agent: on the runtime and on the endpoint, and for a user that the caller names
// an action more. Source: AgentCore developer guide, "Resource-based policies"; the service asks ForUser of invocations only.
func (h *house) callDemands(r *http.Request, call wire.Call) []demand {
	runtime, endpoint := h.invoke.Names(addressed(r))
	on := []string{runtime, endpoint}
	out := []demand{{action: call.Service + ":" + call.Operation, resources: on}}
	if r.Header.Get(invoke.HeaderUser) == "" {
		return out
	}
	forUser := "InvokeAgentRuntimeForUser"
	if call.Operation == "InvokeAgentRuntimeWithWebSocketStream" {
		forUser = call.Operation + "ForUser"
	}
	return append(out, demand{action: call.Service + ":" + forUser, resources: on})
}

// manageDemands are those of the control plane and the identity service.
func (h *house) manageDemands(call wire.Call, body map[string]any) []demand {
	out := []demand{{action: call.Service + ":" + call.Operation, resources: h.managed(call, body)}}
	if role := text(body, "roleArn"); role != "" && strings.HasSuffix(call.Operation, "AgentRuntime") {
		out = append(out, demand{action: "iam:PassRole", resources: []string{role}})
	}
	return out
}

// managed are the resources that an operation is about. What does not exist yet is named by what its ARN will begin with.
func (h *house) managed(call wire.Call, body map[string]any) []string {
	own := "arn:aws:" + identity.AgentCore + ":" + h.Region + ":" + h.account + ":"
	runtime, endpoint := call.Label("agentRuntimeId"), call.Label("endpointName")
	switch op := call.Operation; {
	case op == "CreateAgentRuntime":
		return []string{own + "runtime/" + text(body, "agentRuntimeName") + "-*"}
	case op == "CreateAgentRuntimeEndpoint":
		return []string{own + "runtime/" + runtime, own + "runtime/" + runtime + "/runtime-endpoint/" + text(body, "name")}
	case runtime != "" && endpoint != "":
		return []string{own + "runtime/" + runtime + "/runtime-endpoint/" + endpoint}
	case runtime != "":
		return []string{own + "runtime/" + runtime}
	case call.Label("resourceArn") != "":
		return []string{call.Label("resourceArn")}
	case strings.HasPrefix(op, "GetWorkloadAccessToken"):
		return []string{own + "workload-identity-directory/default", own + "workload-identity-directory/default/workload-identity/" + text(body, "workloadName")}
	case strings.HasSuffix(op, "WorkloadIdentity"):
		return []string{own + "workload-identity-directory/default/workload-identity/" + text(body, "name")}
	case strings.HasSuffix(op, "ApiKeyCredentialProvider"):
		return []string{own + "token-vault/default/apikeycredentialprovider/" + text(body, "name")}
	case strings.HasSuffix(op, "Oauth2CredentialProvider"):
		return []string{own + "token-vault/default/oauth2credentialprovider/" + text(body, "name")}
	case op == "GetResourceApiKey":
		return []string{own + "token-vault/default", own + "token-vault/default/apikeycredentialprovider/" + text(body, "resourceCredentialProviderName")}
	case op == "GetResourceOauth2Token":
		return []string{own + "token-vault/default", own + "token-vault/default/oauth2credentialprovider/" + text(body, "resourceCredentialProviderName")}
	case strings.HasSuffix(op, "TokenVault") || op == "SetTokenVaultCMK":
		return []string{own + "token-vault/default"}
	}
	return nil
}

// ownDemand is that of our own API: GET /v1/sessions is moorage:ListSessions, GET /v1/sessions/ID/logs moorage:GetSessionLogs,
// POST /v1/sessions/ID/stop moorage:StopSession.
func (h *house) ownDemand(r *http.Request) demand {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/v1/"), "/"), "/")
	noun := capital(parts[0])
	d := demand{}
	switch {
	case parts[0] == "principals": // which has all that this action of IAM's answers with
		return demand{action: "iam:GetAccountAuthorizationDetails"}
	case parts[0] == "users" && len(parts) > 2:
		return h.accessKeyDemand(r.Method, parts)
	case parts[0] == "keys":
		d.action = "moorage:ListRuntimeKeys"
	case len(parts) > 2 && parts[0] == "runtimes" && parts[2] == "keys":
		d.action = "moorage:" + map[string]string{"GET": "List", "POST": "Create", "DELETE": "Delete"}[r.Method] + "RuntimeKeys"
	case len(parts) == 1 && (parts[0] == "info" || parts[0] == "vault"):
		d.action = "moorage:Get" + noun
	case len(parts) == 1 && r.Method == http.MethodGet:
		d.action = "moorage:List" + noun
	case r.Method == http.MethodDelete && len(parts) == 1:
		d.action = "moorage:Delete" + noun
	case len(parts) == 1:
		d.action = "moorage:Put" + noun
	case len(parts) == 2 && r.Method == http.MethodPost:
		d.action = "moorage:" + capital(parts[1]) + noun
	case r.Method == http.MethodPost:
		d.action = "moorage:" + capital(parts[len(parts)-1]) + strings.TrimSuffix(noun, "s")
	case r.Method == http.MethodDelete:
		d.action = "moorage:Delete" + strings.TrimSuffix(noun, "s")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		d.action = "moorage:Put" + strings.TrimSuffix(noun, "s")
	default:
		d.action = "moorage:Get" + strings.TrimSuffix(noun, "s")
		for i := 2; i < len(parts); i += 2 {
			d.action += capital(parts[i])
		}
	}
	id := r.URL.Query().Get("runtime")
	if parts[0] == "runtimes" && len(parts) > 1 {
		id = parts[1]
	}
	if id != "" {
		d.resources = []string{moorage.RuntimeARN(h.Region, h.account, id).String()}
	}
	return d
}

// accessKeyDemand is that of /v1/users/NAME/access-keys/…: IAM's own actions, on the user.
func (h *house) accessKeyDemand(method string, parts []string) demand {
	d := demand{action: "iam:UpdateAccessKey", resources: []string{"arn:aws:iam::" + h.account + ":user/" + parts[1]}}
	if len(parts) > 3 {
		d.key = parts[3]
	}
	switch {
	case method == http.MethodDelete:
		d.action = "iam:DeleteAccessKey"
	case len(parts) == 3:
		d.action = "iam:CreateAccessKey"
	}
	if user, err := h.people.Get(iam.User, parts[1]); err == nil {
		d.resources[0] = user.ARN // which has its path
	}
	return d
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.ReplaceAll(s[1:], "-", "")
}

// objectDemand is that of the S3 face. Source: Amazon S3 API reference, "Required permissions".
func objectDemand(r *http.Request) demand {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	kind := "Object"
	if key == "" {
		kind = "Bucket"
	}
	on := []string{"arn:aws:s3:::" + strings.TrimSuffix(bucket+"/"+key, "/")}
	switch {
	case bucket == "":
		return demand{action: "s3:ListAllMyBuckets"}
	case r.Method == http.MethodPut && kind == "Bucket":
		return demand{action: "s3:CreateBucket", resources: on}
	case r.Method == http.MethodPut || r.Method == http.MethodPost && kind == "Object":
		return demand{action: "s3:PutObject", resources: on}
	case r.Method == http.MethodDelete || r.Method == http.MethodPost:
		return demand{action: "s3:Delete" + kind, resources: on}
	case kind == "Bucket":
		return demand{action: "s3:ListBucket", resources: on}
	}
	return demand{action: "s3:GetObject", resources: on}
}

// valuesOf are the condition keys that a request answers. Keys that a caller's own words decide are those that AWS has it
// decide, too: it names itself no more rights by them than a policy gives to whoever says so.
func (h *house) valuesOf(r *http.Request, body map[string]any) func(string) []string {
	return func(key string) []string {
		switch key {
		case "aws:sourceip":
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return some(host)
		case "aws:securetransport":
			return []string{fmt.Sprint(r.TLS != nil)}
		case "aws:useragent":
			return some(r.UserAgent())
		case "aws:referer":
			return some(r.Referer())
		case "bedrock-agentcore:userid":
			return some(firstText(r.Header.Get(invoke.HeaderUser), text(body, "userId"), text(member(body, "userIdentifier"), "userId")))
		case "bedrock-agentcore:runtimesessionid":
			return some(r.Header.Get(invoke.HeaderSession))
		case "bedrock-agentcore:runtimeauthorizertype":
			return authorizerType(wire.OperationName(r.Context()), body)
		case "bedrock-agentcore:kmskeyarn":
			return some(text(member(body, "kmsConfiguration"), "kmsKeyArn"))
		case "bedrock-agentcore:subnets", "bedrock-agentcore:securitygroups":
			vpc := member(member(body, "networkConfiguration"), "networkModeConfig")
			return bearer.Texts(vpc[map[string]string{"bedrock-agentcore:subnets": "subnets", "bedrock-agentcore:securitygroups": "securityGroups"}[key]])
		case "sts:externalid":
			return some(text(body, "ExternalId"))
		case "sts:rolesessionname":
			return some(text(body, "RoleSessionName"))
		case "iam:passedtoservice":
			return []string{serviceName}
		case "aws:tagkeys":
			tags, _ := body["tags"].(map[string]any)
			var keys []string
			for k := range tags {
				keys = append(keys, k)
			}
			return keys
		}
		if name, ok := strings.CutPrefix(key, "aws:requesttag/"); ok {
			return requestTag(body, name)
		}
		if name, ok := strings.CutPrefix(key, "aws:resourcetag/"); ok {
			return h.resourceTag(r, name)
		}
		if claim, ok := strings.CutPrefix(key, "bedrock-agentcore:inboundjwtclaim/"); ok {
			return claimed(firstText(text(body, "userToken"), text(member(body, "userIdentifier"), "userToken")), claim)
		}
		return nil
	}
}

// member is a structure in a request's body; nil where it is none.
func member(body map[string]any, name string) map[string]any {
	inner, _ := body[name].(map[string]any)
	return inner
}

// serviceName is AgentCore as a principal.
const serviceName = "bedrock-agentcore.amazonaws.com"

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func firstText(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

func authorizerType(operation string, body map[string]any) []string {
	if operation != "CreateAgentRuntime" && operation != "UpdateAgentRuntime" {
		return nil
	}
	if body["authorizerConfiguration"] != nil {
		return []string{"CUSTOM_JWT"}
	}
	return []string{"AWS_IAM"}
}

// requestTag is a tag that a request sets; names are the same in any case.
func requestTag(body map[string]any, name string) []string {
	tags, _ := body["tags"].(map[string]any)
	for k, v := range tags {
		if s, ok := v.(string); ok && strings.EqualFold(k, name) {
			return []string{s}
		}
	}
	return nil
}

// resourceTag is a tag of the runtime that a request is about.
func (h *house) resourceTag(r *http.Request, name string) []string {
	call := wire.CallOf(r.Context())
	arn := call.Label("resourceArn")
	if id := call.Label("agentRuntimeId"); id != "" {
		arn = moorage.RuntimeARN(h.Region, h.account, id).String()
	} else if call.Label("agentRuntimeArn") != "" {
		arn, _ = h.invoke.Names(addressed(r))
	}
	tags, err := h.control.Tags(r.Context(), arn)
	if err != nil {
		return nil
	}
	for k, v := range tags {
		if strings.EqualFold(k, name) {
			return []string{v}
		}
	}
	return nil
}

// claimed is a claim of a token that a request brings. It only narrows: the operation verifies the token itself.
func claimed(token, claim string) []string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return nil
	}
	switch v := claims[claim].(type) {
	case string:
		if claim == "scope" {
			return strings.Fields(v)
		}
		return []string{v}
	case []any:
		var out []string
		for _, each := range v {
			if s, ok := each.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// trusted refuses a role that does not let this service assume it, for this account.
func (h *house) trusted(r *http.Request, body map[string]any) error {
	role := text(body, "roleArn")
	if role == "" || !strings.HasSuffix(wire.OperationName(r.Context()), "AgentRuntime") {
		return nil
	}
	name := firstText(text(body, "agentRuntimeName"), wire.CallOf(r.Context()).Label("agentRuntimeId"))
	ok := h.people.Trusts(role, serviceName, func(key string) []string {
		switch key {
		case "aws:sourceaccount":
			return []string{h.account}
		case "aws:sourcearn":
			return []string{moorage.RuntimeARN(h.Region, h.account, name).String()}
		}
		return nil
	})
	if ok {
		return nil
	}
	message := fmt.Sprintf("Role validation failed for '%s'. Please verify that the role exists in account %s and its trust policy allows assumption by this service", role, h.account)
	return &moorage.Error{Code: moorage.Invalid, Message: message, Fields: []moorage.Field{{Name: "roleArn", Message: message}}}
}

// known is what the linter of policies compares with: the operations and resources that there are.
func (h *house) known() policy.Known {
	k := policy.Known{Actions: []string{
		"iam:PassRole", "sts:AssumeRole", "sts:GetCallerIdentity", "bedrock-agentcore:InvokeAgentRuntimeForUser", "bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStream",
		"bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStreamForUser", "bedrock-agentcore:InvokeAgentRuntimeCommandShell", "bedrock-agentcore:" + resourceMetadata,
	}}
	for _, m := range []*wire.Model{agentcorecontrol.Model, agentcore.Model, awsiam.Model, cognitoidp.Model} {
		for _, op := range m.Operations {
			k.Actions = append(k.Actions, m.SigningName+":"+op.Name)
		}
	}
	own := "arn:aws:bedrock-agentcore:{region}:{account}:"
	for _, shape := range []string{
		"runtime/{id}", "runtime/{id}/runtime-endpoint/{name}", "workload-identity-directory/{id}", "workload-identity-directory/{id}/workload-identity/{name}",
		"token-vault/{id}", "token-vault/{id}/apikeycredentialprovider/{name}", "token-vault/{id}/oauth2credentialprovider/{name}",
	} {
		k.Shapes = append(k.Shapes, own+shape)
	}
	k.Shapes = append(k.Shapes, "arn:aws:iam::{account}:user/{rest}", "arn:aws:iam::{account}:role/{rest}", "arn:aws:s3:::{rest}", "arn:aws:logs:{region}:{account}:log-group:{rest}",
		"arn:aws:cognito-idp:{region}:{account}:userpool/{id}", "arn:aws:bedrock:{region}::foundation-model/{rest}", "arn:aws:bedrock:{region}:{account}:knowledge-base/{id}")
	return k
}
