"""An agent on the AgentCore Python SDK: sync, streaming, an async task, and a WebSocket."""

import asyncio
import threading

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
turns = 0
finish = threading.Event()


@app.entrypoint
async def invoke(payload, context):
    global turns
    turns += 1
    op = payload.get("op", "answer")
    if op == "stream":
        return stream(payload.get("words", []))
    if op == "work":
        finish.clear()
        task = app.add_async_task("slow_work", {"why": "test"})
        threading.Thread(target=work, args=(task,), daemon=True).start()
        return {"task": task}
    if op == "finish":
        finish.set()
        return {"finished": True}
    if op == "fail":
        raise RuntimeError("the tool broke")
    return {"prompt": payload.get("prompt"), "turn": turns, "session": context.session_id}


async def stream(words):
    for word in words:
        yield {"word": word}
        await asyncio.sleep(0)


def work(task):
    finish.wait(60)
    app.complete_async_task(task)


@app.websocket
async def socket(websocket, context):
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_json({"echo": message, "session": context.session_id})


if __name__ == "__main__":
    app.run()
