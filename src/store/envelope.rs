//! The wrapping of a record: its body, and before it the body's digest.
//!
//! `{"digest":"<64 hex digits>",\n"body":{…}}\n`, byte for byte: JSON for every other reader, and
//! for this one a form in which no bit can change unnoticed. It stays as it is for as long as the
//! folder is `cells-v1`, so that a record of any format can be told from a damaged one.

use dtr_core::files::Digest;

const BEFORE_DIGEST: &str = "{\"digest\":\"";
const BEFORE_BODY: &str = "\",\n\"body\":";
const AFTER_BODY: &str = "}\n";

/// Wraps a body.
pub(super) fn seal(body: &str) -> String {
    let digest = Digest::hash(body.as_bytes());
    format!("{BEFORE_DIGEST}{digest}{BEFORE_BODY}{body}{AFTER_BODY}")
}

/// The body of what [`seal`] made, or what is wrong with it.
pub(super) fn open(sealed: &[u8]) -> Result<&str, String> {
    let (digest, body) = parts(sealed).ok_or("it is cut off or is not a record")?;
    let actual = Digest::hash(body.as_bytes()).to_string();
    if digest == actual { Ok(body) } else { Err(format!("its content has digest {actual}, not {digest}")) }
}

fn parts(sealed: &[u8]) -> Option<(&str, &str)> {
    let text = str::from_utf8(sealed).ok()?;
    let inside = text.strip_prefix(BEFORE_DIGEST)?.strip_suffix(AFTER_BODY)?;
    inside.split_once(BEFORE_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "{\"score\":0.5,\"note\":\"\",\n\"}";

    #[test]
    fn what_was_sealed_opens_and_is_json() {
        assert_eq!(open(seal("{\"a\":1}").as_bytes()), Ok("{\"a\":1}"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&seal("{\"a\":1}")).unwrap()["body"]["a"], 1);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealed = seal(BODY).into_bytes();
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&damaged).is_err(), "bit {bit} of {}", String::from_utf8_lossy(&damaged));
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let sealed = seal(BODY).into_bytes();
        assert!((0..sealed.len()).all(|end| open(&sealed[..end]).is_err()));
    }
}
