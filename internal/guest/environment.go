package guest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage/internal/sandbox/door"
)

// Environment points an agent's libraries at what is offered here: AWS's clients at the role's
// credentials and at the services that we are, OpenAI's at our models, OpenTelemetry at our collector. It is one for all
// sessions of a runtime. What the owner or the image sets, in set, is never set otherwise; and a
// variable is left out where it would make a mixture of theirs and ours.
func Environment(runtimeName string, set map[string]string) map[string]string {
	env := map[string]string{}
	if !bringsCredentials(set) {
		maps.Copy(env, awsEnvironment())
		if bringsEndpoint(set) {
			maps.DeleteFunc(env, func(name, _ string) bool { return slices.Contains(endpoints, name) })
		}
	}
	if !strings.EqualFold(set["DISABLE_ADOT_OBSERVABILITY"], "true") {
		maps.Copy(env, telemetryEnvironment)
		env["OTEL_RESOURCE_ATTRIBUTES"] = "service.name=" + runtimeName + ",aws.service.type=gen_ai_agent"
		if !bringsCollector(set) {
			maps.Copy(env, exporterEnvironment)
		}
	}
	if set["OPENAI_API_KEY"] == "" && set["OPENAI_BASE_URL"] == "" {
		maps.Copy(env, openAIEnvironment)
	}
	for name := range set {
		delete(env, name)
	}
	return env
}

// endpoints are those of each service that we serve inside, and of no others: theirs are AWS's own.
var endpoints = []string{
	"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", "AWS_ENDPOINT_URL_BEDROCK_AGENT",
	"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "AWS_ENDPOINT_URL_CLOUDWATCH",
}

// awsEnvironment points at our services. The address of the credentials is a path, for the one address
// that all of AWS's clients accept.
func awsEnvironment() map[string]string {
	env := map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": credentialsPath}
	for _, name := range endpoints {
		env[name] = fmt.Sprintf("http://%s:%d", door.Addr, door.AWS)
	}
	return env
}

// openAIEnvironment points clients of OpenAI's form at the same models. Their library wants some key; who asks is known without.
// Both are left out where the owner has one of them: a key of theirs is for another server than ours.
var openAIEnvironment = map[string]string{
	"OPENAI_BASE_URL": fmt.Sprintf("http://%s:%d/v1", door.Addr, door.AWS),
	"OPENAI_API_KEY":  "none-needed",
}

// credentialSources are variables by which somebody brings credentials of their own, for AWS itself, which
// our services would not know.
var credentialSources = []string{
	"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
}

func bringsCredentials(set map[string]string) bool {
	return slices.ContainsFunc(credentialSources, func(name string) bool { return set[name] != "" })
}

// bringsEndpoint reports whether AWS's clients were given one endpoint for all, which one for a single
// service would override.
func bringsEndpoint(set map[string]string) bool { return set["AWS_ENDPOINT_URL"] != "" }

// telemetryEnvironment turns on what agents say of themselves, contents included, and has it said soon.
//
// OTEL_PYTHON_CONFIGURATOR is not set: plain OpenTelemetry would then find no configurator at all. Where
// AWS's distribution is installed, its own is the first by name.
var telemetryEnvironment = map[string]string{
	"AGENT_OBSERVABILITY_ENABLED":                        "true",
	"OTEL_PYTHON_DISTRO":                                 "aws_distro", // plain OpenTelemetry goes on with its default
	"OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED":   "true",
	"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
	"AWS_GENAI_CONTENT_EXTRACTION_OPT_OUT":               "true", // prompts and answers stay on their spans
	"OTEL_BSP_SCHEDULE_DELAY":                            "200",  // milliseconds
	"OTEL_BLRP_SCHEDULE_DELAY":                           "200",
}

// exporterEnvironment is our collector. All of it is left out where the owner has another.
var exporterEnvironment = map[string]string{
	"OTEL_EXPORTER_OTLP_ENDPOINT": fmt.Sprintf("http://%s:%d", door.Addr, door.OTLPHTTP),
	"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
	"OTEL_TRACES_EXPORTER":        "otlp",
	"OTEL_LOGS_EXPORTER":          "otlp",
	"OTEL_METRICS_EXPORTER":       "otlp",
}

func bringsCollector(set map[string]string) bool {
	for name := range set {
		if strings.HasPrefix(name, "OTEL_EXPORTER_OTLP_") && strings.HasSuffix(name, "ENDPOINT") {
			return true
		}
	}
	return false
}

// Trust points programs at a bundle of certificates, in PEM, in place of their own. What the owner or the image
// sets is left alone.
func Trust(bundle string, set map[string]string) map[string]string {
	env := map[string]string{}
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} {
		if _, ok := set[name]; !ok {
			env[name] = bundle
		}
	}
	return env
}
