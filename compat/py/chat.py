"""OpenAI's own client on the door that speaks its form."""

import base64
import json
import os

import boto3
import openai
import requests

from harness import ENDPOINT, REGION, main

KEY = os.environ["AWS_ACCESS_KEY_ID"] + ":" + os.environ["AWS_SECRET_ACCESS_KEY"]
NOVA = "us.amazon.nova-lite-v1:0"
FACTS = "NeuraHealth Solutions announced MediScan. MediScan reached an accuracy of 94 percent in a trial of 12,000 patients."
LOOKUP = {"type": "function", "function": {
    "name": "lookup", "description": "Looks up facts.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}}
STEPS = {"role": "system", "content": "1. Call the lookup tool with the user's request.\n2. Answer with what it found."}
# The smallest image that is one: one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

client = openai.OpenAI(base_url=ENDPOINT + "/v1", api_key=KEY, max_retries=0)


def ask(*messages, **more):
    more.setdefault("model", NOVA)
    return client.chat.completions.create(messages=list(messages), **more)


def user(content):
    return {"role": "user", "content": content}


def check_an_answer_says_who_made_it_and_what_it_took():
    answer = ask({"role": "developer", "content": "You are a journalist."}, user(FACTS))
    choice = answer.choices[0]
    assert choice.finish_reason == "stop" and "94 percent" in choice.message.content, answer
    assert answer.model == NOVA and "built-in demo model" in answer.system_fingerprint, answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0, answer.usage


def check_a_stream_says_the_same():
    whole = ask(user(FACTS)).choices[0].message.content
    pieces = list(ask(user(FACTS), stream=True, stream_options={"include_usage": True}))
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == whole
    assert [p.choices[0].finish_reason for p in pieces if p.choices][-1] == "stop"
    assert pieces[-1].usage.completion_tokens > 0 and not pieces[-1].choices, pieces[-1]
    assert all(p.usage is None for p in ask(user(FACTS), stream=True)), "usage that nobody asked for"


def check_tools_are_used_and_their_results_read():
    first = ask(STEPS, user("Oslo"), tools=[LOOKUP])
    [call] = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls" and call.function.name == "lookup", first
    assert "Oslo" in json.loads(call.function.arguments)["query"], call
    last = ask(STEPS, user("Oslo"), first.choices[0].message.model_dump(exclude_none=True),
               {"role": "tool", "tool_call_id": call.id, "content": "Oslo has 700,000 inhabitants."}, tools=[LOOKUP])
    assert last.choices[0].finish_reason == "stop" and "700,000" in last.choices[0].message.content, last


def check_a_tool_streams():
    arguments, names = "", []
    for piece in ask(STEPS, user("Oslo"), tools=[LOOKUP], stream=True):
        for call in piece.choices[0].delta.tool_calls or []:
            arguments += call.function.arguments or ""
            names += [call.function.name] if call.function.name else []
    assert names == ["lookup"] and "Oslo" in json.loads(arguments)["query"], (names, arguments)


def check_images_come_in_the_request():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PIXEL}}
    assert base64.b64decode(PIXEL)
    assert ask(user([{"type": "text", "text": FACTS}, image])).choices[0].message.content
    try:
        ask(user([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]))
    except openai.BadRequestError as e:
        assert "not fetched" in e.body["message"], e.body
    else:
        raise AssertionError("an address elsewhere was taken")


def check_models_are_listed():
    assert [m.id for m in client.models.list() if m.id == "builtin"] == ["builtin"]
    assert client.models.retrieve(NOVA).id == NOVA


def refusal(kind, **more):
    try:
        ask(more.pop("message", user("hi")), **more)
    except kind as e:
        return e.body
    raise AssertionError(f"want {kind}")


def check_what_is_wrong_is_said():
    body = refusal(openai.NotFoundError, model="nobody-has-this")
    assert body["code"] == "model_not_found" and "moorage models" in body["message"], body
    broken = {"type": "function", "function": {"name": "x", "parameters": {"type": "array"}}}
    assert "schema" in refusal(openai.BadRequestError, tools=[broken])["message"]
    assert "role" in refusal(openai.BadRequestError, message={"role": "nobody", "content": "hi"})["message"]
    assert refusal(openai.BadRequestError, n=2)["code"] == "unsupported_value"
    refusal(openai.BadRequestError, message=user(7))
    assert "response_format" in refusal(openai.BadRequestError, response_format={"type": "json_object"})["message"]
    assert ask(user(FACTS), seed=3, user="me", parallel_tool_calls=False, response_format={"type": "text"}).choices
    stranger = openai.OpenAI(base_url=ENDPOINT + "/v1", api_key=os.environ["AWS_ACCESS_KEY_ID"] + ":no", max_retries=0)
    try:
        stranger.models.list()
    except openai.AuthenticationError as e:
        assert e.body["code"] == "invalid_api_key", e.body
    else:
        raise AssertionError("a wrong secret was taken")


def check_bedrock_takes_the_key_as_a_bearer_token():
    """By plain HTTP: AWS's clients send such a key over TLS only."""
    body = {"messages": [{"role": "user", "content": [{"text": FACTS}]}]}
    where = f"{ENDPOINT}/model/{NOVA.replace(':', '%3A')}/converse"
    answer = requests.post(where, json=body, headers={"Authorization": "Bearer " + KEY})
    assert answer.status_code == 200 and "94 percent" in answer.text, answer.text
    assert requests.post(where, json=body, headers={"Authorization": "Bearer nobody:no"}).status_code in (401, 403)


def check_policies_decide_which_models_a_user_asks():
    iam = boto3.client("iam")
    iam.create_user(UserName="chatter")
    key = iam.create_access_key(UserName="chatter")["AccessKey"]
    try:
        chatter = openai.OpenAI(base_url=ENDPOINT + "/v1", api_key=f"{key['AccessKeyId']}:{key['SecretAccessKey']}", max_retries=0)

        def told(model=NOVA, **more):
            try:
                return list(chatter.chat.completions.create(model=model, messages=[user(FACTS)], **more)) and "answered"
            except openai.PermissionDeniedError as e:
                return e.body["message"]

        nova = f"arn:aws:bedrock:{REGION}::foundation-model/{NOVA}"
        assert f"not authorized to perform: bedrock:InvokeModel on resource: {nova}" in told(), told()
        statement = {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": nova}
        iam.put_user_policy(UserName="chatter", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        assert told() == "answered"
        assert "bedrock:InvokeModelWithResponseStream" in told(stream=True)
        assert "not authorized" in told(model="builtin")
        try:
            chatter.models.list()
        except openai.PermissionDeniedError as e:
            assert "bedrock:ListFoundationModels" in e.body["message"], e.body
        else:
            raise AssertionError("models were listed")
    finally:
        iam.delete_access_key(UserName="chatter", AccessKeyId=key["AccessKeyId"])
        for name in iam.list_user_policies(UserName="chatter")["PolicyNames"]:
            iam.delete_user_policy(UserName="chatter", PolicyName=name)
        iam.delete_user(UserName="chatter")


if __name__ == "__main__":
    main(dict(globals()))
