"""The newsroom through boto3: its progress comes while it works, and the story last."""

import json
import uuid

import requests
from botocore.config import Config

from harness import CONTEXT, boto3, main

client = boto3.client("bedrock-agentcore", config=Config(read_timeout=120, retries={"total_max_attempts": 1}))


def events(payload):
    """The events of an answer, each as soon as it is there."""
    answer = client.invoke_agent_runtime(agentRuntimeArn=CONTEXT["arn"], runtimeSessionId=str(uuid.uuid4()), payload=json.dumps(payload))
    assert answer["contentType"].startswith("text/event-stream"), answer
    for line in answer["response"].iter_lines(chunk_size=1):  # a larger piece waits until it is full
        if line.startswith(b"data: "):
            yield json.loads(line[len(b"data: "):])


def check_progress_comes_while_it_works():
    told = []
    for event in events({"facts": CONTEXT["facts"], "stream": True}):
        told.append((event["agent"], event["message"]))
        if event["agent"] == "researchAgent" and "knows" in event["message"]:
            requests.post(CONTEXT["gate"] + "/open", timeout=10).raise_for_status()  # nobody writes before
    agents = [agent for agent, _ in told]
    assert list(dict.fromkeys(agents)) == ["interface_supervisor", "researchAgent", "articleWritingAgent", "articleReviewerAgent", "newsroom"], told
    assert ("researchAgent", "discards Veridian Oncology Trust: not_in_kb") in told, told
    story = event["story"]
    assert '"MediScan gives a radiologist a second pair of eyes," said Dr. Eliza Chen' in story["article"], story["article"]
    assert "Veridian" not in story["article"] and len(story["conflicts"]) == 1 and story["usage"]["inputTokens"] > 0, story


def check_what_is_no_request_is_said_in_the_stream_too():
    try:
        told = list(events({"facts": " ", "stream": True}))
    except client.exceptions.RuntimeClientError as e:
        assert "400" in str(e) or "no facts" in str(e), e
        return
    assert "no facts" in json.dumps(told), told


if __name__ == "__main__":
    main(dict(globals()))
