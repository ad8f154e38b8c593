//! The `dtr` program.

fn main() {}
