# An agent that shows what its random generators give, those of the modules too that its arguments
# name; and that can be made one that cannot be cloned.
import ctypes
import http.server
import json
import os
import random
import secrets
import sqlite3
import ssl
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid
from random import getrandbits as imported_by_name

# What was drawn before there are clones is in all of them. This is here to start the generators.
random.random(), ssl.RAND_bytes(1), uuid.uuid1(), tempfile.mktemp()
database = sqlite3.connect(":memory:", check_same_thread=False)
database.execute("select random()").fetchone()
tls = ssl.create_default_context()

threaded = ssl.RAND_bytes  # by a thread of its own below, since OpenSSL has a generator for each
work, results = threading.Semaphore(0), []


def worker():
    threaded(1)
    while True:
        work.acquire()
        results.append(threaded(16).hex())


children = []
threading.Thread(target=worker, daemon=True).start()


def in_thread():
    results.clear()
    work.release()
    while not results:
        time.sleep(0.001)
    return results[0]


def client_hello():
    # The first message of a TLS connection: what a server would see.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = tls.wrap_bio(incoming, outgoing, server_hostname="example.com")
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def key_share(hello):
    at = hello.rindex(b"\x00\x1d\x00\x20")  # X25519, 32 bytes
    return hello[at + 4:at + 36].hex()


def draw():
    hello = client_hello()
    values = {
        "random.random": random.random(),
        "random.getrandbits, imported by name": imported_by_name(128),
        "span id, as OpenTelemetry makes it": random.getrandbits(64),
        "ssl.RAND_bytes": ssl.RAND_bytes(16).hex(),
        "ssl.RAND_bytes in a thread": in_thread(),
        "TLS client random": hello[11:43].hex(),
        "TLS session id": hello[44:76].hex(),
        "TLS key share": key_share(hello),
        "secrets.token_hex": secrets.token_hex(16),
        "uuid.uuid4": str(uuid.uuid4()),
        "uuid.uuid1": str(uuid.uuid1()),
        "uuid.uuid1's node": uuid.uuid1().node,
        "tempfile": tempfile.mktemp(),
        "sqlite random": database.execute("select random()").fetchone()[0],
        "os.urandom": os.urandom(16).hex(),
    }
    if "numpy" in sys.modules:
        import numpy
        values["numpy.random"] = int(numpy.random.randint(1 << 62))
        values["numpy.random.random"] = numpy.random.random()
    if "psycopg2" in sys.modules:
        import moorage_clone
        for path in moorage_clone._named("libcrypto-", moorage_clone._libraries()):
            drawn = ctypes.create_string_buffer(16)
            ctypes.CDLL(path).RAND_bytes(drawn, 16)
            values["psycopg2's OpenSSL"] = drawn.raw.hex()
    if "cryptography" in sys.modules:
        from cryptography.hazmat.primitives.asymmetric import ec
        values["a key of cryptography"] = hex(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value)
    if "bson" in sys.modules:
        values["what an ObjectId has of its process"] = str(sys.modules["bson"].ObjectId())[8:18]
    if "opentelemetry.sdk.trace" in sys.modules:
        from opentelemetry.sdk.trace import RandomIdGenerator
        values["a trace id of OpenTelemetry"] = hex(RandomIdGenerator().generate_trace_id())
        values["a span id of OpenTelemetry"] = hex(RandomIdGenerator().generate_span_id())
    return values


def execute(code):
    # Runs code of the test; what it calls said is the answer.
    scope = {"children": children}
    exec(code, scope)
    return scope.get("said")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        answer = "ok"
        if path == "/draw":
            answer = draw()
        elif path == "/exec":
            answer = execute(urllib.parse.parse_qs(query)["code"][0])
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


for name in sys.argv[1:]:
    __import__(name)
draw()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
