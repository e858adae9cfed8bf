// The same call for other clients.
export interface Call {
  endpoint: string
  region: string
  account: string
  id: string
  arn: string
  name: string
  session: string
  payload: string
  accept?: string // what the protocol has clients take
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/** snippets are the call as commands and programs. Credentials come from where each looks for them. */
export const snippets = (c: Call): Record<string, string> => ({ command: command(c), curl: curl(c), boto3: boto3(c), Go: golang(c) })

const command = (c: Call) => `moorage invoke --name ${c.name} --session ${c.session} --payload ${quoted(c.payload)}`

const curl = (c: Call) => `# eval "$(moorage env)" sets the credentials
curl --no-buffer --aws-sigv4 aws:amz:${c.region}:bedrock-agentcore --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \\
  -H 'Content-Type: application/json' -H 'X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: ${c.session}' \\${c.accept ? `\n  -H 'Accept: ${c.accept}' \\` : ''}
  --data ${quoted(c.payload)} \\
  '${c.endpoint}/runtimes/${c.id}/invocations?accountId=${c.account}&qualifier=DEFAULT'`

const boto3 = (c: Call) => `import boto3

client = boto3.client("bedrock-agentcore", endpoint_url="${c.endpoint}", region_name="${c.region}")
answer = client.invoke_agent_runtime(
    agentRuntimeArn="${c.arn}",
    runtimeSessionId="${c.session}",${c.accept ? `\n    accept="${c.accept}",` : ''}
    payload=${JSON.stringify(c.payload)}.encode(),
)
for chunk in answer["response"].iter_chunks():
    print(chunk.decode(), end="", flush=True)`

const golang = (c: Call) => `package main

import (
	"context"
	"io"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("${c.region}"), config.WithBaseEndpoint("${c.endpoint}"))
	if err != nil {
		log.Fatal(err)
	}
	out, err := bedrockagentcore.NewFromConfig(cfg).InvokeAgentRuntime(ctx, &bedrockagentcore.InvokeAgentRuntimeInput{
		AgentRuntimeArn:  aws.String("${c.arn}"),
		RuntimeSessionId: aws.String("${c.session}"),${c.accept ? `\n		Accept:           aws.String("${c.accept}"),` : ''}
		Payload:          []byte(${JSON.stringify(c.payload)}),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer out.Response.Close()
	io.Copy(os.Stdout, out.Response)
}`
