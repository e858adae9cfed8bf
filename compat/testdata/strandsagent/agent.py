"""A news desk on Strands, as people build it for the cloud: a supervisor whose tools are agents, and a knowledge
base. Nothing in it knows of Moorage. Its details are awkward on purpose: STS is asked at import, a region is written
down, another comes of AWS_DEFAULT_REGION, clients are made that nobody uses, prompts misspell the tools, a setting
does not exist, and what the knowledge base is asked is longer than its model lets a question be.
"""

import os

import boto3
from bedrock_agentcore.runtime import BedrockAgentCoreApp
from strands import Agent, tool
from strands.models import BedrockModel
from strands_tools import retrieve  # noqa: F401

app = BedrockAgentCoreApp()

session = boto3.Session()
region = session.region_name
account = boto3.client("sts").get_caller_identity()["Account"]
s3 = boto3.client("s3")
bedrock = boto3.client("bedrock-runtime")
kb_id = os.environ["KNOWLEDGE_BASE_ID"]

SUPERVISOR = """You are the supervisor of a news desk. You coordinate its agents and do none of their work.

Your agents:
- reseachAgent: looks up who and what the news facts are about
- articleWritingAgent: writes the article
- articleReviewAgent: reviews the article

Workflow:
1. Pass the news facts to the reseachAgent, exactly as you received them.
2. Pass everything that it returns to the articleWritingAgent.
3. Pass the article to the reviewerAgent.
4. Pass the review and the article back to the articleWritingAgent. Do not iterate writing and review more than 1 time.
5. Return the last article, and only that, in a <final> tag.

If an agent reports an error, return the error as it is. Never edit what an agent returned."""

EXTRACTOR = """You extract entities from news facts. Find every PERSON, ORGANIZATION and PRODUCT.

Output a markdown list under the heading "Entities". Each item has:
- entity_id: a number
- text: the name as the facts spell it
- type: PERSON, ORGANIZATION or PRODUCT
- subtype: a role or an industry
- confidence: 0.0 to 1.0

Then output the original facts under the heading "New Facts". Focus only on people and organizations.
Do not verify anything and do not invent anything."""

QUERY_WRITER = """You write the query with which a researcher asks a knowledge base. You receive entities and news facts.

The query must start with exactly these words:
"Research each of the entities below in your knowledge base. Answer in two parts. The first part has the heading
'Researched Entities' and lists every entity that you found, by its name, its type and what you know of it, each
statement in a bullet of its own that starts with 'research:'. Prefer statements about positions, employers, products,
filings and dates, and give them as the sources do. Do not repeat a statement. Do not add what the sources do not say,
and do not judge. If an entity isn't found in your knowledge base, discard it: leave it out of the list, and do not say
that it was left out. If two sources disagree, give both statements. The second part has the heading 'New Facts' and
repeats the news facts, unchanged. Output nothing before the first heading, and nothing after the news facts."

After these words add the entities and the news facts, as you received them."""

WRITER = """You are a journalist. Write a news article from the research and the news facts: a headline and a body of
about 800 words, as an inverted pyramid. Use only what you are given, and never make up quotes. If there is a review,
follow it. Output the article inside an <article> tag, and nothing else.

Example:
<article>
# Headline

An opening paragraph with the news. A body of about 200 words.
</article>"""

REVIEWER = """You review news articles for clarity and accuracy. Look for sentences of more than 40 words, for repetition
and for claims without support. For every issue give: why it is one, a suggestion, a rewrite, and a priority (critical,
important or minor). End with strengths, the 3 to 5 top improvements and an overall assessment."""


def model(model_id, **settings):
    return BedrockModel(model_id=model_id, **settings)


def said(result):
    return result.message["content"][0]["text"]


def extract_entities(news_facts):
    agent = Agent(system_prompt=EXTRACTOR, model=model("us.amazon.nova-lite-v1:0", temperature=1.0, max_tokens=2048), callback_handler=None)
    return said(agent(news_facts))


def create_research_query(entities):
    agent = Agent(system_prompt=QUERY_WRITER, model=model("us.amazon.nova-micro-v1:0", temperature=0.0, top_p=1.0, max_tokens=4096), callback_handler=None)
    return said(agent(entities))


@tool
def researchAgent(news_facts: str) -> str:
    """Researches the people, organizations and products in news facts.

    Args:
        news_facts: the news facts, unmodified
    """
    query = create_research_query(extract_entities(news_facts))
    print(f"researching with a query of {len(query)} characters", flush=True)
    owner = boto3.client("sts").get_caller_identity()["Account"]
    response = boto3.client("bedrock-agent-runtime", region_name=region).retrieve_and_generate(
        input={"text": query},
        retrieveAndGenerateConfiguration={
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {
                "knowledgeBaseId": kb_id,
                "modelArn": f"arn:aws:bedrock:us-east-1:{owner}:inference-profile/us.amazon.nova-micro-v1:0",
                "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 5, "overrideSearchType": "HYBRID"}},
            },
        },
    )
    return f"<research_results>{response['output']['text']}</research_results>"


@tool
def articleWritingAgent(query: str) -> str:
    """Writes or revises a news article.

    Args:
        query: the research and the news facts; or an article and its review
    """
    agent = Agent(system_prompt=WRITER, model=model("us.amazon.nova-pro-v1:0", temperature=0.5, top_p=1, top_k=1.0, max_tokens=4096), callback_handler=None)
    return said(agent(query))


@tool
def articleReviewerAgent(article_text: str) -> str:
    """Reviews a news article.

    Args:
        article_text: the article
    """
    agent = Agent(system_prompt=REVIEWER, model=model("us.amazon.nova-micro-v1:0", temperature=0.1, top_p=1, top_k=1.0, max_tokens=4096), callback_handler=None)
    return f"<review_feedback>{said(agent(article_text))}</review_feedback>"


@app.entrypoint
def interface_supervisor_agent(payload, context=None):
    print(f"account {account}, region {region}, session {context.session_id if context else None}", flush=True)
    supervisor = Agent(
        system_prompt=SUPERVISOR,
        model=model("us.anthropic.claude-3-5-haiku-20241022-v1:0", temperature=0.1, top_p=1.0, top_k=1.0, max_tokens=4096),
        tools=[researchAgent, articleWritingAgent, articleReviewerAgent],
        callback_handler=None,
    )
    return supervisor(payload["query"])


if __name__ == "__main__":
    app.run()
