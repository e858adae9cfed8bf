"""An A2A agent on the official Python SDK, driven by its client: contract §1.5, §2.1."""

import asyncio
import contextlib
import json
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.session
import httpx
from a2a.client import ClientConfig
from a2a.client.client_factory import create_client
from a2a.client.errors import A2AClientError
from a2a.helpers.proto_helpers import get_message_text, new_text_message
from a2a.types.a2a_pb2 import Role, SendMessageRequest, TaskState

from harness import ACCOUNT, CONTEXT, ENDPOINT, REGION, data, main, raw, refused, session_id, signed

ARN = CONTEXT["agents"]["a2a"]
PATH = f"/runtimes/{urllib.parse.quote(ARN, safe='')}/invocations"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


class SigV4(httpx.Auth):
    requires_request_body = True

    def auth_flow(self, request):
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("connection", "host", "accept-encoding", "user-agent")}
        signing = botocore.awsrequest.AWSRequest(method=request.method, url=str(request.url), data=request.content, headers=headers)
        botocore.auth.SigV4Auth(botocore.session.get_session().get_credentials(), "bedrock-agentcore", REGION).add_auth(signing)
        request.headers.update(dict(signing.headers))
        yield request


@contextlib.asynccontextmanager
async def connected(session, **more):
    async with httpx.AsyncClient(auth=SigV4(), headers={SESSION: session}, timeout=60) as http:
        client = await create_client(ENDPOINT + PATH, ClientConfig(httpx_client=http, **more))
        yield client


async def send(client, text):
    return [event async for event in client.send_message(SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER)))]


def check_client_finds_the_agent_by_its_card():
    async def go():
        session = session_id()
        for streaming in (False, True):
            async with connected(session, streaming=streaming) as client:
                events = await send(client, "hello")
                boot, turns, seen = get_message_text(events[-1].message).split()
                assert seen == session, (seen, session)
                assert turns == str(1 + streaming), turns

    asyncio.run(go())


def check_stream():
    async def go():
        async with connected(session_id()) as client:
            events = await send(client, "stream")
        words = [e.artifact_update.artifact.parts[0].text for e in events if e.HasField("artifact_update")]
        assert words == ["one", "two", "three"], events
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED, events

    asyncio.run(go())


def check_card_has_the_public_address():
    answer = data.get_agent_card(agentRuntimeArn=ARN, runtimeSessionId=session_id())
    card = answer["agentCard"]
    want = ENDPOINT + PATH + "/"
    assert [i["url"] for i in card["supportedInterfaces"]] == [want, want], card
    assert {i["protocolBinding"] for i in card["supportedInterfaces"]} == {"JSONRPC"} and card["name"] == "compat", card
    assert answer["runtimeSessionId"] and answer["statusCode"] == 200, answer
    short = signed("GET", f"/runtimes/{ARN.rpartition('/')[2]}/invocations/.well-known/agent-card.json?accountId={ACCOUNT}")
    assert f"accountId={ACCOUNT}" in short.json()["supportedInterfaces"][0]["url"], short.text
    with refused("ValidationException", 400, "HTTP"):
        data.get_agent_card(agentRuntimeArn=CONTEXT["probe"])
    with refused("ResourceNotFoundException", 404):
        data.get_agent_card(agentRuntimeArn=ARN, qualifier="nowhere")


def post(message, headers=None, query=""):
    body = json.dumps({"jsonrpc": "2.0", "id": "seven", **message}).encode()
    return signed("POST", PATH + "/" + query, {"Content-Type": "application/json", "A2A-Version": "1.0", **(headers or {})}, body)


def failed(answer, status, code):
    assert answer.status_code == status, (answer.status_code, answer.text)
    doc = answer.json()
    assert doc["jsonrpc"] == "2.0" and doc["id"] == "seven" and doc["error"]["code"] == code, doc
    return doc["error"]["message"]


def check_errors_have_http_codes():
    listing = {"method": "ListTasks", "params": {}}
    failed(post(listing, {SESSION: "short"}), 400, -32052)
    failed(post(listing, query="?qualifier=nowhere"), 404, -32051)
    message = {"role": "ROLE_USER", "messageId": "m", "parts": [{"text": "die"}]}
    said = failed(post({"method": "SendMessage", "params": {"message": message}}), 424, -32055)
    assert "status 3" in said, said
    answer = raw("POST", PATH, {}, b"{}")
    assert answer.status_code == 403 and "jsonrpc" not in answer.text, answer.text


def check_errors_of_the_agent_are_its_own():
    answer = post({"method": "NoSuchMethod"})
    assert answer.status_code == 200 and answer.json()["error"]["code"] == -32601, answer.text


def check_death_in_a_stream():
    async def go():
        async with connected(session_id()) as client:
            try:
                events = await send(client, "die")
            except A2AClientError as e:
                assert "424" in str(e), e  # the SDK shows nothing of the body
                return
            raise AssertionError(events)

    asyncio.run(go())


if __name__ == "__main__":
    main(dict(globals()))
