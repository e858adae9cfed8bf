"""An agent that does what a test asks for, and says what it saw. Standard library only.

POST /invocations with {"op": "..."}; anything that is not JSON comes back as it was sent.
"""

import array
import base64
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import ssl
import sys
import termios
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAT = "X-Amz-Bedrock-AgentCore-Identity-WAT"

BOOT = None  # tells one sandbox's memory from another's
lock = threading.Lock()
count = 0
busy_since = None
released = threading.Event()
disconnected = threading.Event()


def boot():
    """Begins a memory, at the start and in each clone."""
    global BOOT
    BOOT = uuid.uuid4().hex
    print(f"probe {BOOT} listens", flush=True)


try:
    from moorage_clone import on_clone
except ImportError:  # not on Moorage
    pass
else:
    on_clone(boot)


STARTED = time.time_ns()


def report(_):
    """Reports two spans as OpenTelemetry's libraries do: one that began as this program started, and one of now."""
    now = time.time_ns()
    spans = [
        {"traceId": os.urandom(16).hex(), "spanId": os.urandom(8).hex(), "name": name, "startTimeUnixNano": str(began), "endTimeUnixNano": str(now)}
        for name, began in (("began at the start", STARTED), ("began in the call", now))
    ]
    document = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    url = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
    with urllib.request.urlopen(urllib.request.Request(url, document, {"Content-Type": "application/json"})) as answer:
        return {"status": answer.status}


def state(_):
    return {"count": count, "boot": BOOT, "pid": os.getpid(), "version": os.environ.get("PROBE_VERSION", ""), "region": os.environ.get("AWS_REGION")}


def write(request):
    with open(request["path"], "w") as f:
        f.write(request["text"])
    return state(request)


def read(request):
    try:
        with open(request["path"]) as f:
            return {"text": f.read(), "boot": BOOT}
    except FileNotFoundError:
        return {"text": None, "boot": BOOT}


kept = {}  # in memory


def keep(request):
    """Keeps a text in memory, in files and in the environment."""
    kept["text"] = os.environ["KEPT"] = request["text"]
    for place in ("/tmp", os.path.expanduser("~"), "/mnt/data"):
        if os.path.isdir(place):
            with open(os.path.join(place, "kept"), "w") as f:
                f.write(request["text"])
    return show(request)


def show(_):
    """Whatever keep kept, wherever it is."""
    files = {}
    for place in ("/tmp", os.path.expanduser("~"), "/mnt/data"):
        for top, _, names in os.walk(place):
            files.update({os.path.join(top, n): open(os.path.join(top, n)).read() for n in names if n.startswith("kept")})
    return {"boot": BOOT, "memory": kept.get("text"), "environment": os.environ.get("KEPT"), "files": files}


def chance(_):
    return {"random": random.random(), "openssl": ssl.RAND_bytes(16).hex(), "uuid1": str(uuid.uuid1()), "uuid4": str(uuid.uuid4())}


def environment(_):
    return {"env": dict(os.environ), "cwd": os.getcwd(), "dockerenv": os.path.exists("/.dockerenv"), "python": sys.version}


def busy(request):
    global busy_since
    busy_since = time.time() if request["busy"] else None
    return state(request)


def release(_):
    released.set()
    return {"released": True}


def saw_disconnect(request):
    return {"disconnected": disconnected.wait(request.get("timeout", 20))}


def fetch(request):
    call = urllib.request.Request(request["url"], request.get("body", "").encode() or None, request.get("headers", {}), method=request.get("method", "GET"))
    try:
        with urllib.request.urlopen(call, timeout=5) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as e:
        return {"status": e.code, "body": e.read().decode()}
    except (OSError, http.client.HTTPException) as e:
        return {"status": 0, "body": repr(e)}


def pass_on(request, handed):
    """Calls another agent with a user's token, and says through whom by the token that this agent was handed."""
    url = os.environ["AWS_ENDPOINT_URL_BEDROCK_AGENTCORE"] + "/runtimes/" + urllib.parse.quote(request["to"], safe="") + "/invocations"
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Bearer " + request["bearer"],
        "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": str(uuid.uuid4()),
        WAT: request.get("token", handed),
    }
    call = urllib.request.Request(url, json.dumps(request["payload"]).encode(), headers)
    try:
        with urllib.request.urlopen(call, timeout=30) as answer:
            return {"status": answer.status, "body": json.load(answer)}
    except urllib.error.HTTPError as e:
        return {"status": e.code, "body": e.read().decode()}


def search(request):
    """Where a text is, in files and in the environments of processes; of several, "all", with the number of each. They come in parts, so
    that they are not here by being asked for."""
    texts = [("".join(parts)).encode() for parts in request.get("all") or [request["parts"]]]
    found = []

    def look(where, content):
        found.extend(f"{n}: {where}" if "all" in request else where for n, text in enumerate(texts) if text in content)

    for top, dirs, files in os.walk("/"):
        if top == "/":
            dirs[:] = [d for d in dirs if d not in ("proc", "sys", "dev")]
        for name in files:
            path = os.path.join(top, name)
            try:
                if os.path.isfile(path) and os.path.getsize(path) < 1 << 24:
                    look(path, open(path, "rb").read())
            except OSError:
                pass
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            look(f"the environment of {pid}", open(f"/proc/{pid}/environ", "rb").read())
        except OSError:
            pass
    return {"found": found}


def connect(request):
    try:
        socket.create_connection((request["host"], request["port"]), timeout=3).close()
        return {"connected": True}
    except OSError as e:
        return {"connected": False, "error": repr(e)}


def leave(request):
    print(request.get("words", "leaving"), file=sys.stderr, flush=True)
    os._exit(request["code"])


def ignore_sigterm(request):
    signals["ignore"] = True
    return state(request)


OPERATIONS = {f.__name__: f for f in (state, report, write, read, keep, show, environment, chance, busy, release, saw_disconnect, fetch, search, connect, leave, ignore_sigterm)}
signals = {"ignore": False}


def on_sigterm(*_):
    if not signals["ignore"]:
        os._exit(0)


class Probe(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path != "/ping":
            return self.answer(404, b"{}")
        status = {"status": "Healthy"} if busy_since is None else {"status": "HealthyBusy", "time_of_last_update": int(busy_since)}
        self.answer(200, json.dumps(status).encode())

    def do_POST(self):
        global count
        length = int(self.headers.get("Content-Length") or 0)
        content_type = self.headers.get("Content-Type")
        body = self.read_in_fits(length) if content_type == "application/x-late" else self.rfile.read(length)
        if content_type and "json" not in content_type:
            return self.answer(200, body, content_type)
        with lock:
            count += 1
        request = json.loads(body or b"{}")
        op = request.get("op", "state")
        if op == "echo":
            return self.reply({"headers": self.headers.items(), "path": self.path, "body": base64.b64encode(body).decode(), "count": count})
        if op == "status":
            print(request.get("words", "about to refuse"), file=sys.stderr, flush=True)
            return self.answer(request["code"], b'{"secret": "for the owner only"}')
        if op in ("stream", "hang"):
            return self.stream(op == "hang")
        if op == "blob":
            return self.answer(200, bytes(range(251)) * (request["size"] // 251), "application/octet-stream")
        if op == "handed":
            return self.reply({"token": self.headers.get(WAT)})
        if op == "pass_on":
            return self.reply(pass_on(request, self.headers.get(WAT)))
        self.reply(OPERATIONS[op](request))

    def read_in_fits(self, length):
        """Reads some megabytes as fast as they come and then nothing until no more arrive, again and
        again: every buffer on the way is empty at one time and full at another."""
        body = b""
        while len(body) < length:
            body += self.rfile.read(min(4_000_000, length - len(body)))
            self.await_standstill()
        return body

    def await_standstill(self):
        queued, waiting = -1, array.array("i", [0])
        while waiting[0] != queued:
            queued = waiting[0]
            time.sleep(0.1)
            fcntl.ioctl(self.connection, termios.FIONREAD, waiting)

    def stream(self, hang):
        """Three events; the second and third leave only after another call released them. A hang
        goes on until its reader is gone."""
        released.clear()
        disconnected.clear()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self.event({"n": 1, "at": time.time()})
            while hang:
                self.event({"n": 0})
                time.sleep(0.05)
            if not released.wait(30):
                return self.event({"error": "nobody read the first event"})
            self.event({"n": 2, "at": time.time()})
            self.event({"n": 3, "at": time.time()})
            self.chunk(b"")
        except OSError:
            disconnected.set()
            self.close_connection = True

    def event(self, document):
        self.chunk(f"data: {json.dumps(document)}\n\n".encode())

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def reply(self, document):
        self.answer(200, json.dumps(document).encode())

    def answer(self, status, data, content_type="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Agent-Secret", "for the owner only")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_sigterm)
    # A marker in session storage makes the next start of the session fail, which no trial start sees.
    if os.path.exists("/mnt/data/refuse-to-start"):
        print("Traceback: the storage is cursed", file=sys.stderr, flush=True)
        sys.exit(7)
    boot()
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PROBE_PORT", "8080"))), Probe).serve_forever()
