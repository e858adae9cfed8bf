"""An agent that knows nothing of Moorage: it runs under OpenTelemetry, as on AWS."""

import json
import os
import sys

from bedrock_agentcore import BedrockAgentCoreApp
from opentelemetry import trace

app = BedrockAgentCoreApp()
tracer = trace.get_tracer("framework")


@app.entrypoint
def invoke(payload):
    with tracer.start_as_current_span("invoke_agent supervisor", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "supervisor"}):
        answer = chat(payload["prompt"])
        with tracer.start_as_current_span("execute_tool search", attributes={
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search",
            "gen_ai.tool.call.arguments": json.dumps({"query": payload["prompt"]}), "gen_ai.tool.call.result": json.dumps(["a result"]),
        }):
            print("searching for", payload["prompt"], flush=True)
    if payload.get("die"):
        print("I cannot go on", file=sys.stderr, flush=True)
        os._exit(3)
    return {"answer": answer}


def chat(prompt):
    with tracer.start_as_current_span("chat nova-pro", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "us.amazon.nova-pro-v1:0"}) as span:
        span.set_attribute("session.id", "somebody-elses-session-0123456789abcdef")
        span.add_event("gen_ai.user.message", {"content": json.dumps([{"text": prompt}])})
        span.add_event("gen_ai.choice", {"message": json.dumps([{"text": "good day"}]), "finish_reason": "end_turn"})
        span.set_attributes({"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 300})
        return "good day"


if __name__ == "__main__":
    app.run()
