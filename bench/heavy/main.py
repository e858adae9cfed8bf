"""What an agent usually imports before it answers: boto3, pydantic and Strands, on http.server."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pydantic
import strands

client = boto3.client("bedrock-runtime", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")


class Question(pydantic.BaseModel):
    prompt: str


@strands.tool
def weather(city: str) -> str:
    """Says how the weather is."""
    return "fine"


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({"answer": Question.model_validate_json(body).prompt})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Agent).serve_forever()
