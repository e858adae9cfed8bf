"""boto3 against both planes. Arguments: URL. Prints nothing and exits 0 when all is as it should be."""
import json
import sys
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/demo-abcdefghij"
SESSION = "0123456789abcdef0123456789abcdef-session"
url = sys.argv[1]
common = dict(region_name="us-east-1", endpoint_url=url, aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
              aws_secret_access_key="secret", config=Config(retries={"total_max_attempts": 1}))
control = boto3.client("bedrock-agentcore-control", **common)
data = boto3.client("bedrock-agentcore", **common)


def same(got, want):
    assert got == want, f"{got!r}, want {want!r}"


def refused(call, code, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        same(e.response["Error"]["Code"], code)
        assert e.response["ResponseMetadata"]["RequestId"], e.response
        return e
    raise AssertionError(f"{code} expected")


image = {"containerConfiguration": {"containerUri": "localhost:9400/x:1"}}
role = "arn:aws:iam::123456789012:role/r"

made = control.create_agent_runtime(agentRuntimeName="demo", agentRuntimeArtifact=image, roleArn=role)
same(made["agentRuntimeArn"], ARN)
same(made["createdAt"].year, 2026)
same(made["ResponseMetadata"]["HTTPStatusCode"], 202)

got = control.get_agent_runtime(agentRuntimeId="demo-abcdefghij")
same(got["agentRuntimeArtifact"]["codeConfiguration"]["entryPoint"], ["main.py"])
same(got["environmentVariables"], {"A": "<&>é"})

pages = list(control.get_paginator("list_agent_runtimes").paginate(PaginationConfig={"PageSize": 5}))
same([r["description"] for p in pages for r in p["agentRuntimes"]], [""])
same(control.tag_resource(resourceArn=ARN, tags={"k": "v"})["ResponseMetadata"]["HTTPStatusCode"], 204)
same(control.get_workload_identity(name="demo")["createdTime"].year, 2026)

e = refused(control.create_agent_runtime, "ValidationException", agentRuntimeName="0bad", agentRuntimeArtifact=image, roleArn="nope")
same(e.response["reason"], "FieldValidationFailed")
same([f["name"] for f in e.response["fieldList"]], ["agentRuntimeName", "roleArn"])
e = refused(control.create_agent_runtime, "ConflictException", agentRuntimeName="taken", agentRuntimeArtifact=image, roleArn=role)
assert isinstance(e, control.exceptions.ConflictException)
refused(control.list_gateways, "UnsupportedOperationException")

stream = data.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=SESSION, payload=b"hello")
same(stream["runtimeSessionId"], SESSION)
lines = stream["response"].iter_lines(chunk_size=1)
same(next(lines), b"data: " + ARN.encode() + b" hello")
urllib.request.urlopen(url + "/release").read()  # the rest was held back until now
same([line for line in lines if line], [b"data: end"])

e = refused(data.invoke_agent_runtime, "RuntimeClientError", agentRuntimeArn=ARN, payload=b"fail agent_failed")
same(e.response["ResponseMetadata"]["HTTPStatusCode"], 424)
refused(data.invoke_agent_runtime, "ServiceQuotaExceededException", agentRuntimeArn=ARN, payload=b"fail quota_exceeded")
refused(data.invoke_agent_runtime, "RetryableConflictException", agentRuntimeArn=ARN, payload=b"fail busy")

events = data.invoke_agent_runtime_command(agentRuntimeArn=ARN, body={"command": "ls"})["stream"]
same([list(e["chunk"]) for e in events], [["contentStart"], [], ["contentDelta"], ["contentStop"]])
broken = data.invoke_agent_runtime_command(agentRuntimeArn=ARN, body={"command": "fail"})["stream"]
try:
    list(broken)
    raise AssertionError("the exception in the stream was lost")
except ClientError as e:  # EventStreamError
    same(e.response["Error"]["Code"], "runtimeClientError")

same(data.stop_runtime_session(agentRuntimeArn=ARN, runtimeSessionId=SESSION)["statusCode"], 200)
card = data.get_agent_card(agentRuntimeArn=ARN)["agentCard"]
same(card if isinstance(card, dict) else json.loads(card), {"name": "demo", "skills": [{"id": 1}]})
