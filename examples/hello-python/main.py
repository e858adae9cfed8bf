"""A session that remembers: an agent on the standard library alone.

Every session runs in a sandbox of its own, so a plain variable is the session's memory.
POST /invocations with {"prompt": "..."}; {"stream": true} answers as server-sent events.
"""

import json
import os
import platform
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

turns = []


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/ping":
            self.answer(200, {"status": "Healthy"})
        else:
            self.answer(404, {"error": "not found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            request = json.loads(body or b"{}")
        except ValueError as e:
            return self.answer(400, {"error": "Invalid JSON", "details": str(e)})
        prompt = str(request.get("prompt", ""))
        turns.append(prompt)
        print(f"turn {len(turns)}: {prompt}", flush=True)
        if request.get("stream"):
            return self.stream(prompt)
        self.answer(200, {
            "answer": f"You said {prompt!r}. That was turn {len(turns)} of this session.",
            "session": self.headers.get("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"),
            "turns": turns,
            "kernel": platform.release(),
            "pid": os.getpid(),
        })

    def stream(self, prompt):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in f"You said {prompt!r}. That was turn {len(turns)}.".split():
            self.chunk(f"data: {json.dumps(word + ' ')}\n\n".encode())
            time.sleep(0.1)
        self.chunk(b"")

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def answer(self, status, document):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(6, 1, 1)  # TCP_NODELAY: small answers leave at once
        return connection, address


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8080"))
    print(f"hello-python on Python {platform.python_version()} listens on {port}", file=sys.stderr, flush=True)
    Server(("0.0.0.0", port), Agent).serve_forever()
