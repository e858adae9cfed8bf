package identity_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/aws/smithy-go"

	"github.com/moorage-dev/moorage/internal/identity"
)

// The SDKs sign with the real clock.
func newLiveDoor(t *testing.T) *door {
	d := newDoor(t)
	d.verifier.Now = time.Now
	return d
}

func static(id, token string) aws.CredentialsProviderFunc {
	return func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
	}
}

func TestVerify_goSDK(t *testing.T) {
	d := newLiveDoor(t)
	config := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(d.URL), Credentials: static(keyID, ""), RetryMaxAttempts: 1}
	data, control := bedrockagentcore.NewFromConfig(config), bedrockagentcorecontrol.NewFromConfig(config)
	arn := aws.String("arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abcdefghij")
	for name, call := range map[string]func() error{
		"InvokeAgentRuntime": func() error {
			_, err := data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: arn, Payload: []byte("{}"),
				Qualifier: aws.String("DEFAULT"), RuntimeUserId: aws.String("ada lovelace"), Baggage: aws.String("a=b, c=d")})
			return err
		},
		"InvokeAgentRuntime by id": func() error {
			_, err := data.InvokeAgentRuntime(t.Context(), &bedrockagentcore.InvokeAgentRuntimeInput{AgentRuntimeArn: aws.String("demo-abcdefghij"),
				AccountId: aws.String("123456789012"), Payload: make([]byte, 2<<20)})
			return err
		},
		"StopRuntimeSession": func() error {
			_, err := data.StopRuntimeSession(t.Context(), &bedrockagentcore.StopRuntimeSessionInput{AgentRuntimeArn: arn, RuntimeSessionId: aws.String(strings.Repeat("s", 40))})
			return err
		},
		"ListAgentRuntimes": func() error {
			_, err := control.ListAgentRuntimes(t.Context(), &bedrockagentcorecontrol.ListAgentRuntimesInput{MaxResults: aws.Int32(3)})
			return err
		},
		"ListTagsForResource": func() error {
			_, err := control.ListTagsForResource(t.Context(), &bedrockagentcorecontrol.ListTagsForResourceInput{ResourceArn: arn})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d.signed = identity.Signed{}
			var refused *smithy.GenericAPIError
			if err := call(); errors.As(err, &refused) {
				t.Error(err)
			}
			if d.err != nil || d.signed.Caller.ARN != principal {
				t.Errorf("verified %+v, %v", d.signed, d.err)
			}
		})
	}
}

// pythonCalls makes one signed request of each kind that boto3 makes. Answers are empty, so only a
// refusal matters.
const pythonCalls = `
import boto3, botocore, sys
from botocore.config import Config
url = sys.argv[1]
session = boto3.Session(aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3], region_name="us-east-1")
config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
arn = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abcdefghij"
data = session.client("bedrock-agentcore", endpoint_url=url, config=config)
control = session.client("bedrock-agentcore-control", endpoint_url=url, config=config)
s3 = session.client("s3", endpoint_url=url, config=config.merge(Config(signature_version="s3v4")))  # boto3 presigns by SigV2 else
def call(f):
    try:
        f()
    except botocore.exceptions.ClientError as e:
        if e.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
            raise
    except (botocore.parsers.ResponseParserError, KeyError):
        pass
call(lambda: data.invoke_agent_runtime(agentRuntimeArn=arn, payload=b'{"prompt":"h\xc3\xa9"}', qualifier="DEFAULT", runtimeUserId="ada lovelace"))
call(lambda: data.invoke_agent_runtime(agentRuntimeArn=arn, payload=b"x" * (2 << 20)))
call(lambda: data.stop_runtime_session(agentRuntimeArn=arn, runtimeSessionId="s" * 40))
call(lambda: control.list_agent_runtimes(maxResults=3))
call(lambda: control.list_tags_for_resource(resourceArn=arn))
call(lambda: s3.put_object(Bucket="bucket", Key="a b/(c)/d+e~é", Body=b"zip" * 1000))
call(lambda: s3.list_objects_v2(Bucket="bucket", Prefix="a b/+"))
import urllib.request
urllib.request.urlopen(s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a b/é"})).read()
`

func python(t *testing.T) string {
	t.Helper()
	python := os.Getenv("MOORAGE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if exec.Command(python, "-c", "import boto3").Run() != nil {
		t.Skip("no Python with boto3: set MOORAGE_PYTHON to one")
	}
	return python
}

func runPython(t *testing.T, d *door, program string, env ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), python(t), "-c", program, d.URL, keyID, secret)
	command.Env = append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\nthe verifier said: %v", err, out, d.err)
	}
}

func TestVerify_boto3(t *testing.T) {
	d := newLiveDoor(t)
	d.verifier.UnsignedPayload = true // S3's presigned addresses
	runPython(t, d, pythonCalls)
}

// Over TLS, S3's clients leave the body unsigned, in chunks with a checksum behind them.
func TestVerify_boto3OverTLS(t *testing.T) {
	d := newLiveDoor(t)
	d.verifier.UnsignedPayload = true
	secure := httptest.NewTLSServer(http.HandlerFunc(d.serve))
	t.Cleanup(secure.Close)
	d.Server = secure
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	runPython(t, d, pythonCalls, "AWS_CA_BUNDLE="+bundle, "SSL_CERT_FILE="+bundle)
	runPython(t, d, `
import boto3, sys
from botocore.config import Config
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3], region_name="us-east-1",
    config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}))
s3.put_object(Bucket="bucket", Key="key", Body=b"zip" * 100_000, ContentEncoding="x")
`, "AWS_CA_BUNDLE="+bundle)
	if want := strings.Repeat("zip", 100_000); string(d.body) != want || d.err != nil {
		t.Errorf("the handler read %d bytes (%v), want the %d of the object", len(d.body), d.err, len(want))
	}
}
