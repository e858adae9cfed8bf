"""Anthropic's own client for Amazon Bedrock: InvokeModel and its stream, as it writes and reads them."""

import os

import anthropic

from harness import ENDPOINT, REGION, main

KEYS = {"aws_access_key": os.environ["AWS_ACCESS_KEY_ID"], "aws_secret_key": os.environ["AWS_SECRET_ACCESS_KEY"], "aws_region": REGION}
client = anthropic.AnthropicBedrock(base_url=ENDPOINT, max_retries=0, **KEYS)
CLAUDE = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
FACTS = [{"role": "user", "content": "NeuraHealth Solutions announced MediScan. It reached an accuracy of 94 percent."}]
LOOKUP = {"name": "lookup", "description": "Looks up facts.", "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}
STEPS = "1. Call the lookup tool with the user's request.\n2. Answer with what it found."
OSLO = {"role": "user", "content": "Oslo"}


def ask(call=client.messages.create, **more):
    return call(**{"model": CLAUDE, "max_tokens": 500, "messages": FACTS, **more})


def check_an_answer_says_who_made_it_and_what_it_took():
    answer = ask(system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}])
    assert "94 percent" in answer.content[0].text and answer.model == "built-in demo model", answer
    assert answer.stop_reason == "end_turn" and answer.usage.input_tokens > 0 < answer.usage.output_tokens, answer


def check_a_stream_says_the_same():
    with ask(client.messages.stream) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    whole = ask()
    assert text == whole.content[0].text and last.usage.output_tokens == whole.usage.output_tokens and last.stop_reason == "end_turn", last


def check_tools_are_used_and_their_results_read():
    first = ask(system=STEPS, messages=[OSLO], tools=[LOOKUP])
    with ask(client.messages.stream, system=STEPS, messages=[OSLO], tools=[LOOKUP]) as stream:
        streamed = stream.get_final_message()
    [use], [same] = first.content, streamed.content
    assert first.stop_reason == streamed.stop_reason == "tool_use" and use.name == same.name == "lookup" and use.input == same.input, (first, streamed)
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "Oslo has 700,000 inhabitants."}
    last = ask(system=STEPS, tools=[LOOKUP], messages=[OSLO, {"role": "assistant", "content": [use.model_dump()]}, {"role": "user", "content": [result]}])
    assert last.stop_reason == "end_turn" and "700,000" in last.content[0].text, last


def check_thinking_and_features_in_test_are_taken():
    assert ask(max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}).content
    assert ask(client.beta.messages.create, betas=["context-1m-2025-08-07"]).content


def refusal(kind, **more):
    try:
        ask(**more)
    except kind as e:
        return e.body["message"]
    raise AssertionError(f"{more} was answered")


def check_what_is_wrong_is_said():
    assert "moorage models route" in refusal(anthropic.NotFoundError, model="nobodys-model")
    assert "messages and max_tokens are required" in refusal(anthropic.BadRequestError, messages=[])
    assert "type object" in refusal(anthropic.BadRequestError, tools=[{"name": "x", "input_schema": {"type": "array"}}])
    assert "the model's maker runs itself" in refusal(anthropic.BadRequestError, tools=[{"type": "web_search_20250305", "name": "web_search"}])
    stranger = anthropic.AnthropicBedrock(base_url=ENDPOINT, max_retries=0, **{**KEYS, "aws_secret_key": "no"})
    try:
        ask(stranger.messages.create)
    except anthropic.PermissionDeniedError:
        return
    raise AssertionError("a wrong secret was taken")


if __name__ == "__main__":
    main(dict(globals()))
