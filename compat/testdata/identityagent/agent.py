"""An agent that reaches other services with what the identity service gives it, by the SDK's decorators."""

import os

import boto3
from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.identity.auth import requires_access_token, requires_api_key
from bedrock_agentcore.runtime import BedrockAgentCoreContext
from botocore.exceptions import ClientError

app = BedrockAgentCoreApp()


@app.entrypoint
async def invoke(payload):
    try:
        return await OPS[payload["op"]](payload)
    except ClientError as e:
        return {"error": e.response["Error"]["Code"], "message": e.response["Error"]["Message"]}


async def token(_):
    """The workload access token, as tools find it."""
    return {
        "token": BedrockAgentCoreContext.get_workload_access_token(),
        "callback": BedrockAgentCoreContext.get_oauth2_callback_url(),
    }


async def key(payload):
    @requires_api_key(provider_name=payload["provider"])
    async def tool(*, api_key):
        return {"key": api_key}

    return await tool()


async def access(payload):
    """A token for another service. Of a user's consent it returns the address that the user has to visit."""
    asked = {}

    class Once:
        async def poll_for_token(self):
            return ""

    @requires_access_token(
        provider_name=payload["provider"],
        scopes=payload.get("scopes", []),
        auth_flow=payload["flow"],
        callback_url=payload.get("callback"),
        force_authentication=payload.get("force", False),
        custom_state=payload.get("state"),
        custom_parameters=payload.get("parameters"),
        on_auth_url=lambda url: asked.update(url=url),
        token_poller=Once() if payload.get("once") else None,
    )
    async def tool(*, access_token):
        return {"token": access_token, **asked}

    return await tool()


async def redeem(payload):
    """Asks for a key with a token that comes from elsewhere."""
    client = boto3.client("bedrock-agentcore")
    answer = client.get_resource_api_key(workloadIdentityToken=payload["token"], resourceCredentialProviderName=payload["provider"])
    return {"key": answer["apiKey"]}


async def mint(payload):
    """Asks for a token of an identity by its name."""
    return boto3.client("bedrock-agentcore").get_workload_access_token(workloadName=payload["name"])


async def environment(_):
    return dict(os.environ)


OPS = {f.__name__: f for f in (token, key, access, redeem, mint, environment)}


@app.websocket
async def socket(websocket, context):
    await websocket.accept()
    async for _ in websocket.iter_text():
        await websocket.send_json({name: websocket.headers.get(name) for name in ("workloadaccesstoken", "x-amz-bedrock-agentcore-identity-wat")})


if __name__ == "__main__":
    app.run()
