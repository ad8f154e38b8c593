//! Changes the body of a stored record, and updates its digest.

use std::fs;
use std::path::Path;

use dtr_core::files::Digest;

/// Replaces a text in the body of a record, gives the record a valid digest, and returns its new content.
pub fn rewrite_record(path: &Path, from: &str, to: &str) -> String {
    let original = fs::read_to_string(path).unwrap();
    let (_, body) = original.split_once("\n\"body\":").unwrap();
    let body = body.strip_suffix("}\n").unwrap();
    assert!(body.contains(from), "the body does not contain `{from}`");
    let body = body.replacen(from, to, 1);
    let digest = Digest::hash(body.as_bytes());
    let record = format!("{{\"digest\":\"{digest}\",\n\"body\":{body}}}\n");
    fs::write(path, &record).unwrap();
    record
}
