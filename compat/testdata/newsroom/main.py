"""A newsroom of four agents on the standard library alone: a supervisor, a researcher, a writer and a reviewer.

It knows what a framework under OpenTelemetry reports, and reports the same: agents, turns of their loops, calls
of models and tools with what was said, and the plumbing of a web server. What the models say is written here.

    {"prompt": "..."}     the newsroom at work
    {"die": true}         last words, and the end of the process
    {"throttled": true}   a model that refuses
    {"hostile": true}     an answer full of markup
    {"spans": 10000}      one trace of so many spans, at once
    {"stream": true}      the answer as server-sent events
"""

import json
import os
import secrets
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

collector = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
pace = float(os.environ.get("PACE", "1"))  # how long a second is

hostile = """# Heading <script>fetch('/console/logout', {method: 'POST'})</script>
![beacon](https://evil.example/beacon.png) <img src=x onerror="document.title='owned'"> [click](javascript:document.title='owned')
<svg onload="document.title='owned'"><iframe src="https://evil.example"></iframe> \u202egnp.exe \x1b[31mred\x1b[0m \x00 """ + "unbroken" * 60


def value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    if isinstance(v, float):
        return {"doubleValue": v}
    return {"stringValue": v if isinstance(v, str) else json.dumps(v)}


def pairs(attributes):
    return [{"key": k, "value": value(v)} for k, v in attributes.items()]


def post(path, document):
    request = urllib.request.Request(collector + path, json.dumps(document).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).read()


class Tracer:
    """Reports the spans of one call, each as soon as it ended."""

    def __init__(self, traceparent):
        _, self.trace, parent, _ = (traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01").split("-")
        self.stack = threading.local()
        self.root = parent

    def send(self, spans):
        resource = {"attributes": pairs({"service.name": "newsroom", "telemetry.sdk.language": "python"})}
        post("/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "newsroom.framework", "version": "1.0"}, "spans": spans}]}]})

    def make(self, name, parent, start, end, attributes=(), kind=1):
        return {"traceId": self.trace, "spanId": secrets.token_hex(8), "parentSpanId": parent, "name": name, "kind": kind,
                "startTimeUnixNano": str(start), "endTimeUnixNano": str(end), "attributes": pairs(dict(attributes)), "events": []}

    @contextmanager
    def span(self, name, kind=1, parent=None, **attributes):
        above = parent or getattr(self.stack, "top", self.root)
        s = self.make(name, above, time.time_ns(), 0, {k.replace("__", "."): v for k, v in attributes.items()}, kind)
        self.stack.top, before = s["spanId"], getattr(self.stack, "top", None)
        try:
            yield s
        except Exception as e:
            s["status"] = {"code": 2, "message": f"{type(e).__name__}: {e}"}
            event(s, "exception", {"exception.type": type(e).__name__, "exception.message": str(e), "exception.stacktrace": f"Traceback (most recent call last):\n  File \"main.py\", line 1, in chat\n{type(e).__name__}: {e}"})
            raise
        finally:
            if before:
                self.stack.top = before
            else:
                del self.stack.top
            s["endTimeUnixNano"] = str(time.time_ns())
            self.send([s])

    def log(self, span, severity, message, **attributes):
        record = {"timeUnixNano": str(time.time_ns()), "severityText": severity, "body": {"stringValue": message},
                  "attributes": pairs(attributes), "traceId": self.trace, "spanId": span["spanId"]}
        post("/v1/logs", {"resourceLogs": [{"resource": {"attributes": pairs({"service.name": "newsroom"})}, "scopeLogs": [{"logRecords": [record]}]}]})


def event(span, name, attributes):
    span["events"].append({"name": name, "timeUnixNano": str(time.time_ns()), "attributes": pairs(attributes)})


def wait(seconds):
    time.sleep(seconds * pace)


class Newsroom:
    def __init__(self, tracer, tell):
        self.tracer, self.tell = tracer, tell

    def agent(self, name):
        return self.tracer.span(f"invoke_agent {name}", gen_ai__operation__name="invoke_agent", gen_ai__agent__name=name, gen_ai__system="strands-agents")

    def cycle(self, n):
        return self.tracer.span("execute_event_loop_cycle", event_loop__cycle_id=str(n), gen_ai__operation__name="execute_event_loop_cycle")

    def chat(self, model, system, user, answer, seconds, tokens, call=None):
        with self.tracer.span(f"chat {model}", 3, gen_ai__operation__name="chat", gen_ai__system="aws.bedrock", gen_ai__request__model=f"us.amazon.{model}-v1:0") as s:
            event(s, "gen_ai.system.message", {"content": json.dumps([{"text": system}])})
            event(s, "gen_ai.user.message", {"content": json.dumps([{"text": user}])})
            wait(seconds)
            content = [{"text": answer}] if answer else []
            if call:
                content.append({"toolUse": {"toolUseId": "tooluse_" + secrets.token_hex(6), "name": call[0], "input": call[1]}})
            event(s, "gen_ai.choice", {"message": json.dumps(content), "finish_reason": "tool_use" if call else "end_turn"})
            s["attributes"] += pairs({"gen_ai.usage.input_tokens": tokens[0], "gen_ai.usage.output_tokens": tokens[1], "gen_ai.server.time_to_first_token": int(seconds * pace * 300)})
            return answer

    @contextmanager
    def tool(self, name, arguments, result=None, parent=None):
        with self.tracer.span(f"execute_tool {name}", parent=parent, gen_ai__operation__name="execute_tool", gen_ai__tool__name=name,
                              gen_ai__tool__call__id="tooluse_" + secrets.token_hex(6), gen_ai__tool__call__arguments=json.dumps(arguments)) as s:
            yield s
            if result is not None:
                s["attributes"] += pairs({"gen_ai.tool.call.result": json.dumps(result)})

    def work(self, topic):
        with self.agent("supervisor"):
            with self.cycle(1):
                self.chat("nova-pro", "You run a newsroom. Research first, then write, then have it reviewed until it passes.", topic, "I will start with the research.", 0.4, (812, 64), ("researchAgent", {"topic": topic}))
                with self.tool("researchAgent", {"topic": topic}, {"findings": 7}):
                    findings = self.research(topic)
            with self.cycle(2):
                self.chat("nova-pro", "You run a newsroom.", findings, "Now the first draft.", 0.25, (1204, 48), ("articleWritingAgent", {"findings": findings[:80]}))
                with self.tool("articleWritingAgent", {"findings": findings}, {"draft": 1}):
                    draft = self.write(topic, findings, 1)
            for n in range(3):
                with self.cycle(3 + n):
                    self.chat("nova-pro", "You run a newsroom.", draft, "Is it good enough?", 0.15, (1630 + 200 * n, 31), ("articleReviewerAgent", {"draft": n + 1}))
                    with self.tool("articleReviewerAgent", {"draft": n + 1}, {"score": 6 + n, "comments": ["Say where the figures come from."]}):
                        self.review(draft, 6 + n)
                    if n < 2:
                        with self.tool("articleWritingAgent", {"comments": ["Say where the figures come from."]}, {"draft": n + 2}):
                            draft = self.write(topic, findings, n + 2)
            with self.cycle(6):
                return self.chat("nova-pro", "You run a newsroom.", "The review passed with 8 of 10.", draft, 0.5, (2104, 402))

    def research(self, topic):
        with self.agent("researchAgent") as me:
            self.chat("nova-lite", "You find facts.", topic, "", 0.3, (640, 88), ("retrieve", {"text": topic}))
            threads = [threading.Thread(target=self.look_up, args=(me["spanId"], name, arguments, seconds)) for name, arguments, seconds in [
                ("retrieve", {"knowledgeBaseId": "KB12345678", "text": topic, "numberOfResults": 5}, 0.45),
                ("web_search", {"query": topic, "since": "2026-01-01"}, 0.7),
                ("http_request", {"url": "https://api.example.com/filings?company=NeuraHealth"}, 0.35),
            ]]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            return self.chat("nova-lite", "You find facts.", "Five passages, three pages, one filing.", "NeuraHealth raised $50M in Series C. Its tests read retinas in 4 s with 94% sensitivity; two hospitals use them since March.", 0.4, (2210, 196))

    def look_up(self, parent, name, arguments, seconds):
        with self.tool(name, arguments, {"results": [{"title": "NeuraHealth raises Series C", "score": 0.87}, {"title": "Retina scans at the point of care", "score": 0.81}]}, parent) as s:
            self.tracer.log(s, "INFO", f"{name} asked for {json.dumps(arguments)}", tool=name)
            with self.tracer.span("GET", 3, http__request__method="GET", url__full="https://api.example.com/" + name, http__response__status_code=200):
                wait(seconds)

    def write(self, topic, findings, n):
        with self.agent("articleWritingAgent"):
            return self.chat("nova-pro", "You write news for doctors.", findings, f"Draft {n}. **NeuraHealth raises $50M to read retinas faster.** The company closed its Series C on Tuesday. Its scanner answers in 4 s; two hospitals have used it since March.", 0.6, (980, 341))

    def review(self, draft, score):
        with self.agent("articleReviewerAgent"):
            self.chat("nova-lite", "You are a strict editor. Score from 0 to 10.", draft, f"{score} of 10. Say where the figures come from.", 0.3, (700, 57))

    def throttled(self):
        with self.agent("supervisor"):
            for _ in range(3):
                try:
                    with self.tracer.span("chat nova-pro", 3, gen_ai__operation__name="chat", gen_ai__system="aws.bedrock", gen_ai__request__model="us.amazon.nova-pro-v1:0"):
                        wait(0.1)
                        raise RuntimeError("ThrottlingException: Too many tokens, please wait before trying again.")
                except RuntimeError:
                    wait(0.2)
            raise RuntimeError("ThrottlingException: Too many tokens, please wait before trying again.")

    def many(self, n):
        """Sends one trace of n spans, as deep and as noisy as real ones are."""
        t = self.tracer
        step = 40_000  # ns
        wait(n * step / 1e9 / pace)
        start = time.time_ns() - n * step
        root = t.make("invoke_agent marathon", t.root, start, start + n * step, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "marathon"})
        spans, chain = [root], [root]
        for i in range(1, n):
            at = start + i * step
            tool, model = i % 4 == 1, i % 4 == 3
            name = f"execute_tool step_{i % 17}" if tool else f"chat nova-lite" if model else f"step {i}"
            attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": f"step_{i % 17}"} if tool else {"gen_ai.operation.name": "chat", "gen_ai.request.model": "us.amazon.nova-lite-v1:0", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20} if model else {}
            chain = chain[: 1 + i % 6]
            s = t.make(name, chain[-1]["spanId"], at, at + step - 2000, attributes)
            chain.append(s)
            spans.append(s)
        for i in range(0, len(spans), 2000):
            t.send(spans[i:i + 2000])
        return f"{n} spans"

    def answer(self, asked):
        prompt = str(asked.get("prompt", ""))
        print(json.dumps({"level": "INFO", "message": "a turn begins", "prompt": prompt, "traceId": self.tracer.trace}), flush=True)
        print("\x1b[32mready\x1b[0m \x1b[1mto work\x1b[0m on \x1b[33m" + prompt[:40] + "\x1b[0m", flush=True)
        with self.tracer.span("POST /invocations", 2, http__request__method="POST", url__path="/invocations", http__response__status_code=200) as s:
            noise = [self.tracer.make("POST /invocations http receive" if i == 0 else "POST /invocations http send", s["spanId"], time.time_ns(), time.time_ns() + 20_000, {"asgi.event.type": "http.response.body"}) for i in range(int(asked.get("noise", 40)))]
            self.tracer.send(noise)
            if asked.get("die"):
                with self.agent("supervisor"):
                    self.chat("nova-pro", "You run a newsroom.", prompt, "Let me look at the archive.", 0.2, (512, 40))
                print("Traceback (most recent call last):\n  File \"main.py\", line 42, in look_up\n    row = archive[key]\nKeyError: 'retina-2026'", file=sys.stderr, flush=True)
                os._exit(3)
            if asked.get("throttled"):
                return self.throttled()
            if asked.get("hostile"):
                print(hostile, flush=True)
                with self.agent("<b>supervisor</b>"):
                    return self.chat("nova-pro", hostile, hostile, hostile, 0.05, (10, 10), ("<img src=x>", {"html": hostile}))
            if asked.get("spans"):
                return self.many(int(asked["spans"]))
            return self.work(prompt)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(200, {"status": "Healthy"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        room = Newsroom(Tracer(self.headers.get("traceparent")), print)
        try:
            answer = room.answer(asked)
        except Exception as e:
            return self.reply(500, {"error": str(e)})
        if not asked.get("stream"):
            return self.reply(200, {"answer": answer})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in answer.split(" "):
            self.chunk(f"data: {json.dumps(word + ' ')}\n\n".encode())
            wait(0.03)
        self.chunk(b"")

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def reply(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    print("the newsroom is open", flush=True)
    ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
