"""An A2A agent on the official Python SDK, for clients of A2A 0.3 and 1.0: counts, streams, fails."""

import os
import uuid

import uvicorn
from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_artifact_update_event, new_text_message, new_text_status_update_event
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

boot = uuid.uuid4().hex  # tells one sandbox's memory from another's
turns = 0


def renew():
    global boot
    boot = uuid.uuid4().hex


try:
    from moorage_clone import on_clone
except ImportError:  # not on Moorage
    pass
else:
    on_clone(renew)


class Executor(AgentExecutor):
    async def execute(self, context, event_queue):
        global turns
        turns += 1
        text = context.get_user_input()
        if text == "die":
            os._exit(3)
        if text != "stream":
            session = context.call_context.state["headers"]["x-amzn-bedrock-agentcore-runtime-session-id"]
            await event_queue.enqueue_event(new_text_message(f"{boot} {turns} {session}"))
            return
        task = new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        for word in ("one", "two", "three"):
            await event_queue.enqueue_event(new_text_artifact_update_event(task.id, task.context_id, word, word))
        await event_queue.enqueue_event(new_text_status_update_event(task.id, task.context_id, TaskState.TASK_STATE_COMPLETED, "done"))

    async def cancel(self, context, event_queue):
        raise NotImplementedError


card = AgentCard(
    name="compat", description="Counts.", version="1", capabilities=AgentCapabilities(streaming=True),
    default_input_modes=["text/plain"], default_output_modes=["text/plain"],
    supported_interfaces=[
        AgentInterface(url="http://127.0.0.1:9000/", protocol_binding="JSONRPC", protocol_version="1.0"),
        AgentInterface(url="http://127.0.0.1:9000/", protocol_binding="JSONRPC", protocol_version="0.3"),
        AgentInterface(url="http://127.0.0.1:9001/", protocol_binding="GRPC", protocol_version="1.0"),
    ],
    skills=[AgentSkill(id="count", name="Count", description="Counts turns.", tags=["count"])],
)
handler = DefaultRequestHandler(agent_executor=Executor(), task_store=InMemoryTaskStore(), agent_card=card)


async def ping(request):
    return JSONResponse({"status": "Healthy"})


if __name__ == "__main__":
    routes = create_agent_card_routes(card) + create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True) + [Route("/ping", ping)]
    uvicorn.run(Starlette(routes=routes), host="0.0.0.0", port=9000, log_level="warning")
