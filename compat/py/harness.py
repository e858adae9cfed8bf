"""What the check scripts share. A check is a function named check_…; main runs those that the
command line names, or all, and prints one JSON line for each: {"check", "ok", "trace"}.

The server is found as every AWS client finds it: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and so on.
COMPAT holds what only the test knows, as JSON.
"""

import contextlib
import json
import os
import sys
import time
import traceback
import uuid

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.session
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

CONTEXT = json.loads(os.environ["COMPAT"])
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
REGION = os.environ["AWS_REGION"]
ACCOUNT = CONTEXT["account"]
ROLE = f"arn:aws:iam::{ACCOUNT}:role/compat"

once = Config(retries={"total_max_attempts": 1}, read_timeout=120)
lax = Config(retries={"total_max_attempts": 1}, parameter_validation=False)

control = boto3.client("bedrock-agentcore-control", config=once)
data = boto3.client("bedrock-agentcore", config=once)
s3 = boto3.client("s3")


def main(checks):
    checks = {name.removeprefix("check_"): f for name, f in checks.items() if name.startswith("check_")}
    for name in sys.argv[1:] or checks:
        line = {"check": name, "ok": True}
        try:
            checks[name]()
        except Exception:
            line = {"check": name, "ok": False, "trace": traceback.format_exc()}
        print(json.dumps(line), flush=True)


def session_id():
    return f"compat-{uuid.uuid4()}"


@contextlib.contextmanager
def refused(code, status=None, *words):
    """Expects the API's error of that name and yields a dict that then holds the whole answer."""
    answer = {}
    try:
        yield answer
    except ClientError as e:
        answer.update(e.response)
        assert e.response["Error"]["Code"] == code, f"want {code}, got {e.response}"
        assert status is None or e.response["ResponseMetadata"]["HTTPStatusCode"] == status, e.response
        for word in words:
            assert word in e.response["Error"]["Message"], f"{word!r} is missing from {e.response['Error']['Message']!r}"
        return
    raise AssertionError(f"want {code}, got an answer")


def invoke(arn, payload, session=None, **more):
    """Invokes and returns the decoded answer."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    more.setdefault("contentType", "application/json")
    answer = data.invoke_agent_runtime(agentRuntimeArn=arn, runtimeSessionId=session or session_id(), payload=body, **more)
    return json.loads(answer["response"].read())


def signed(method, path, headers=None, body=b"", service="bedrock-agentcore", credentials=None):
    """Sends a request to exactly that path, signed as botocore signs, and returns the answer. The
    path is not touched on its way, so that a test may send what no SDK would."""
    request = botocore.awsrequest.AWSRequest(method=method, url=ENDPOINT + path, data=body, headers=headers or {})
    credentials = credentials or botocore.session.get_session().get_credentials()
    botocore.auth.SigV4Auth(credentials, service, REGION).add_auth(request)
    return raw(method, path, dict(request.headers), body)


def raw(method, path, headers=None, body=b""):
    """Sends a request as it is, to exactly that path."""
    prepared = requests.Request(method, ENDPOINT, headers=headers, data=body).prepare()
    prepared.url = ENDPOINT + path
    with requests.Session() as s:
        s.trust_env = False
        return s.send(prepared, timeout=60)


def wait(limit, what, check):
    """Polls until check returns something true, and returns that."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {limit} s: {what}")
