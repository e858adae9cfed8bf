package iam

// administrator is the policy of the first user.
const administrator = "arn:aws:iam::aws:policy/AdministratorAccess"

// builtIn are the policies that can be attached by name. Those with AWS's names say what matters here of what they say at AWS.
var builtIn = map[string]string{
	administrator: `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
	"arn:aws:iam::aws:policy/ReadOnlyAccess": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*",
		"Action":["bedrock-agentcore:Get*","bedrock-agentcore:List*","moorage:GetInfo","moorage:GetVault","moorage:GetRuntime*","moorage:GetSession*","moorage:GetTrace*","moorage:ListRuntimes","moorage:ListSessions","moorage:ListPolicies","moorage:ListProviders","moorage:ListWorkloads","moorage:ListRuntimeKeys","moorage:ListTraces","moorage:ListLogs","moorage:ListMetrics","moorage:ListTelemetry","moorage:GetTelemetry*","moorage:GetMetric*","moorage:ListTail","iam:Get*","iam:List*","s3:Get*","s3:List*","s3:Head*","cognito-idp:Describe*","cognito-idp:List*","logs:Describe*","logs:Get*","logs:FilterLogEvents","logs:StartQuery","logs:StartLiveTail"]}}`,
	"arn:aws:iam::aws:policy/BedrockAgentCoreFullAccess": `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Resource":"*","Action":["bedrock-agentcore:*","moorage:GetInfo","moorage:GetVault","moorage:*Runtime*","moorage:*Session*","moorage:*Trace*","moorage:*Log*","moorage:*Metric*","moorage:*Telemetry*","moorage:ListTail","moorage:PushImage","moorage:PullImage","s3:*","xray:*","logs:*"]},
		{"Effect":"Allow","Resource":"arn:aws:iam::*:role/*","Action":"iam:PassRole","Condition":{"StringEquals":{"iam:PassedToService":"bedrock-agentcore.amazonaws.com"}}}]}`,
	"arn:aws:iam::aws:policy/MoorageInvokeAgents": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*",
		"Action":["bedrock-agentcore:InvokeAgentRuntime","bedrock-agentcore:InvokeAgentRuntimeWithWebSocketStream","bedrock-agentcore:StopRuntimeSession","bedrock-agentcore:GetAgentCard"]}}`,
	"arn:aws:iam::aws:policy/MoorageInvokeAgentsForUsers": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*",
		"Action":["bedrock-agentcore:InvokeAgentRuntime*","bedrock-agentcore:StopRuntimeSession","bedrock-agentcore:GetAgentCard"]}}`,
	"arn:aws:iam::aws:policy/MoorageAuditor": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*",
		"Action":["moorage:ListAudit","moorage:VerifyAudit","moorage:ListPolicies","moorage:ListProviders","moorage:ListWorkloads","moorage:ListRuntimeKeys","moorage:GetPolicy","moorage:SimulatePolicy","moorage:LintPolicy","moorage:GetInfo","iam:Get*","iam:List*"]}}`,
}

// BuiltIn is the document of a policy that can be attached, by its ARN; "" for none.
func BuiltIn(arn string) string { return builtIn[arn] }

// BuiltIns are the ARNs of the policies that can be attached.
func BuiltIns() []string { return sorted(builtIn) }
