"""Interactive shells through the client of the AgentCore Python SDK: contract §2.8."""

import asyncio
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.session
import websockets
import websockets.sync.client
from bedrock_agentcore.runtime import AgentCoreRuntimeClient, agent_core_runtime_client
from bedrock_agentcore.runtime.shell import session as shell_session
from bedrock_agentcore.runtime.shell.config import ReconnectConfig
from bedrock_agentcore.runtime.shell.protocol import ShellChannel
from websockets.exceptions import InvalidStatus

from harness import CONTEXT, ENDPOINT, REGION, invoke, main, session_id

ARN = CONTEXT["probe"]
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
SHELL = "X-Amzn-Bedrock-AgentCore-Shell-Id"
PATH = f"/runtimes/{urllib.parse.quote(ARN, safe='')}/ws/shells"

# The SDK connects to AWS's own names only, and with TLS: these two are what stands for them here.
agent_core_runtime_client.get_data_plane_endpoint = lambda region: ENDPOINT.replace("http://", "https://")


class Plain:
    exceptions = websockets.exceptions

    @staticmethod
    def connect(url, **more):
        return websockets.connect(url.replace("wss://", "ws://"), proxy=None, **more)


shell_session.websockets = Plain
client = AgentCoreRuntimeClient(REGION)


async def shown(shell, text):
    """Waits until the shell shows a text after what it was seen to show before."""
    seen = getattr(shell, "seen", "")
    while text not in seen:
        try:
            frame = await anext(shell)
        except StopAsyncIteration:
            raise AssertionError(f"{text!r} was never shown: {seen!r}") from None
        if frame.channel == ShellChannel.STDOUT:
            seen += frame.text
    shell.seen = seen.partition(text)[2]


def check_a_shell_in_the_agents_session():
    session = session_id()
    invoke(ARN, {"op": "write", "path": "/tmp/note", "text": "from the agent"}, session)

    async def go():
        async with client.open_shell(ARN, session_id=session) as shell:
            await shell.resize(101, 37)
            await shell.send("cat /tmp/note; echo; stty size || echo $LINES $COLUMNS\n")
            await shown(shell, "from the agent")
            await shown(shell, "37 101")
            await shell.send("sh -c 'echo be\"\"gun; exec sleep 100'\n")
            await shown(shell, "begun")  # a shell that has not started its program takes the interrupt for itself
            await shell.send("\x03")
            await shown(shell, "^C")
            await shown(shell, "bash-")  # the prompt
            await shell.send("echo stopped: $?\n")
            await shown(shell, "stopped: 130")
            await shell.send("exit 7\n")
            async for _ in shell:
                pass
            assert shell.exit_code == 7, shell.exit_code

    asyncio.run(asyncio.wait_for(go(), 60))


def check_reconnect():
    async def go():
        config = ReconnectConfig(max_retries=3, base_delay=0.05)
        async with client.open_shell(ARN, reconnect_config=config) as shell:
            await shell.send("place=here; echo re''ady\n")
            await shown(shell, "ready")
            shell._ws.transport.abort()  # a network that breaks
            await shown(shell, "ready")  # shown again, to whoever comes back
            await shell.send("echo still $place\n")
            await shown(shell, "still here")
            async with client.open_shell(ARN, session_id=shell.session_id, shell_id=shell.shell_id) as other:
                await other.send("echo still $place for another; exit\n")
                await shown(other, "still here for another")
                async for _ in shell:
                    pass
                assert shell.kicked
                async for _ in other:
                    pass
                assert other.exit_code == 0, other.exit_code

    asyncio.run(asyncio.wait_for(go(), 60))


def address(query):
    return ENDPOINT + PATH + "?" + urllib.parse.urlencode(query)


def check_signed_query():
    session = session_id()
    request = botocore.awsrequest.AWSRequest(method="GET", url=address({"shellId": "mine", SESSION: session}))
    botocore.auth.SigV4QueryAuth(botocore.session.get_session().get_credentials(), "bedrock-agentcore", REGION, expires=60).add_auth(request)
    with websockets.sync.client.connect(request.url.replace("http://", "ws://"), proxy=None) as socket:
        assert socket.response.headers[SHELL] == "mine" and socket.response.headers[SESSION] == session, socket.response.headers
        assert socket.recv()[0] == ShellChannel.STATUS


def check_refusals():
    url = address({"shellId": "mine"}).replace("http://", "ws://")
    for more in ({}, {"subprotocols": ["base64UrlBearerAuthorization.bm90IGEgdG9rZW4", "base64UrlBearerAuthorization"]}):
        try:
            websockets.sync.client.connect(url, proxy=None, **more)
            raise AssertionError(f"connected with {more}")
        except InvalidStatus as e:
            assert e.response.status_code in (401, 403), (e.response.status_code, e.response.body)


if __name__ == "__main__":
    main(dict(globals()))
