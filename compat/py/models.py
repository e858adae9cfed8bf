"""Models through boto3: Converse, its stream, InvokeModel in Anthropic's form, CountTokens, refusals."""

import json

import boto3
from botocore.exceptions import ClientError

from harness import ENDPOINT, REGION, main

models = boto3.client("bedrock-runtime", endpoint_url=ENDPOINT, region_name=REGION)
NOVA = "us.amazon.nova-pro-v1:0"
CLAUDE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-5-haiku-20241022-v1:0"
HELLO = [{"role": "user", "content": [{"text": "Hello there"}]}]


def tool(name, argument):
    schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"toolSpec": {"name": name, "description": name, "inputSchema": {"json": schema}}}


def collect(stream):
    """A streamed answer's message, as clients put it together, and why it ended."""
    blocks, reason, usage = {}, None, None
    for event in stream:
        (kind, value), = event.items()
        index = value.get("contentBlockIndex")
        if kind == "contentBlockStart":
            blocks[index] = {"toolUse": {**value["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta" and "text" in value["delta"]:
            blocks.setdefault(index, {"text": ""})["text"] += value["delta"]["text"]
        elif kind == "contentBlockDelta":
            blocks[index]["toolUse"]["input"] += value["delta"]["toolUse"]["input"]
        elif kind == "messageStop":
            reason = value["stopReason"]
        elif kind == "metadata":
            usage = value["usage"]
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return {"role": "assistant", "content": [blocks[i] for i in sorted(blocks)]}, reason, usage


def check_converse():
    answer = models.converse(modelId=NOVA, messages=HELLO)
    assert "built-in demo model" in answer["output"]["message"]["content"][0]["text"], answer
    assert answer["stopReason"] == "end_turn" and answer["usage"]["totalTokens"] > 10, answer


def check_stream_is_the_same():
    whole = models.converse(modelId=CLAUDE, messages=HELLO)
    message, reason, usage = collect(models.converse_stream(modelId=CLAUDE, messages=HELLO)["stream"])
    assert message == whole["output"]["message"] and reason == whole["stopReason"] and usage == whole["usage"], (message, whole)


def check_tools():
    tools = [tool("researchAgent", "news_facts"), tool("articleWritingAgent", "query")]
    system = [{"text": "1. Give the facts to reseachAgent.\n2. Give what it finds to articleWritingAgent.\nReturn the article in a <final> tag."}]
    messages, used = [{"role": "user", "content": [{"text": "Ada Lovelace joined Initech Solutions."}]}], []
    while True:
        stream = models.converse_stream(modelId=NOVA, messages=messages, system=system, toolConfig={"tools": tools})["stream"]
        message, reason, _ = collect(stream)
        messages.append(message)
        if reason != "tool_use":
            break
        use = message["content"][-1]["toolUse"]
        used.append(use["name"])
        result = {"toolUseId": use["toolUseId"], "content": [{"text": f"<article>{use['input']}</article>"}]}
        messages.append({"role": "user", "content": [{"toolResult": result}]})
        assert len(used) < 5, used
    assert used == ["researchAgent", "articleWritingAgent"], used
    assert message["content"][0]["text"].startswith("<final>"), message


def check_anthropic_form():
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello there"}]})
    whole = json.loads(models.invoke_model(modelId=CLAUDE, body=body)["body"].read())
    events = [json.loads(e["chunk"]["bytes"]) for e in models.invoke_model_with_response_stream(modelId=CLAUDE, body=body)["body"]]
    text = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
    assert whole["content"] == [{"type": "text", "text": text}] and "demo model" in text, (whole, events)
    assert [e["type"] for e in events][-1] == "message_stop" and events[0]["type"] == "message_start", events


def check_forms_of_other_makers_are_refused_by_name():
    asked = [{"role": "user", "content": [{"text": "Hello there"}]}]
    nova = {"schemaVersion": "messages-v1", "messages": asked, "inferenceConfig": {"maxTokens": 100}}
    for body in (nova, {"inputText": "Hello"}, {"prompt": "Hello", "max_gen_len": 100}, {"max_tokens": 9, "messages": [{"role": "user", "content": 7}]}, [], "x"):
        for call in (models.invoke_model, models.invoke_model_with_response_stream):
            for model in (NOVA, CLAUDE):
                try:
                    call(modelId=model, body=json.dumps(body))
                except ClientError as e:
                    told = e.response["Error"]
                    assert told["Code"] == "ValidationException" and ("Converse" in told["Message"] or "content is neither" in told["Message"]), told
                else:
                    raise AssertionError(f"{body} was answered by {model}")


def check_count_tokens():
    assert models.count_tokens(modelId=NOVA, input={"converse": {"messages": HELLO}})["inputTokens"] == 3


def refusal(call, **more):
    try:
        call(**{"modelId": NOVA, "messages": HELLO, **more})
    except ClientError as e:
        return e.response["Error"]["Code"], e.response["Error"]["Message"]
    raise AssertionError(f"{more} was answered")


def check_refusals():
    twice = {"tools": [tool("same", "a"), tool("same", "b")]}
    broken = {"tools": [{"toolSpec": {"name": "broken", "inputSchema": {"json": {"type": "string"}}}}]}
    for call in (models.converse, models.converse_stream):
        code, message = refusal(call, modelId="nobodys-model")
        assert code == "ResourceNotFoundException" and "moorage models route" in message, (code, message)
        for more, words in (
            ({"toolConfig": twice}, "two tools"),
            ({"toolConfig": broken}, "not a JSON schema of type object"),
            ({"messages": []}, "at least one message"),
        ):
            code, message = refusal(call, **more)
            assert code == "ValidationException" and words in message, (code, message)
    code, message = refusal(models.converse, guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1"})
    assert "guardrailConfig" in message, (code, message)
    for schema, words in (('{"type":"object"}', "outputConfig in Converse): this model's provider does not take json_schema"), ("{", "schema is not JSON")):
        output = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema, "name": "tides"}}}}
        code, message = refusal(models.converse, outputConfig=output)
        assert words in message, (code, message)
    assert models.converse(modelId=NOVA, messages=HELLO, outputConfig={"effort": "low"})["stopReason"] == "end_turn"


def check_documents_that_are_huge_binary_or_empty():
    def ask(content, form="txt"):
        document = {"document": {"format": form, "name": "keel", "source": {"bytes": content}}}
        return {"messages": [{"role": "user", "content": [{"text": "What does it say?"}, document]}]}

    def told(**asked):
        return models.converse(modelId=NOVA, **asked)["output"]["message"]["content"][0]["text"]

    assert "The keel is of oak." in told(**ask(b"The keel is of oak."))
    for form, content in (("txt", bytes(range(256))), ("pdf", b"%PDF-1.4")):
        assert "nor read documents other than plain text" in told(**ask(content, form)), (form, content)
    for content, words in ((b"", "length"), (b"The keel is of oak. " * 60_000, "Input is too long"), (b"x" * (20 << 20), "larger than")):
        code, message = refusal(models.converse, **ask(content))
        assert code == "ValidationException" and words in message, (code, message)


if __name__ == "__main__":
    main(dict(globals()))
