"""What PyTorch, transformers and flash-linear-attention take for the work of `dtr bench device`, as the same lines of JSON.

    python bench/peers/pytorch.py --layers 32 > peers.jsonl

Work that a library refuses is told on standard error and left out. A distillation is made of its parts: one forward pass of the teacher, and for every layer
a training step of the block (forward, mean squared error, backward, fused AdamW), since no library has it.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
import transformers

ROWS, TIME = 16, 512
WIDTH, INNER, HEADS, GROUPS, DIM, VOCAB = 4096, 14336, 32, 8, 128, 128256
DTYPE, DEVICE = torch.bfloat16, "cuda"


def median(repeats, work):
    """The median seconds of `repeats` runs after two that do not count."""
    seconds = []
    for run in range(repeats + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if run >= 2:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def tell(work, seconds):
    print(json.dumps({"work": work, "seconds": seconds}), flush=True)


def attempt(work, function):
    """Runs `function`; what it refuses is told and left out."""
    try:
        return function()
    except Exception as cause:  # noqa: BLE001: whatever a library raises
        print(f"{work}: {type(cause).__name__}: {str(cause)[:200]}", file=sys.stderr, flush=True)
        return None


def random(*shape):
    return torch.randn(*shape, device=DEVICE, dtype=DTYPE)


def products():
    rows = ROWS * TIME
    for inputs, outputs in [(4096, 4096), (4096, 1024), (4096, 14336), (14336, 4096)]:
        x, weight = random(1, rows, inputs), random(outputs, inputs)

        def forward():
            for _ in range(10):
                F.linear(x, weight)

        tell(f"product {rows}x{inputs}x{outputs}", median(5, forward) / 10)
        x_, weight_ = x.clone().requires_grad_(), weight.clone().requires_grad_()
        ones = torch.ones(1, rows, outputs, device=DEVICE, dtype=DTYPE)

        def both():
            for _ in range(10):
                x_.grad = weight_.grad = None
                F.linear(x_, weight_).backward(ones)

        tell(f"product and gradients {rows}x{inputs}x{outputs}", median(5, both) / 10)


def attention():
    for batch, length in [(8, 2048), (1, 8192), (1, 16384), (1, 65536)]:
        attend(f"attention {batch}x{length}", batch, length, length, times=1)
    for batch, length in [(1, 65536), (8, 8192), (32, 4096), (128, 512)]:
        attend(f"attention of one token {batch}x{length}", batch, 1, length, times=50)


def attend(work, batch, queries, keys, times):
    """The fastest of PyTorch's backends."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q = random(batch, HEADS, queries, DIM)
    k, v = random(batch, GROUPS, keys, DIM), random(batch, GROUPS, keys, DIM)
    best = None
    for backend in [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION]:

        def run():
            with torch.no_grad(), sdpa_kernel(backend):
                for _ in range(times):
                    F.scaled_dot_product_attention(q, k, v, is_causal=queries > 1, enable_gqa=True)

        seconds = attempt(f"{work} by {backend}", lambda: median(5, run))
        best = min(filter(None, [best, seconds]), default=None)
    if best:
        tell(work, best / times)


def llama(layers):
    config = transformers.LlamaConfig(
        hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=layers, num_attention_heads=HEADS,
        num_key_value_heads=GROUPS, vocab_size=VOCAB, max_position_embeddings=131072, tie_word_embeddings=False,
    )
    config._attn_implementation = "sdpa"
    with torch.device(DEVICE):
        torch.set_default_dtype(DTYPE)
        model = transformers.LlamaForCausalLM(config).eval()
        torch.set_default_dtype(torch.float32)
    return model


def blocks(forward, layers):
    from fla.layers import GatedDeltaNet, GatedLinearAttention

    made = {
        "gla": lambda: GatedLinearAttention(
            hidden_size=WIDTH, num_heads=HEADS, num_kv_heads=GROUPS, expand_k=1, expand_v=1, mode="chunk"
        ),
        "gdn": lambda: GatedDeltaNet(hidden_size=WIDTH, num_heads=HEADS, head_dim=DIM, expand_v=1, mode="chunk"),
    }
    x, target = random(ROWS, TIME, WIDTH), random(ROWS, TIME, WIDTH)
    for name, make in made.items():
        block = make().to(DEVICE, DTYPE)

        def run():
            with torch.no_grad():
                for _ in range(10):
                    block(x)

        seconds = attempt(f"{name} forward", lambda: median(5, run))
        if seconds:
            tell(f"{name} forward {ROWS}x{TIME}", seconds / 10)
        optimizer = torch.optim.AdamW(block.parameters(), fused=True)

        def learn():
            optimizer.zero_grad(set_to_none=True)
            F.mse_loss(block(x)[0], target).backward()
            torch.nn.utils.clip_grad_norm_(block.parameters(), 1.0, foreach=True)
            optimizer.step()

        seconds = attempt(f"{name} training step", lambda: median(5, learn))
        if seconds:
            tell(f"{name} step {ROWS}x{TIME}", seconds)
            tell(f"{name} distillation {ROWS}x{TIME}", forward + layers * seconds)


def decoding(model):
    for batch, context in [(1, 512), (1, 16384), (1, 65536), (16, 2048), (64, 2048), (128, 512)]:
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

                return median(8, step)

        seconds = attempt(f"decode {batch}x{context}", run)
        if seconds:
            tell(f"decode base {batch}x{context}", seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=32)
    layers = parser.parse_args().layers
    versions = [f"torch {torch.__version__}", f"transformers {transformers.__version__}"]
    fla = attempt("flash-linear-attention", lambda: __import__("fla"))
    versions += [f"fla {fla.__version__}"] if fla else []
    print(", ".join([*versions, torch.cuda.get_device_name()]), file=sys.stderr)
    products()
    attention()
    model = llama(layers)
    ids = torch.randint(0, VOCAB, (ROWS, TIME), device=DEVICE)
    with torch.no_grad():
        forward = median(5, lambda: model.model(ids, use_cache=False))
    tell(f"forward {ROWS}x{TIME}", forward)
    if fla:
        blocks(forward, layers)
    decoding(model)


# Compilers' workers import this file again.
if __name__ == "__main__":
    main()
