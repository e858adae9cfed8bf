"""llama.cpp's own HTTP server, on a model of random numbers that is made here: real tokens, real streams, no sense.

Prints the server's address, and serves until its standard input ends.
"""

import sys
import tempfile

import gguf
import numpy
import xllamacpp

WIDTH, LAYERS, HEADS, HIDDEN, CONTEXT = 64, 2, 4, 128, 512
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<assistant>"


def write(path):
    """A Llama whose tokens are single bytes."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    w = gguf.GGUFWriter(path, "llama")
    w.add_name("random")
    w.add_context_length(CONTEXT)
    w.add_embedding_length(WIDTH)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(HIDDEN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(HEADS)
    w.add_rope_dimension_count(WIDTH // HEADS)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(len(tokens))
    w.add_tokenizer_model("llama")
    w.add_token_list(tokens)
    w.add_token_scores([0.0] * len(tokens))
    w.add_token_types([gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.BYTE] * 256)
    w.add_unk_token_id(0)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_chat_template(TEMPLATE)
    random = numpy.random.default_rng(7)

    def tensor(name, *shape):
        w.add_tensor(name, random.normal(0, 0.1, shape).astype(numpy.float32))

    tensor("token_embd.weight", len(tokens), WIDTH)
    for i in range(LAYERS):
        w.add_tensor(f"blk.{i}.attn_norm.weight", numpy.ones(WIDTH, numpy.float32))
        w.add_tensor(f"blk.{i}.ffn_norm.weight", numpy.ones(WIDTH, numpy.float32))
        for name in ("q", "k", "v", "output"):
            tensor(f"blk.{i}.attn_{name}.weight", WIDTH, WIDTH)
        tensor(f"blk.{i}.ffn_gate.weight", HIDDEN, WIDTH)
        tensor(f"blk.{i}.ffn_up.weight", HIDDEN, WIDTH)
        tensor(f"blk.{i}.ffn_down.weight", WIDTH, HIDDEN)
    w.add_tensor("output_norm.weight", numpy.ones(WIDTH, numpy.float32))
    tensor("output.weight", len(tokens), WIDTH)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
    write(file.name)
    p = xllamacpp.CommonParams()
    p.model.path = file.name
    p.n_ctx, p.n_parallel, p.port, p.warmup, p.n_gpu_layers = CONTEXT, 1, 0, False, 0
    p.cpuparams.n_threads = 1
    server = xllamacpp.Server(p)
    print(server.listening_address, flush=True)
    sys.stdin.read()
