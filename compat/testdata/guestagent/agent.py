"""An agent that looks for AWS as any agent does, and says what it finds."""

import json
import os
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
from bedrock_agentcore import BedrockAgentCoreApp
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.utils import InstanceMetadataFetcher

app = BedrockAgentCoreApp()
at_import = boto3.client("sts").get_caller_identity()["Arn"]


@app.entrypoint
def invoke(payload):
    try:
        return OPS[payload["op"]](payload)
    except ClientError as e:
        return {"error": e.response["Error"]["Code"], "message": e.response["Error"]["Message"]}


def whoami(_):
    identity = boto3.client("sts").get_caller_identity()
    return {"account": identity["Account"], "arn": identity["Arn"], "userId": identity["UserId"], "atImport": at_import}


def credentials(_):
    found = boto3.session.Session().get_credentials()
    keys = found.get_frozen_credentials()
    return {"method": found.method, "id": keys.access_key, "secret": keys.secret_key, "token": keys.token}


def use(payload):
    """Asks who it is with credentials that come from elsewhere."""
    keys = {"aws_access_key_id": payload["id"], "aws_secret_access_key": payload["secret"], "aws_session_token": payload["token"]}
    return {"arn": boto3.client("sts", **keys).get_caller_identity()["Arn"]}


def machine(_):
    """Reads the metadata of the machine, as where nothing says that this is a container."""
    return InstanceMetadataFetcher(timeout=5, num_attempts=1).retrieve_iam_role_credentials()


def control(_):
    inside = boto3.client("bedrock-agentcore-control", endpoint_url=os.environ["AWS_ENDPOINT_URL_STS"])
    return {"runtimes": len(inside.list_agent_runtimes()["agentRuntimes"])}


def retrieve(payload):
    found = boto3.client("bedrock-agent-runtime").retrieve(knowledgeBaseId=payload["kb"], retrievalQuery={"text": payload["text"]})
    return {"texts": [r["content"]["text"] for r in found["retrievalResults"]]}


def answer(payload):
    config = {"type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": {"knowledgeBaseId": payload["kb"], "modelArn": payload["model"]}}
    asked = {"input": {"text": payload["text"]}, "retrieveAndGenerateConfiguration": config}
    runtime = boto3.client("bedrock-agent-runtime")
    pieces = [e["output"]["text"] for e in runtime.retrieve_and_generate_stream(**asked)["stream"] if "output" in e]
    return {"text": runtime.retrieve_and_generate(**asked)["output"]["text"], "streamed": "".join(pieces)}


def converse(payload):
    messages = [{"role": "user", "content": [{"text": payload["text"]}]}]
    patience = Config(read_timeout=payload.get("timeout", 60), retries={"total_max_attempts": 1})
    try:
        answer = boto3.client("bedrock-runtime", config=patience).converse(modelId=payload.get("model", "us.amazon.nova-pro-v1:0"), messages=messages)
    except ReadTimeoutError as e:
        return {"error": type(e).__name__}
    return {"text": answer["output"]["message"]["content"][0]["text"], "tokens": answer["usage"]["totalTokens"]}


def chat(payload):
    """Asks by OpenAI's own client, which finds the address and a key in the environment."""
    import openai

    asked = {"model": payload.get("model", "us.amazon.nova-pro-v1:0"), "messages": [{"role": "user", "content": payload["text"]}]}
    client = openai.OpenAI(max_retries=0)
    try:
        answer = client.chat.completions.create(**asked)
        pieces = [p.choices[0].delta.content or "" for p in client.chat.completions.create(**asked, stream=True)]
    except openai.APIStatusError as e:
        return {"error": type(e).__name__, "message": e.body["message"]}
    return {"text": answer.choices[0].message.content, "streamed": "".join(pieces), "tokens": answer.usage.total_tokens}


def led(payload):
    """Asks as a page or a redirect that was led to our address would: without a bearer token, or by a name."""
    body = json.dumps({"model": "builtin", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    try:
        return {"status": urlopen(Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, payload["headers"])).status}
    except HTTPError as e:
        return {"status": e.code}


def change(payload):
    boto3.client("bedrock-agent").delete_knowledge_base(knowledgeBaseId=payload["kb"])
    return {}


def put(payload):
    """Puts an event with an embedded metric, and a metric, as agents with AWS's own exporters do."""
    logs, now = boto3.client("logs"), int(time.time() * 1000)
    embedded = {"_aws": {"Timestamp": now, "CloudWatchMetrics": [{"Namespace": "bedrock-agentcore", "Metrics": [{"Name": "guest.thoughts"}]}]}, "guest.thoughts": 3}
    logs.put_log_events(logGroupName=payload["group"], logStreamName="mine", logEvents=[{"timestamp": now, "message": json.dumps(embedded)}])
    boto3.client("cloudwatch").put_metric_data(Namespace=payload["namespace"], MetricData=[{"MetricName": "guest.moods", "Value": 2.0}])
    return {}


def environment(_):
    return dict(os.environ)


OPS = {f.__name__: f for f in (whoami, credentials, use, machine, control, retrieve, answer, converse, chat, led, change, put, environment)}

if __name__ == "__main__":
    app.run()
