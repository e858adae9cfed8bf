package main

// service is one generated package.
type service struct {
	Package string   // folder beside gen; its last part is the package's name
	Model   string   // folder in botocore: service and API version
	Serve   []string // operations with types; of all others only the names
}

// services are the pinned lists of what is served. The order does not matter.
var services = []service{
	{
		Package: "agentcorecontrol",
		Model:   "bedrock-agentcore-control/2023-06-05",
		Serve: []string{
			"CreateAgentRuntime", "GetAgentRuntime", "UpdateAgentRuntime", "DeleteAgentRuntime",
			"ListAgentRuntimes", "ListAgentRuntimeVersions",
			"CreateAgentRuntimeEndpoint", "GetAgentRuntimeEndpoint", "UpdateAgentRuntimeEndpoint",
			"DeleteAgentRuntimeEndpoint", "ListAgentRuntimeEndpoints",
			"TagResource", "UntagResource", "ListTagsForResource",
			"PutResourcePolicy", "GetResourcePolicy", "DeleteResourcePolicy",
			"CreateWorkloadIdentity", "GetWorkloadIdentity", "UpdateWorkloadIdentity",
			"DeleteWorkloadIdentity", "ListWorkloadIdentities",
			"CreateApiKeyCredentialProvider", "GetApiKeyCredentialProvider", "UpdateApiKeyCredentialProvider",
			"DeleteApiKeyCredentialProvider", "ListApiKeyCredentialProviders",
			"CreateOauth2CredentialProvider", "GetOauth2CredentialProvider", "UpdateOauth2CredentialProvider",
			"DeleteOauth2CredentialProvider", "ListOauth2CredentialProviders",
			"GetTokenVault", "SetTokenVaultCMK",
		},
	},
	{
		Package: "bedrockagent",
		Model:   "bedrock-agent/2023-06-05",
		Serve: []string{
			"CreateKnowledgeBase", "GetKnowledgeBase", "UpdateKnowledgeBase", "DeleteKnowledgeBase", "ListKnowledgeBases",
			"CreateDataSource", "GetDataSource", "UpdateDataSource", "DeleteDataSource", "ListDataSources",
			"StartIngestionJob", "GetIngestionJob", "ListIngestionJobs",
		},
	},
	{
		Package: "bedrockagentruntime",
		Model:   "bedrock-agent-runtime/2023-07-26",
		Serve:   []string{"Retrieve", "RetrieveAndGenerate", "RetrieveAndGenerateStream"},
	},
	{
		Package: "bedrockruntime",
		Model:   "bedrock-runtime/2023-09-30",
		Serve:   []string{"Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream", "CountTokens"},
	},
	{Package: "sts", Model: "sts/2011-06-15", Serve: []string{"AssumeRole", "GetCallerIdentity"}},
	{
		Package: "logs",
		Model:   "logs/2014-03-28",
		Serve: []string{
			"FilterLogEvents", "GetLogEvents", "GetLogRecord", "PutLogEvents", "StartLiveTail",
			"DescribeLogGroups", "DescribeLogStreams", "CreateLogGroup", "CreateLogStream", "DeleteLogGroup", "DeleteLogStream",
			"PutRetentionPolicy", "DeleteRetentionPolicy",
			"StartQuery", "StopQuery", "GetQueryResults", "DescribeQueries",
			"PutResourcePolicy", "DescribeResourcePolicies",
			"PutDeliverySource", "GetDeliverySource", "DeleteDeliverySource",
			"PutDeliveryDestination", "GetDeliveryDestination", "DeleteDeliveryDestination",
			"CreateDelivery", "GetDelivery", "DeleteDelivery", "DescribeDeliveries",
		},
	},
	{
		Package: "cloudwatch", Model: "cloudwatch/2010-08-01",
		Serve: []string{"GetMetricData", "GetMetricStatistics", "ListMetrics", "PutMetricData"},
	},
	{Package: "applicationsignals", Model: "application-signals/2024-04-15", Serve: []string{"StartDiscovery"}},
	{
		Package: "xray", Model: "xray/2016-04-12",
		Serve: []string{
			"BatchGetTraces", "GetTraceSummaries", "GetTraceSegmentDestination", "UpdateTraceSegmentDestination", "GetIndexingRules", "UpdateIndexingRule",
		},
	},
	{
		Package: "iam",
		Model:   "iam/2010-05-08",
		Serve: []string{
			"CreateUser", "GetUser", "ListUsers", "DeleteUser",
			"CreateAccessKey", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey", "GetAccessKeyLastUsed",
			"PutUserPolicy", "GetUserPolicy", "DeleteUserPolicy", "ListUserPolicies",
			"CreateRole", "GetRole", "ListRoles", "DeleteRole", "UpdateAssumeRolePolicy",
			"PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy", "ListRolePolicies",
			"AttachUserPolicy", "DetachUserPolicy", "ListAttachedUserPolicies",
			"AttachRolePolicy", "DetachRolePolicy", "ListAttachedRolePolicies",
			"ListInstanceProfilesForRole", "ListGroupsForUser",
		},
	},
	{
		Package: "cognitoidp",
		Model:   "cognito-idp/2016-04-18",
		Serve: []string{
			"CreateUserPool", "DescribeUserPool", "DeleteUserPool", "ListUserPools",
			"CreateUserPoolClient", "DescribeUserPoolClient", "UpdateUserPoolClient", "ListUserPoolClients",
			"CreateUserPoolDomain", "DescribeUserPoolDomain", "DeleteUserPoolDomain",
			"CreateResourceServer",
			"AdminCreateUser", "AdminSetUserPassword", "AdminDeleteUser", "ListUsers", "InitiateAuth", "RespondToAuthChallenge",
		},
	},
	// Only tests serve it so far.
	{Package: "compat/ecr", Model: "ecr/2015-09-21", Serve: []string{"CreateRepository", "DescribeRepositories"}},
	{
		Package: "agentcore",
		Model:   "bedrock-agentcore/2024-02-28",
		Serve: []string{
			"InvokeAgentRuntime", "InvokeAgentRuntimeCommand", "StopRuntimeSession", "GetAgentCard",
			"GetWorkloadAccessToken", "GetWorkloadAccessTokenForJWT", "GetWorkloadAccessTokenForUserId",
			"CompleteResourceTokenAuth", "GetResourceApiKey", "GetResourceOauth2Token",
		},
	},
}

// relaxation is a place where Moorage departs from AWS's model on purpose.
type relaxation struct {
	Pattern   string // instead of the model's
	Max       int    // instead of the model's, where it is not 0
	Streaming bool   // a blob is handed on while it arrives
	Why       string // goes into the generated file
}

// relaxed holds all departures, by package and shape.
var relaxed = map[string]relaxation{
	"agentcorecontrol.RuntimeContainerUri": {
		Pattern: `\S+`,
		Why:     "AWS takes images from its own registries only; here any registry's reference will do",
	},
	"agentcore.Body": {
		Streaming: true,
		Why:       "a payload of 100 MB is handed to the agent, not held in memory",
	},
	"bedrockagent.OpenSearchManagedClusterIndexName": {
		Pattern: `[a-z][a-z0-9\-_]*`,
		Why:     "Go's regular expressions do not look ahead; such a store is refused anyway",
	},
	"bedrockagentruntime.RetrieveAndGenerateInputTextString": {
		Max: 20_000,
		Why: "AWS's own clients do not keep to 1,000 characters, and the other operation takes 20,000",
	},
	"bedrockagentruntime.S3Uri": {
		Pattern: `s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+`,
		Why:     "the same language beside the shape's own limit; Go's regular expressions repeat a thousand times at most",
	},
	"cognitoidp.S3BucketType": {
		Pattern: `[0-9A-Za-z\.\-_]*`,
		Why:     "the same language beside the shape's own limit; Go's regular expressions do not look ahead; such a bucket is refused anyway",
	},
	"agentcorecontrol.TaggableResourcesArn": {
		Pattern: `arn:(?:[^:]+)?:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:([a-z-]+/[^/]+)(?:/[a-z0-9-]+/[^/]+)*`,
		Why:     "the model's own leaves out oauth2credentialprovider, for its digit",
	},
	"agentcorecontrol.CertificateS3Uri": {
		Pattern: `s3://.{1,1000}.{0,1000}.{0,43}`,
		Why:     "the same language; Go's regular expressions repeat a thousand times at most",
	},
}
