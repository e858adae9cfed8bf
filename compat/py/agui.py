"""AG-UI on a port and a path of its own: every error is an event. Contract §1.5."""

import json
import urllib.parse

from harness import CONTEXT, data, main, raw, session_id, signed

ARN = CONTEXT["agents"]["agui"]
PATH = f"/runtimes/{urllib.parse.quote(ARN, safe='')}/invocations"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def post(op, session=None, query="", **more):
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream", SESSION: session or session_id()}
    return signed("POST", PATH + query, headers, json.dumps({"op": op, **more}).encode())


def failed(answer, status, code):
    assert answer.status_code == status and answer.headers["Content-Type"] == "text/event-stream", (answer.status_code, answer.headers, answer.text)
    lines = [line for line in answer.text.splitlines() if line]
    event = json.loads(lines[-1].removeprefix("data: "))
    assert event["type"] == "RUN_ERROR" and event["code"] == code, event
    return event["message"]


def check_port_and_path_are_the_owners():
    echo = post("echo").json()
    assert echo["path"] == "/agent/run", echo


def check_errors_are_events():
    failed(post("state", "short"), 400, "VALIDATION_ERROR")
    failed(post("state", query="?qualifier=nowhere"), 500, "INTERNAL_ERROR")
    message = failed(post("status", code=418, words="no coffee"), 200, "AGENT_ERROR")
    assert "418" in message and "no coffee" in message, message
    failed(raw("POST", PATH, {}, b"{}"), 401, "UNAUTHORIZED")


def check_a_stream_that_breaks_off_ends_in_an_event():
    session = session_id()
    answer = data.invoke_agent_runtime(agentRuntimeArn=ARN, runtimeSessionId=session, contentType="application/json", payload=b'{"op": "stream"}')
    events = (line for line in answer["response"].iter_lines(chunk_size=1) if line)
    assert json.loads(next(events).removeprefix(b"data: "))["n"] == 1
    failed(post("leave", session, code=5), 200, "AGENT_ERROR")
    last = json.loads(list(events)[-1].removeprefix(b"data: "))
    assert last["type"] == "RUN_ERROR" and last["code"] == "AGENT_ERROR" and "status 5" in last["message"], last


if __name__ == "__main__":
    main(dict(globals()))
