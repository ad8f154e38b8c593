//! A checksum in front of a record's JSON.
//!
//! The format is `{"digest":"<64 hex digits>",\n"body":{…}}\n`, byte for byte. Any JSON reader can read this
//! format, and the digest detects every changed bit. All records in the folder `cells-v2` begin with this
//! checksum. Every version of the program can therefore tell a damaged record from a record of a newer
//! format.

use dtr_core::files::Digest;

const BEFORE_DIGEST: &str = "{\"digest\":\"";
const BEFORE_BODY: &str = "\",\n\"body\":";
const AFTER_BODY: &str = "}\n";

/// Returns the content of a record's file: `body`, with its digest in front.
pub(super) fn add_checksum(body: &str) -> String {
    let digest = Digest::hash(body.as_bytes());
    format!("{BEFORE_DIGEST}{digest}{BEFORE_BODY}{body}{AFTER_BODY}")
}

/// Checks the digest of a text that [`add_checksum`] made, and returns the body.
///
/// # Errors
/// Returns the reason if the text is cut off or is not a record, or if the digest does not match the body.
pub(super) fn verify_checksum(bytes: &[u8]) -> Result<&str, String> {
    let (digest, body) = split(bytes).ok_or("it is cut off or is not a record")?;
    let actual = Digest::hash(body.as_bytes()).to_string();
    if digest == actual { Ok(body) } else { Err(format!("its content has digest {actual}, not {digest}")) }
}

/// Splits the bytes of a file into digest and body.
fn split(bytes: &[u8]) -> Option<(&str, &str)> {
    let text = str::from_utf8(bytes).ok()?;
    let inside = text.strip_prefix(BEFORE_DIGEST)?.strip_suffix(AFTER_BODY)?;
    inside.split_once(BEFORE_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "{\"score\":0.5,\"note\":\"\",\n\"}";

    #[test]
    fn a_body_with_a_checksum_is_json_and_reads_back() {
        let text = add_checksum("{\"a\":1}");
        assert_eq!(verify_checksum(text.as_bytes()), Ok("{\"a\":1}"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["body"]["a"], 1);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let text = add_checksum(BODY).into_bytes();
        for bit in 0..text.len() * 8 {
            let mut damaged = text.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_checksum(&damaged).is_err(), "bit {bit} of {}", String::from_utf8_lossy(&damaged));
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let text = add_checksum(BODY).into_bytes();
        assert!((0..text.len()).all(|end| verify_checksum(&text[..end]).is_err()));
    }
}
