"""An agent that looks for AWS as any agent does, and says what it finds."""

import json
import os
import time

import boto3
from bedrock_agentcore import BedrockAgentCoreApp
from botocore.exceptions import ClientError
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


def converse(payload):
    messages = [{"role": "user", "content": [{"text": payload["text"]}]}]
    answer = boto3.client("bedrock-runtime").converse(modelId="us.amazon.nova-pro-v1:0", messages=messages)
    return {"text": answer["output"]["message"]["content"][0]["text"], "tokens": answer["usage"]["totalTokens"]}


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


OPS = {f.__name__: f for f in (whoami, credentials, use, machine, control, retrieve, converse, change, put, environment)}

if __name__ == "__main__":
    app.run()
