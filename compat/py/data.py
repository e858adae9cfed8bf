"""The data plane through boto3, and through raw HTTP where an SDK would not go: contract §1 and §2."""

import base64
import json
import os
import time
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
from botocore.exceptions import ParamValidationError

from harness import ACCOUNT, CONTEXT, ENDPOINT, REGION, boto3, data, invoke, lax, main, raw, refused, session_id, signed

ARN = CONTEXT["probe"]
ID = ARN.rpartition("/")[2]
PATH = "/runtimes/" + urllib.parse.quote(ARN, safe="")
PREFIX = "X-Amzn-Bedrock-AgentCore-Runtime-"
SESSION = PREFIX + "Session-Id"
JSON = {"Content-Type": "application/json"}
loose = boto3.client("bedrock-agentcore", config=lax)


def call(path=PATH, payload=None, headers=None, method="POST", **more):
    body = json.dumps(payload or {"op": "state"}).encode()
    return signed(method, path + "/invocations", {**JSON, **(headers or {})}, body, **more)


def seen(answer):
    """The headers that the agent's echo reports, names in lower case."""
    return {name.lower(): value for name, value in answer["headers"]}


def wrong(answer, status, name):
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers.get("x-amzn-ErrorType", "").split(":")[0] == name, (answer.headers, answer.text)
    assert answer.headers["x-amzn-RequestId"], answer.headers
    return answer.json()["message"]


def check_three_forms_of_address():
    session = session_id()
    assert invoke(ARN, {"op": "state"}, session)["count"] == 1  # the SDK encodes the ARN
    assert invoke(ID, {"op": "state"}, session, accountId=ACCOUNT)["count"] == 2
    for n, path in enumerate((f"/runtimes/{ARN}", "/runtimes/" + urllib.parse.quote(ARN, safe=":"), PATH, f"/runtimes/{ID}")):
        query = f"?accountId={ACCOUNT}" if path.endswith("/" + ID) and "arn" not in path else ""
        body = b'{"op": "state"}'
        answer = signed("POST", path + "/invocations" + query, {**JSON, SESSION: session}, body)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        assert answer.json()["count"] == 3 + n, (path, answer.json())
    with refused("ValidationException", 400):
        invoke(ID, {"op": "state"}, session)
    with refused("ResourceNotFoundException", 404):
        invoke(ID, {"op": "state"}, session, accountId="999999999999")


def check_bodies_are_opaque():
    session = session_id()
    for size in (0, 1, 70_000, 20_000_000):
        body = os.urandom(size)
        answer = data.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=session, contentType="application/x-anything", payload=body)
        assert answer["contentType"] == "application/x-anything", answer
        assert answer["response"].read() == body, f"{size} bytes came back changed"


def check_type_defaults_to_json():
    answer = data.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=session_id(), payload=b'{"op": "echo"}')
    echo = json.loads(answer["response"].read())
    assert seen(echo)["content-type"] == "application/json", echo
    assert base64.b64decode(echo["body"]) == b'{"op": "echo"}' and echo["path"] == "/invocations", echo


def check_streams_come_event_by_event():
    session = session_id()
    answer = data.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=session, contentType="application/json", accept="text/event-stream", payload=b'{"op": "stream"}')
    assert answer["contentType"].startswith("text/event-stream"), answer
    lines = (line for line in answer["response"].iter_lines(chunk_size=1) if line)
    first = json.loads(next(lines).removeprefix(b"data: "))
    read = time.time()
    # The agent holds the next event back until this call: nothing on the way waited for more.
    invoke(ARN, {"op": "release"}, session)
    rest = [json.loads(line.removeprefix(b"data: ")) for line in lines]
    assert [first["n"], *(e["n"] for e in rest)] == [1, 2, 3], (first, rest)
    assert first["at"] <= read <= rest[0]["at"], (first, read, rest)


def check_session_ids():
    answer = call()
    minted = answer.headers[SESSION]
    assert len(minted) >= 33, minted
    assert call(headers={SESSION: minted}).json()["count"] == 2
    for good in ("x" * 33, "y" * 150, "z" * 256):
        answer = call(headers={SESSION: good})
        assert answer.status_code == 200 and answer.headers[SESSION] == good, (answer.status_code, answer.headers)
    for bad in ("x" * 32, "x" * 257):
        message = wrong(call(headers={SESSION: bad}), 400, "ValidationException")
        assert "33" in message or "256" in message, message
    try:
        invoke(ARN, {}, "x" * 32)
        raise AssertionError("boto3 sent a short id")
    except ParamValidationError:
        pass
    with refused("ValidationException", 400) as e:
        loose.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId="x" * 32, payload=b"{}")
    assert e["reason"] == "FieldValidationFailed" and "untimeSessionId" in e["fieldList"][0]["name"], e


def check_headers_that_reach_the_agent():
    spoofed = {
        "WorkloadAccessToken": "forged", "X-Amz-Bedrock-AgentCore-Identity-WAT": "forged", "OAuth2CallbackUrl": "http://evil.example",
        PREFIX + "Request-Id": "forged", "X-Forwarded-For": "10.0.0.1", "Cookie": "a=b", "X-Not-Listed": "no", "Mcp-Session-Id": "forged",
    }
    wanted = {PREFIX + "Custom-Tenant": "acme", "X-Note": "listed", "Accept": "application/json", "tracestate": "a=b"}
    trace = "0af7651916cd43dd8448eb211c80319c"
    traced = {"baggage": "k=v", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    session = session_id()
    answer = call(payload={"op": "echo"}, headers={**spoofed, **wanted, **traced, SESSION: session, PREFIX + "User-Id": "ann"})
    assert answer.status_code == 200, answer.text
    headers = seen(answer.json())
    for name, value in wanted.items():
        assert headers.get(name.lower()) == value, f"{name} is {headers.get(name.lower())!r}"
    assert headers["traceparent"].startswith(f"00-{trace}-") and "b7ad6b7169203331" not in headers["traceparent"], "the call's own span is missing between caller and agent"
    assert headers["baggage"].startswith("k=v,session.id="), headers["baggage"]
    for name, value in spoofed.items():
        assert headers.get(name.lower()) != value, f"the caller's {name} reached the agent"
    ours = "x-amz-bedrock-agentcore-identity-wat"  # ann's workload token
    assert "authorization" not in headers and [n for n in headers if n.startswith("x-amz-")] == [ours], headers
    assert headers[SESSION.lower()] == session, headers
    assert headers[(PREFIX + "Request-Id").lower()] == answer.headers["x-amzn-RequestId"], (headers, answer.headers)
    assert answer.headers[SESSION] == session and "X-Agent-Secret" not in answer.headers, answer.headers


def check_agents_errors_become_424():
    for status in (400, 404, 500, 503):
        with refused("RuntimeClientError", 424, f"Received error ({status}) from runtime. Please check your CloudWatch logs for more information.", f"words of {status}") as e:
            invoke(ARN, {"op": "status", "code": status, "words": f"words of {status}"})
        assert "for the owner only" not in json.dumps(e, default=str), e


def check_unknown_places():
    with refused("ResourceNotFoundException", 404, f"No endpoint or agent found with qualifier 'nowhere' for agent '{ARN}'"):
        invoke(ARN, {}, qualifier="nowhere")
    for arn in (ARN.replace(":us-east-1:", ":eu-west-1:"), ARN.replace(ACCOUNT, "999999999999"), ARN[:-10] + "0000000000"):
        with refused("ResourceNotFoundException", 404, f"No endpoint or agent found with qualifier 'DEFAULT' for agent '{arn}'"):
            invoke(arn, {})
    for path in ("/runtimes/../runtimes/x", "/runtimes/%2e%2e%2f%2e%2e/", "/runtimes//", "/runtimes/" + "a" * 5000):
        answer = signed("POST", path + "/invocations", JSON, b"{}")
        assert 400 <= answer.status_code < 500 and answer.headers.get("x-amzn-ErrorType"), (path, answer.status_code, answer.text)


def check_signatures():
    message = wrong(raw("POST", PATH + "/invocations", JSON, b"{}"), 403, "MissingAuthenticationTokenException")
    assert "Missing Authentication Token" in message, message
    assert "WWW-Authenticate" not in raw("POST", PATH + "/invocations", JSON, b"{}").headers
    key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    for credentials, names in (
        ((key, secret + "x"), ("InvalidSignatureException", "SignatureDoesNotMatch")),
        (("AKIA" + "A" * 16, secret), ("UnrecognizedClientException",)),
    ):
        answer = call(credentials=botocore.credentials.Credentials(*credentials))
        assert answer.status_code == 403 and answer.headers["x-amzn-ErrorType"] in names, (answer.status_code, answer.headers, answer.text)
    message = wrong(raw("POST", PATH + "/invocations", {**JSON, "Authorization": "Bearer abc.def.ghi"}, b"{}"), 403, "AccessDeniedException")
    assert "Authorization method mismatch" in message, message


def check_the_body_is_signed():
    request = botocore.awsrequest.AWSRequest(method="POST", url=ENDPOINT + PATH + "/invocations", data=b'{"op": "state"}', headers=dict(JSON))
    botocore.auth.SigV4Auth(botocore.session.get_session().get_credentials(), "bedrock-agentcore", REGION).add_auth(request)
    answer = raw("POST", PATH + "/invocations", dict(request.headers), b'{"op": "leave"}')
    assert answer.status_code == 403, (answer.status_code, answer.text)


def check_stop_session():
    session = session_id()
    first = invoke(ARN, {"op": "state"}, session)
    stopped = data.stop_runtime_session(agentRuntimeArn=ARN, runtimeSessionId=session)
    assert stopped["statusCode"] == 200 and stopped["runtimeSessionId"] == session, stopped
    with refused("ResourceNotFoundException", 404):
        data.stop_runtime_session(agentRuntimeArn=ARN, runtimeSessionId=session)
    again = invoke(ARN, {"op": "state"}, session)
    assert again["count"] == 1 and again["boot"] != first["boot"], (first, again)


def check_sessions_share_no_chance():
    drawn = [value for _ in range(6) for value in invoke(ARN, {"op": "chance"}, session_id()).values()]
    assert len(set(drawn)) == len(drawn) == 24, drawn


def run(command, session=None, **more):
    """Runs a command; returns (session, stdout, stderr, stop)."""
    answer = data.invoke_agent_runtime_command(agentRuntimeArn=ARN, runtimeSessionId=session or session_id(), body={"command": command, **more})
    out, err, kinds = "", "", []
    stop = None
    for event in answer["stream"]:
        chunk = event["chunk"]
        kinds += chunk.keys()
        delta = chunk.get("contentDelta", {})
        out += delta.get("stdout", "")
        err += delta.get("stderr", "")
        stop = chunk.get("contentStop", stop)
    assert kinds[0] == "contentStart" and kinds[-1] == "contentStop" and kinds.count("contentStop") == 1, kinds
    return answer["runtimeSessionId"], out, err, stop


def check_commands():
    session, out, err, stop = run("echo out; echo err >&2; exit 3")
    assert (out, err) == ("out\n", "err\n") and stop == {"exitCode": 3, "status": "COMPLETED"}, (out, err, stop)
    invoke(ARN, {"op": "write", "path": "/tmp/shared", "text": "by the agent"}, session)
    _, out, _, stop = run("cat /tmp/shared; echo; echo $PROBE_VERSION; [ -n \"$BASH_VERSION\" ] && echo bash", session)
    assert out == "by the agent\none\nbash\n" and stop["exitCode"] == 0, (out, stop)
    _, out, _, stop = run("cd /; export X=1; echo ok", session)
    _, out, _, stop = run("echo \"[$X]\"", session)  # each command is a shell of its own
    assert out == "[]\n", out
    _, out, _, stop = run("head -c 300000 /dev/zero | tr '\\0' 'ä' | wc -c", session)
    assert stop["exitCode"] == 0, stop
    _, out, _, stop = run("for i in $(seq 20000); do echo line $i ünicode; done", session)
    want = "".join(f"line {i} ünicode\n" for i in range(1, 20001))
    at = next((i for i, (a, b) in enumerate(zip(out, want)) if a != b), min(len(out), len(want)))
    assert out == want and stop["exitCode"] == 0, (len(out), len(want), stop, at, out[max(0, at - 40):at + 40])
    _, _, err, stop = run("no-such-command-here", session)
    assert stop["exitCode"] == 127 and "no-such-command-here" in err, (err, stop)


def check_command_timeout():
    began = time.monotonic()
    _, out, _, stop = run("echo before; sleep 600", timeout=1)
    assert stop["status"] == "TIMED_OUT" and out == "before\n", (out, stop)
    assert time.monotonic() - began < 30
    for bad in ({"command": ""}, {"command": "x", "timeout": 0}, {"command": "x", "timeout": 3601}, {"command": "x" * 65537}):
        try:
            with refused("ValidationException", 400):
                loose.invoke_agent_runtime_command(agentRuntimeArn=ARN, runtimeSessionId=session_id(), body=bad)
        except AssertionError as e:
            raise AssertionError(f"{str(bad)[:80]}: {e}") from e


def check_sandbox_environment():
    env = invoke(ARN, {"op": "environment"})
    assert env["env"]["AWS_REGION"] == env["env"]["AWS_DEFAULT_REGION"] == os.environ["AWS_REGION"], env
    assert env["env"].get("DOCKER_CONTAINER") == "1" or env["dockerenv"], env
    assert env["cwd"] == "/var/task" and env["python"].startswith("3.11."), env
    secret = [k for k in env["env"] if "SECRET" in k or "ACCESS_KEY" in k or "TOKEN" in k]
    assert not secret and os.environ["AWS_SECRET_ACCESS_KEY"] not in json.dumps(env), secret


def check_sandbox_reaches_no_host():
    host, port = ENDPOINT.removeprefix("http://").split(":")
    for target in (host, "10.0.2.2", "localhost", CONTEXT["hostAddress"]):
        answer = invoke(ARN, {"op": "connect", "host": target, "port": int(port)})
        assert not answer["connected"], f"the sandbox reached the server at {target}"


def metadata(path, session, **more):
    return invoke(ARN, {"op": "fetch", "url": "http://169.254.169.254" + path, **more}, session)


def check_metadata_is_ours():
    session = session_id()
    path = "/latest/meta-data/iam/security-credentials/"
    assert metadata(path, session)["status"] in (0, 401), "version 1 of the metadata service answers"
    token = metadata("/latest/api/token", session, method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    if token["status"] == 0:
        print(json.dumps({"check": "metadata_is_ours", "skip": "this build offers no metadata service in the sandbox: " + token["body"]}), flush=True)
        return
    headers = {"X-aws-ec2-metadata-token": token["body"]}
    assert metadata(path, session, headers=headers)["body"].split() == ["execution_role"]
    credentials = json.loads(metadata(path + "execution_role", session, headers=headers)["body"])
    for member in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration"):
        assert credentials[member], credentials.keys()
    assert credentials["SecretAccessKey"] != os.environ["AWS_SECRET_ACCESS_KEY"]


def check_browsers_may_ask():
    answer = raw("OPTIONS", PATH + "/invocations", {
        "Origin": "https://app.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type,x-amzn-bedrock-agentcore-runtime-session-id"})
    assert answer.status_code in (200, 204), (answer.status_code, answer.text)
    assert answer.headers.get("Access-Control-Allow-Origin") in ("*", "https://app.example"), answer.headers
    assert "POST" in answer.headers["Access-Control-Allow-Methods"], answer.headers
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert allowed == "*" or all(h in allowed for h in ("authorization", "content-type", "x-amzn-bedrock-agentcore-runtime-session-id")), allowed
    answer = call(headers={"Origin": "https://app.example"})
    exposed = answer.headers.get("Access-Control-Expose-Headers", "").lower()
    assert "x-amzn-requestid" in exposed and SESSION.lower() in exposed and "x-amzn-errortype" in exposed, answer.headers


def check_too_large_a_body():
    if not os.environ.get("MOORAGE_SLOW"):
        print(json.dumps({"check": "too_large_a_body", "skip": "sends 200 MB: set MOORAGE_SLOW=1"}), flush=True)
        return
    session = session_id()
    exact = bytes(100_000_000)
    answer = data.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=session, contentType="application/x-anything", payload=exact)
    assert answer["response"].read() == exact
    with refused("ValidationException", 400):
        loose.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=session, contentType="application/x-anything", payload=bytes(100_000_001))


if __name__ == "__main__":
    main(dict(globals()))
