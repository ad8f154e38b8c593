# Short names of frequent commands.

# Run an experiment, or resume it.
sweep manifest *args:
    cargo run --release -- sweep {{manifest}} {{args}}

# Show the cells of an experiment and why each would run.
plan manifest *args:
    cargo run --release -- plan {{manifest}} {{args}}

# Write tables and figures of finished cells.
report manifest *args:
    cargo run --release -- report {{manifest}} {{args}}

# Run the notebook on the tables of an experiment, in a Python environment of its own.
notebook tables="results/tables/quickstart": python
    DTR_TABLES={{tables}} .venv/bin/python notebooks/analysis.py

# Test the report page in a browser and the notebook; installs Chromium by apt-get.
page-test: python
    command -v chromium > /dev/null || apt-get install --yes chromium
    DTR_PYTHON={{justfile_directory()}}/.venv/bin/python cargo test --release --test cli -- report_page

[private]
python:
    test -x .venv/bin/python || python3 -m venv .venv
    .venv/bin/pip install --quiet -r notebooks/requirements.txt -r tests/cli/requirements.txt

# Run the tests.
test *args:
    cargo test --release {{args}}

# Kill a sweep a hundred times, at random moments; takes minutes.
kill-test:
    cargo test --release --test cli -- --ignored --nocapture hundred_kills

# Read 200 streams at once from a server for a minute.
serve-test:
    cargo test --release --workspace --lib -- --ignored --nocapture two_hundred_streams

# Compare CUDA kernels with f64, and recorded decoding with forward passes; needs an NVIDIA GPU.
gpu-test:
    cargo test --release --features cuda -p dtr -p dtr-model -p dtr-ops --lib -- --test-threads 1 cuda batch_decoder:: gpu::

# Time dtr and PyTorch (with transformers and flash-linear-attention) on one GPU, for a base of this shape.
gpu-bench shape="llama-3.1-8b" python="python3":
    cargo run --release --features cuda -- bench device --device cuda:0 --shape {{shape}} > target/dtr.jsonl
    {{python}} bench/pytorch/benchmark.py --shape {{shape}} > target/pytorch.jsonl
    {{python}} bench/pytorch/compare.py target/dtr.jsonl target/pytorch.jsonl

# Compile all CUDA kernels for Ampere and Hopper; needs no GPU.
kernels: python
    .venv/bin/pip install --quiet -r tests/kernels/requirements.txt
    .venv/bin/python tests/kernels/compile.py

# Check the format, the lints, and the generated files.
check:
    cargo fmt --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    cargo run --release -- schema --check

# Check licences, sources and advisories of dependencies; needs cargo-deny.
deny:
    cargo deny check

# Fuzz a reader: manifest, record, archive, rows, parquet, weights, gguf, tokenizer or model; needs nightly Rust, cargo-fuzz.
fuzz target seconds="300":
    cargo +nightly fuzz run {{target}} -s none -- -max_total_time={{seconds}}

# Write the schemas of manifests and tables, and the generated chapters of the book.
schema:
    cargo run --release -- schema
