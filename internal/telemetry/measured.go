package telemetry

// Series that the platform measures itself, beside those that spans give. Values are sums over all
// sessions of an endpoint; SessionsActive is a gauge, observed every Sampled seconds.
const (
	SessionsStarted  = "moorage.sessions.started"  // new sessions
	SessionsActive   = "moorage.sessions.active"   // that live, awake or asleep
	SocketsOpen      = "moorage.sockets.open"      // WebSocket connections that were opened
	SocketBytesIn    = "moorage.sockets.bytes_in"  // payload of frames from callers
	SocketBytesOut   = "moorage.sockets.bytes_out" // payload of frames to callers
	ProcessorHours   = "moorage.usage.vcpu_hours"  // that sandboxes used
	MemoryHours      = "moorage.usage.gb_hours"    // that sandboxes held
	NamespaceLabel   = "aws.cloudwatch.namespace"  // label of series that came as CloudWatch metrics
	AgentNamespace   = "bedrock-agentcore"         // of what agents measure, as OTLP
	RuntimeNamespace = "AWS/Bedrock-AgentCore"     // of what the platform measures of runtimes
)
