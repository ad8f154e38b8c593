# The same commands as the README's, by short names.

# Do an experiment, or what is left of it.
sweep manifest *args:
    cargo run --release -- sweep {{manifest}} {{args}}

# Show an experiment's cells and why each would run.
plan manifest *args:
    cargo run --release -- plan {{manifest}} {{args}}

# Write tables and figures from what is done.
report manifest *args:
    cargo run --release -- report {{manifest}} {{args}}

# Run the tests.
test *args:
    cargo test --release {{args}}

# What CI checks besides the tests.
check:
    cargo fmt --check
    cargo clippy --release --all-targets -- -D warnings
    cargo run --release -- schema --check

# Write the schemas of manifests and tables.
schema:
    cargo run --release -- schema
