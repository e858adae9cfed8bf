"""An MCP server on the official Python SDK: tools, progress, a failure. STATEFUL=1 makes it keep sessions."""

import os
import uuid

from mcp.server.mcpserver import Context, MCPServer

mcp = MCPServer("compat")
boot = uuid.uuid4().hex  # tells one sandbox's memory from another's
counts = {}


def renew():
    global boot
    boot = uuid.uuid4().hex


try:
    from moorage_clone import on_clone
except ImportError:  # not on Moorage
    pass
else:
    on_clone(renew)


@mcp.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@mcp.tool()
def whoami(ctx: Context) -> dict:
    """Says which process answers, how often it did for this session, and what the platform told it."""
    headers = ctx.headers or {}
    session = headers.get("mcp-session-id", "")
    counts[session] = counts.get(session, 0) + 1
    return {"boot": boot, "session": session, "count": counts[session], "headers": dict(headers)}


@mcp.tool()
async def steps(n: int, ctx: Context) -> str:
    """Reports progress n times."""
    for i in range(n):
        await ctx.report_progress(i + 1, n)
    return f"{n} steps"


@mcp.tool()
def die() -> None:
    """Ends the process."""
    os._exit(3)


if __name__ == "__main__":
    mcp.run("streamable-http", host="0.0.0.0", port=8000, stateless_http=not os.environ.get("STATEFUL"))
