//! One letter for each lane type of OpenDRIVE 1.1 to 1.8 (section 11.7, `e_laneType`).

/// Lane types and their letters. Other types are written in full, in braces.
const KINDS: [(&str, &str); 31] = [
    ("driving", "d"),
    ("none", "n"),
    ("shoulder", "h"),
    ("sidewalk", "w"),
    ("border", "b"),
    ("median", "m"),
    ("parking", "p"),
    ("biking", "k"),
    ("stop", "t"),
    ("restricted", "r"),
    ("bidirectional", "i"),
    ("curb", "c"),
    ("walking", "a"),
    ("entry", "y"),
    ("exit", "x"),
    ("onRamp", "u"),
    ("offRamp", "f"),
    ("connectingRamp", "q"),
    ("slipLane", "l"),
    ("shared", "s"),
    ("bus", "B"),
    ("taxi", "T"),
    ("HOV", "H"),
    ("rail", "R"),
    ("tram", "M"),
    ("roadWorks", "W"),
    ("special1", "X"),
    ("special2", "Y"),
    ("special3", "Z"),
    ("mwyEntry", "E"),
    ("mwyExit", "F"),
];

/// The letter of a lane type, or the type in braces.
pub fn kind_code(kind: &str) -> String {
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    known.map_or_else(
        || format!("{{{}}}", kind.replace(['{', '}', ' ', '\n'], "")),
        |(_, code)| (*code).to_owned(),
    )
}

/// Splits a lane type off the front of `text`.
pub(super) fn split_kind(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('{') {
        let (kind, rest) = rest.split_once('}')?;
        return (!kind.is_empty() && kind.len() <= 40).then(|| (kind.to_owned(), rest));
    }
    let letter = text.chars().next()?;
    let (kind, _) = KINDS.iter().find(|(_, code)| code.starts_with(letter))?;
    Some(((*kind).to_owned(), &text[letter.len_utf8()..]))
}
