"""MCP servers on the official Python SDK, driven by its client: contract §1.5, §1.6."""

import asyncio
import contextlib
import json
import urllib.parse
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.session
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from harness import CONTEXT, ENDPOINT, REGION, data, main, raw, session_id, signed

STATELESS, STATEFUL = CONTEXT["agents"]["mcp"], CONTEXT["agents"]["mcp_stateful"]
BOTH = "application/json, text/event-stream"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def path(arn, qualifier="DEFAULT"):
    return f"/runtimes/{urllib.parse.quote(arn, safe='')}/invocations?qualifier={qualifier}"


class SigV4(httpx2.Auth):
    """Signs what the MCP client sends as AWS's own samples do."""

    requires_request_body = True

    def auth_flow(self, request):
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("connection", "host", "accept-encoding", "user-agent")}
        signing = botocore.awsrequest.AWSRequest(method=request.method, url=str(request.url), data=request.content, headers=headers)
        botocore.auth.SigV4Auth(botocore.session.get_session().get_credentials(), "bedrock-agentcore", REGION).add_auth(signing)
        request.headers.update(dict(signing.headers))
        yield request


@contextlib.asynccontextmanager
async def connected(arn, mode="legacy", headers=None, seen=None):
    async def note(response):
        if seen is not None:
            seen.append(response)

    async with httpx2.AsyncClient(auth=SigV4(), headers=headers, timeout=60, event_hooks={"response": [note]}) as http:
        async with Client(streamable_http_client(ENDPOINT + path(arn), http_client=http), mode=mode) as client:
            yield client


async def said(client, tool, **arguments):
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer
    text = answer.content[0].text
    return json.loads(text) if text[:1] in "{[" else text


def check_tools():
    async def go():
        async with connected(STATELESS) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            assert names == {"add", "whoami", "steps", "die"}, names
            assert await said(client, "add", a=2, b=40) == 42 or await said(client, "add", a=2, b=40) == "42"

    asyncio.run(go())


def check_stateless_session_is_minted_and_kept():
    async def go():
        seen = []
        async with connected(STATELESS, seen=seen) as client:
            first, second = await said(client, "whoami"), await said(client, "whoami")
        ids = {r.headers["mcp-session-id"] for r in seen if r.request.method == "POST"}
        assert len(ids) == 1 and len(ids.copy().pop()) >= 33, ids
        assert first["session"] == ids.pop() and (first["count"], second["count"]) == (1, 2) and first["boot"] == second["boot"], (first, second)
        assert {r.status_code for r in seen if r.request.method == "POST"} == {200, 202}, seen
        async with connected(STATELESS) as client:
            other = await said(client, "whoami")
            assert other["boot"] != first["boot"] and other["session"] != first["session"], other

    asyncio.run(go())


def check_stateful_session_is_the_servers():
    async def go():
        seen = []
        async with connected(STATEFUL, seen=seen) as client:
            first, second = await said(client, "whoami"), await said(client, "whoami")
        ids = {r.headers["mcp-session-id"] for r in seen if r.request.method == "POST"}
        assert ids == {first["session"]}, (ids, first)
        assert first["boot"] == second["boot"] and second["count"] == 2, (first, second)

    asyncio.run(go())


def check_progress_comes_as_it_happens():
    async def go():
        for arn in (STATELESS, STATEFUL):
            heard = []

            async def note(done, total, message):
                heard.append(done)

            async with connected(arn) as client:
                answer = await client.call_tool("steps", {"n": 3}, progress_callback=note)
            assert answer.content[0].text == "3 steps" and heard == [1, 2, 3], (answer, heard)

    asyncio.run(go())


def check_modern_protocol():
    """From 2026-07-28 on clients do not initialize and name no session: a header keeps them in one."""

    async def go():
        async with connected(STATELESS, mode="auto", headers={SESSION: session_id()}) as client:
            first, second = await said(client, "whoami"), await said(client, "whoami")
        assert first["boot"] == second["boot"] and second["count"] == 2, (first, second)
        assert first["headers"]["mcp-method"] == "tools/call" and first["headers"]["mcp-name"] == "whoami", first

    asyncio.run(go())


def check_death_of_the_server():
    async def go():
        async with connected(STATELESS) as client:
            try:
                await client.call_tool("die", {})
            except MCPError as e:
                assert e.code == -32010 and "status 3" in e.error.message, e
                return
            raise AssertionError("a dead server answered")

    asyncio.run(go())


def post(arn, message, headers=None, **more):
    body = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
    return signed("POST", path(arn, **more), {"Content-Type": "application/json", "Accept": BOTH, **(headers or {})}, body)


def failed(answer, status, code, request=None):
    assert answer.status_code == status and answer.headers["Content-Type"] == "application/json", (answer.status_code, answer.headers, answer.text)
    doc = answer.json()
    assert doc["jsonrpc"] == "2.0" and doc["error"]["code"] == code and doc["id"] == request, doc
    return doc["error"]["message"]


def check_errors_are_inside_200():
    failed(post(STATELESS, {"id": 7, "method": "tools/list"}, {SESSION: "short"}), 200, -32006, 7)
    failed(post(STATELESS, {"id": "x", "method": "tools/list"}, {"Mcp-Session-Id": "a b"}), 200, -32006, "x")
    failed(post(STATELESS, {"id": 8, "method": "tools/list"}, qualifier="nowhere"), 200, -32004, 8)
    message = failed(post(STATEFUL, {"id": 9, "method": "tools/list"}, {"Mcp-Session-Id": uuid.uuid4().hex}), 200, -32010, 9)
    assert message.startswith("Received error (404) from runtime."), message
    failed(post(STATELESS, b"\xff{"), 200, -32010)


def check_accept_must_list_both():
    for accept in ("application/json", "text/event-stream", "*/*"):
        message = failed(post(STATELESS, {"id": 1, "method": "tools/list"}, {"Accept": accept}), 406, -32011, 1)
        assert "application/json" in message and "text/event-stream" in message, message
    answer = post(STATELESS, {"id": 1, "method": "tools/list"}, {"Accept": "Text/Event-Stream; q=0.5,application/json"})
    assert answer.status_code == 200 and "add" in answer.text, answer.text


def check_who_may_not_call():
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    answer = raw("POST", path(STATELESS), {"Accept": BOTH}, body)
    assert failed(answer, 401, -32001) == "Missing Authentication Token", answer.text
    assert answer.headers["x-amzn-RequestId"], answer.headers


def check_other_methods():
    for method in ("GET", "DELETE"):
        answer = signed(method, path(STATELESS), {"Accept": "text/event-stream"})
        assert answer.status_code == 405 and answer.headers["Allow"] == "POST", (answer.status_code, answer.headers)


def check_boto3():
    """boto3 names a session of AgentCore's on every call: Mcp-Session-Id goes before it."""

    def call(session=None, mcp=None):
        more = {"mcpSessionId": mcp} if mcp else {}
        if session:
            more["runtimeSessionId"] = session
        answer = data.invoke_agent_runtime(
            agentRuntimeArn=STATELESS, contentType="application/json", accept=BOTH, mcpProtocolVersion="2025-06-18", **more,
            payload=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}).encode())
        events = [line.removeprefix(b"data: ") for line in answer["response"].iter_lines() if line.startswith(b"data: ")]
        return answer, json.loads(json.loads(events[-1])["result"]["content"][0]["text"])

    session = session_id()
    answer, first = call(session)
    assert answer["mcpSessionId"] == session == first["session"], (answer, first)
    answer, second = call(mcp=session)
    assert answer["mcpSessionId"] == session and second["boot"] == first["boot"] and second["count"] == 2, (answer, second)


if __name__ == "__main__":
    main(dict(globals()))
