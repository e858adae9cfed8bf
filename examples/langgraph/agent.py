"""A harbour master's assistant on LangGraph: a graph of two nodes, the model and its tool."""

from bedrock_agentcore.runtime import BedrockAgentCoreApp
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import SystemMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

app = BedrockAgentCoreApp()
system = SystemMessage("You are a harbour master's assistant. Look up high water with the tide_table tool, and answer with what it says.")


@tool
def tide_table(harbour: str) -> str:
    """Says when it is high water in a harbour today."""
    return f"High water in {harbour} is at 04:12 and 16:38."


model = ChatBedrockConverse(model="us.amazon.nova-pro-v1:0").bind_tools([tide_table])


def ask(state):
    return {"messages": [model.invoke([system, *state["messages"]])]}


graph = StateGraph(MessagesState)
graph.add_node("ask", ask)
graph.add_node("tools", ToolNode([tide_table]))
graph.add_edge(START, "ask")
graph.add_conditional_edges("ask", tools_condition)
graph.add_edge("tools", "ask")
assistant = graph.compile()


@app.entrypoint
def invoke(payload):
    state = assistant.invoke({"messages": [("user", payload["prompt"])]})
    return {"answer": state["messages"][-1].text}


if __name__ == "__main__":
    app.run()
