"""Calls the news desk on Strands by boto3, as its notebook does."""

import json

from harness import CONTEXT, data, main

STRANDS = CONTEXT["agents"]["strands_agent"]


def check_a_desk_of_agents_answers_boto3():
    answer = data.invoke_agent_runtime(
        agentRuntimeArn=STRANDS, runtimeSessionId=CONTEXT["session"], payload=json.dumps({"query": CONTEXT["facts"]}))
    assert answer["contentType"] == "application/json", answer["contentType"]
    article = json.loads(answer["response"].read())
    assert article.startswith("<final>") and article.endswith("</final>\n"), article
    for words in CONTEXT["words"]:
        assert words in article, f"{words!r} is missing from {article}"


main(globals())
