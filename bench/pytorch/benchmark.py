"""Times the operations of `dtr bench device` in PyTorch, transformers and flash-linear-attention.

    python bench/pytorch/benchmark.py --shape smollm2-135m > pytorch.jsonl

The script prints one JSON object per operation, with the operation names of `dtr bench device`. It leaves
out operations that a library does not support, and reports them on standard error.

None of these libraries offers block-wise distillation. The time of a distillation step is therefore a sum:
one forward pass of the teacher and, for every layer, one training step of the layer's block (forward, mean
squared error, backward, gradient clipping, fused AdamW).

The base model's forward pass and the training steps are timed both eagerly and as CUDA graphs. Decoding is
timed both with a dynamic cache and with a static cache under `torch.compile`. The faster time is reported.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
import transformers

DTYPE, DEVICE = torch.bfloat16, "cuda"
TIME = 512

# The model shapes of `src/bench/device`. A shape holds the number of layers, hidden size, MLP size, query
# heads, key/value heads, head size, vocabulary size, batch rows, and the pairs (batch rows, context tokens)
# for decoding.
SMALL_DECODING = [(1, 512), (16, 512), (128, 512)]
SHAPES = {
    "smollm2-135m": (30, 576, 1536, 9, 3, 64, 49152, 32, SMALL_DECODING),
    "qwen2.5-0.5b": (24, 896, 4864, 14, 2, 64, 151936, 32, SMALL_DECODING),
    "qwen2.5-1.5b": (28, 1536, 8960, 12, 2, 128, 151936, 32, SMALL_DECODING),
    "llama-3.1-8b": (
        32, 4096, 14336, 32, 8, 128, 128256, 16,
        [(1, 512), (1, 16384), (1, 65536), (16, 2048), (64, 2048), (128, 512)],
    ),
}


def select_shape(name, layers):
    global LAYERS, HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM, VOCAB, BATCH, DECODING
    LAYERS, HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM, VOCAB, BATCH, DECODING = SHAPES[name]
    LAYERS = layers or LAYERS


def median_seconds(repeats, run):
    """Returns the median time of `repeats` runs, in seconds, after two warm-up runs."""
    seconds = []
    for index in range(repeats + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        if index >= 2:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def report(operation, seconds):
    print(json.dumps({"operation": operation, "seconds": seconds}), flush=True)


def try_run(operation, function):
    """Returns the result of `function`, or None after an error, which is reported on standard error."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001: a library may raise anything
        print(f"{operation}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr, flush=True)
        return None


def record_graph(run):
    """Returns a function that replays `run` as a CUDA graph."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def fastest_seconds(operation, repeats, run):
    """Times `run` eagerly and as a CUDA graph. Returns the shorter time, or None if both fail."""
    eager = try_run(operation, lambda: median_seconds(repeats, run))
    graphed = try_run(f"{operation} as a CUDA graph", lambda: median_seconds(repeats, record_graph(run)))
    print(f"{operation}: eager {eager}, graph {graphed}", file=sys.stderr, flush=True)
    return min(filter(None, [eager, graphed]), default=None)


def random(*shape):
    return torch.randn(*shape, device=DEVICE, dtype=DTYPE)


def time_matmuls():
    rows = BATCH * TIME
    for inputs, outputs in [(4096, 4096), (4096, 1024), (4096, 14336), (14336, 4096)]:
        x, weight = random(1, rows, inputs), random(outputs, inputs)

        def forward():
            for _ in range(10):
                F.linear(x, weight)

        report(f"matmul {rows}x{inputs}x{outputs}", median_seconds(5, forward) / 10)
        x_grad, weight_grad = x.clone().requires_grad_(), weight.clone().requires_grad_()
        ones = torch.ones(1, rows, outputs, device=DEVICE, dtype=DTYPE)

        def forward_and_backward():
            for _ in range(10):
                x_grad.grad = weight_grad.grad = None
                F.linear(x_grad, weight_grad).backward(ones)

        seconds = median_seconds(5, forward_and_backward) / 10
        report(f"matmul with gradients {rows}x{inputs}x{outputs}", seconds)


def time_attention():
    for batch, length in [(8, 2048), (1, 8192), (1, 16384), (1, 65536)]:
        time_fastest_attention(f"prefill attention {batch}x{length}", batch, length, length, repeats=1)
    for batch, length in [(1, 65536), (8, 8192), (32, 4096), (128, 512)]:
        time_fastest_attention(f"decode attention {batch}x{length}", batch, 1, length, repeats=50)


def time_fastest_attention(operation, batch, queries, keys, repeats):
    """Reports the time of the faster of two attention backends of PyTorch: cuDNN and FlashAttention."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q = random(batch, HEADS, queries, HEAD_DIM)
    k, v = random(batch, KV_HEADS, keys, HEAD_DIM), random(batch, KV_HEADS, keys, HEAD_DIM)
    best = None
    for backend in [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION]:

        def run():
            with torch.no_grad(), sdpa_kernel(backend):
                for _ in range(repeats):
                    F.scaled_dot_product_attention(q, k, v, is_causal=queries > 1, enable_gqa=True)

        seconds = try_run(f"{operation} with {backend}", lambda: median_seconds(5, run))
        best = min(filter(None, [best, seconds]), default=None)
    if best:
        report(operation, best / repeats)


def create_decoder():
    config = transformers.LlamaConfig(
        hidden_size=HIDDEN, intermediate_size=INTERMEDIATE, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, vocab_size=VOCAB, max_position_embeddings=131072,
        tie_word_embeddings=HIDDEN < 4096,
    )
    config._attn_implementation = "sdpa"
    with torch.device(DEVICE):
        torch.set_default_dtype(DTYPE)
        model = transformers.LlamaForCausalLM(config).eval()
        torch.set_default_dtype(torch.float32)
    return model


def time_linear_attention(teacher_seconds):
    """Times GLA and Gated DeltaNet layers. `teacher_seconds` is the time of the teacher's forward pass."""
    from fla.layers import GatedDeltaNet, GatedLinearAttention

    make_block = {
        "gla": lambda: GatedLinearAttention(
            hidden_size=HIDDEN, num_heads=HEADS, num_kv_heads=KV_HEADS, expand_k=1, expand_v=1, mode="chunk"
        ),
        "gdn": lambda: GatedDeltaNet(
            hidden_size=HIDDEN, num_heads=HEADS, head_dim=HEAD_DIM, expand_v=1, mode="chunk"
        ),
    }
    x, target = random(BATCH, TIME, HIDDEN), random(BATCH, TIME, HIDDEN)
    for name, make in make_block.items():
        block = make().to(DEVICE, DTYPE)

        def forward():
            with torch.no_grad():
                for _ in range(10):
                    block(x)

        seconds = try_run(f"{name} forward", lambda: median_seconds(5, forward))
        if seconds:
            report(f"{name} forward {BATCH}x{TIME}", seconds / 10)
        optimizer = torch.optim.AdamW(block.parameters(), fused=True, capturable=True)

        def train_step():
            optimizer.zero_grad(set_to_none=True)
            F.mse_loss(block(x)[0], target).backward()
            torch.nn.utils.clip_grad_norm_(block.parameters(), 1.0, foreach=True)
            optimizer.step()

        seconds = fastest_seconds(f"{name} training step", 5, train_step)
        if seconds:
            report(f"{name} training step {BATCH}x{TIME}", seconds)
            report(f"{name} distillation step {BATCH}x{TIME}", teacher_seconds + LAYERS * seconds)


def time_decoding(model):
    for batch, context in DECODING:
        chunk = min(context, 2048) if batch == 1 else 512

        def run():
            cache = transformers.DynamicCache()
            with torch.no_grad():
                for _ in range(0, context, chunk):
                    ids = torch.ones(batch, chunk, dtype=torch.long, device=DEVICE)
                    model.model(ids, past_key_values=cache, use_cache=True)
                token = torch.ones(batch, 1, dtype=torch.long, device=DEVICE)

                def step():
                    logits = model(token, past_key_values=cache, use_cache=True).logits
                    logits[:, -1].argmax(-1)

                return median_seconds(8, step)

        eager = try_run(f"decode {batch}x{context}", run)
        compiled = try_run(f"compiled decode {batch}x{context}", lambda: compiled_seconds(model, batch, context))
        print(f"decode {batch}x{context}: eager {eager}, compiled {compiled}", file=sys.stderr, flush=True)
        seconds = min(filter(None, [eager, compiled]), default=None)
        if seconds:
            report(f"decode base {batch}x{context}", seconds)


def compiled_seconds(model, batch, context):
    """Returns the seconds of one decoding step with a static cache, compiled in mode `reduce-overhead`."""
    torch._dynamo.reset()
    cache = transformers.StaticCache(config=model.config, max_cache_len=context + 64)
    with torch.no_grad():
        prompt = torch.ones(batch, context, dtype=torch.long, device=DEVICE)
        model(prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token = torch.ones(batch, 1, dtype=torch.long, device=DEVICE)
        position = torch.tensor([context], device=DEVICE)

        def step(token, position):
            logits = model(
                token, past_key_values=cache, use_cache=True, cache_position=position,
                position_ids=position[None].expand(batch, 1),
            ).logits
            return logits[:, -1].argmax(-1)

        compiled = torch.compile(step, mode="reduce-overhead", fullgraph=False)
        for _ in range(4):
            compiled(token, position)
        return median_seconds(8, lambda: compiled(token, position))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="llama-3.1-8b", help="shape of the base model")
    parser.add_argument("--layers", type=int, help="number of layers (default: that of the shape)")
    arguments = parser.parse_args()
    select_shape(arguments.shape, arguments.layers)
    versions = [f"torch {torch.__version__}", f"transformers {transformers.__version__}"]
    fla = try_run("flash-linear-attention", lambda: __import__("fla"))
    versions += [f"fla {fla.__version__}"] if fla else []
    print(", ".join([*versions, torch.cuda.get_device_name()]), file=sys.stderr)
    if arguments.shape == "llama-3.1-8b":
        time_matmuls()
        time_attention()
    model = create_decoder()
    ids = torch.randint(0, VOCAB, (BATCH, TIME), device=DEVICE)
    with torch.no_grad():
        seconds = fastest_seconds("base forward", 5, lambda: model.model(ids, use_cache=False))
    report(f"base forward {BATCH}x{TIME}", seconds)
    if fla:
        time_linear_attention(seconds)
    time_decoding(model)


# PyTorch's compile workers import this module, and must not run it.
if __name__ == "__main__":
    main()
