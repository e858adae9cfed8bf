"""An agent on the AgentCore Python SDK, called through boto3 and WebSockets: contract §1.2, §2.7."""

import json
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.session
import websockets.sync.client
from websockets.exceptions import InvalidStatus

from harness import CONTEXT, ENDPOINT, REGION, data, invoke, main, refused, session_id, wait

ARN = CONTEXT["agents"]["sdk_agent"]
WS = f"/runtimes/{urllib.parse.quote(ARN, safe='')}/ws"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def check_sync():
    session = session_id()
    for turn in (1, 2):
        assert invoke(ARN, {"prompt": "hello"}, session) == {"prompt": "hello", "turn": turn, "session": session}


def check_stream():
    words = ["one", "two", "drei"]
    answer = data.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=session_id(), contentType="application/json", accept="text/event-stream", payload=json.dumps({"op": "stream", "words": words}).encode())
    assert answer["contentType"].startswith("text/event-stream"), answer
    events = [json.loads(line.removeprefix(b"data: ")) for line in answer["response"].iter_lines() if line]
    assert events == [{"word": w} for w in words], events


def check_error():
    with refused("RuntimeClientError", 424, "Received error (500) from runtime.", "the tool broke"):
        invoke(ARN, {"op": "fail"})
    with refused("RuntimeClientError", 424, "Received error (400) from runtime."):
        invoke(ARN, b"{not json")


def ping(session):
    answer = data.invoke_agent_runtime_command(agentRuntimeArn=ARN, runtimeSessionId=session, body={
        "command": "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/ping').read().decode())\""})
    out = err = ""
    for event in answer["stream"]:
        delta = event["chunk"].get("contentDelta", {})
        out += delta.get("stdout", "")
        err += delta.get("stderr", "")
    assert out, err
    return json.loads(out)["status"]


def check_async_task():
    session = session_id()
    invoke(ARN, {"op": "work"}, session)
    assert ping(session) == "HealthyBusy"
    invoke(ARN, {"op": "finish"}, session)
    wait(20, "the task ends", lambda: ping(session) == "Healthy")


def sign(auth, session=None, expires=None):
    """Signs the WebSocket's address, as the SDK's own client does; returns (url, headers)."""
    headers = {SESSION: session} if session else {}
    request = botocore.awsrequest.AWSRequest(method="GET", url=ENDPOINT + WS, headers=headers)
    more = {"expires": expires} if expires else {}
    auth(botocore.session.get_session().get_credentials(), "bedrock-agentcore", REGION, **more).add_auth(request)
    return request.url.replace("http://", "ws://"), dict(request.headers)


def connect(url, headers=None, **more):
    return websockets.sync.client.connect(url, additional_headers=headers, proxy=None, **more)


def echo(socket, text, session):
    socket.send(text)
    got = json.loads(socket.recv(timeout=20))
    assert got == {"echo": text, "session": session}, got


def check_websocket_with_signed_headers():
    session = session_id()
    url, headers = sign(botocore.auth.SigV4Auth, session)
    headers.pop("Host", None)
    with connect(url, headers) as socket:
        assert socket.response.headers[SESSION] == session, socket.response.headers
        echo(socket, "hello", session)
        echo(socket, "x" * 60_000, session)
        # The call and the socket meet the same process.
        assert invoke(ARN, {"prompt": "beside"}, session)["turn"] == 1


def check_websocket_with_signed_query():
    url, _ = sign(botocore.auth.SigV4QueryAuth, expires=300)
    with connect(url) as socket:
        session = socket.response.headers[SESSION]
        assert len(session) >= 33, session
        echo(socket, "hello", session)


def check_websocket_with_session_in_the_query():
    session = session_id()
    request = botocore.awsrequest.AWSRequest(method="GET", url=ENDPOINT + WS, params={SESSION: session})
    botocore.auth.SigV4QueryAuth(botocore.session.get_session().get_credentials(), "bedrock-agentcore", REGION, expires=300).add_auth(request)
    with connect(request.url.replace("http://", "ws://")) as socket:
        echo(socket, "hello", session)


def check_websocket_refusals():
    url, headers = sign(botocore.auth.SigV4Auth, session_id())
    for name, (address, more) in {
        "no signature": (ENDPOINT.replace("http://", "ws://") + WS, {}),
        "a signature for another session": (url, {**headers, SESSION: session_id()}),
        "too long a life": (sign(botocore.auth.SigV4QueryAuth, expires=301)[0], {}),
    }.items():
        more.pop("Host", None)
        try:
            with connect(address, more):
                raise AssertionError(f"{name}: the WebSocket opened")
        except InvalidStatus as e:
            assert e.response.status_code in (400, 401, 403), (name, e.response.status_code)


def check_websocket_frame_limit():
    url, headers = sign(botocore.auth.SigV4Auth, session_id())
    headers.pop("Host", None)
    with connect(url, headers, compression=None) as socket:
        socket.send("x" * (64 * 1024 + 1))
        try:
            socket.recv(timeout=20)
            raise AssertionError("the frame passed")
        except websockets.exceptions.ConnectionClosed as e:
            assert e.rcvd and e.rcvd.code == 1009, e


if __name__ == "__main__":
    main(dict(globals()))
