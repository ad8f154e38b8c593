//! Parses the text of a road. Every text gives a road's parts or an error with the reason.

use super::kinds::split_kind;
use super::profile_text::integer;
use super::{LaneText, LinkText, Piece, ProfileText, RoadText, SectionText};
use crate::map::Contact;
use crate::{Error, Result};

const MOST_BYTES: usize = 1 << 16;
const MOST_PIECES: usize = 256;
const MOST_SECTIONS: usize = 256;
const MOST_LANES: usize = 128;

impl RoadText {
    /// Parses the text of a road. Text after an empty line is ignored.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MOST_BYTES {
            return Err(Error::new("the text is longer than 64 KiB"));
        }
        let mut lines = text.trim().lines().map(str::trim).take_while(|line| !line.is_empty());
        let mut next =
            |what: &str| lines.next().ok_or_else(|| Error::new(format!("the line of {what} is missing")));
        let links = parse_links(next("links")?)?;
        let (start, pieces, end) = parse_plan(next("the reference line")?)?;
        let mut line = next("lanes")?;
        let (mut lane_offset, mut elevation) = (None, None);
        for (mark, target) in [('o', &mut lane_offset), ('e', &mut elevation)] {
            if let Some(profile) = line.strip_prefix(mark) {
                *target = Some(ProfileText::parse(profile)?);
                line = next("lanes")?;
            }
        }
        let sections = std::iter::once(line).chain(lines).take(MOST_SECTIONS + 1).map(parse_section);
        let sections: Vec<_> = sections.collect::<Result<_>>()?;
        if sections.len() > MOST_SECTIONS {
            return Err(Error::new(format!("the road has more than {MOST_SECTIONS} lane sections")));
        }
        if sections[0].s != 0 || sections.windows(2).any(|pair| pair[1].s <= pair[0].s) {
            return Err(Error::new("the lane sections do not begin at 0 and ascend"));
        }
        Ok(Self { links, start, end, pieces, lane_offset, elevation, sections })
    }
}

fn parse_links(line: &str) -> Result<[LinkText; 2]> {
    let link = |word: Option<&str>| match word {
        Some("rs") => Ok(LinkText::Road(Contact::Start)),
        Some("re") => Ok(LinkText::Road(Contact::End)),
        Some("j") => Ok(LinkText::Junction),
        _ => Err(Error::new(format!("not two links: {line:?}"))),
    };
    let mut words = line.split_whitespace();
    let links = [link(words.next())?, link(words.next())?];
    if words.next().is_some() { Err(Error::new(format!("not two links: {line:?}"))) } else { Ok(links) }
}

fn parse_plan(line: &str) -> Result<([i64; 3], Vec<Piece>, [i64; 3])> {
    let words: Vec<&str> = line.split_whitespace().take(MOST_PIECES + 3).collect();
    let (Some((first, rest)), true) = (words.split_first(), words.len() <= MOST_PIECES + 2) else {
        return Err(Error::new("the reference line has no or too many records"));
    };
    let Some((last, pieces)) = rest.split_last().filter(|(_, pieces)| !pieces.is_empty()) else {
        return Err(Error::new("the reference line has no record"));
    };
    let pieces = pieces.iter().map(|word| Piece::parse(word)).collect::<Result<_>>()?;
    Ok((parse_shift(first)?, pieces, parse_shift(last)?))
}

fn parse_shift(word: &str) -> Result<[i64; 3]> {
    let values: Vec<i64> = word.split(',').take(4).map(integer).collect::<Result<_>>()?;
    match *values.as_slice() {
        [t] => Ok([t, 0, 0]),
        [t, s, heading] => Ok([t, s, heading]),
        _ => Err(Error::new(format!("not a lateral shift: {word:?}"))),
    }
}

fn parse_section(line: &str) -> Result<SectionText> {
    let mut words = line.split_whitespace();
    let s = integer(words.next().unwrap_or(""))?;
    let words: Vec<&str> = words.take(MOST_LANES + 1).collect();
    if words.len() > MOST_LANES {
        return Err(Error::new(format!("a lane section has more than {MOST_LANES} lanes")));
    }
    let center = words.iter().position(|&word| word == "|");
    let center = center.ok_or_else(|| Error::new(format!("the centre lane `|` is missing: {line:?}")))?;
    let left = (1i32..).zip(words[..center].iter().rev()).map(|(id, word)| parse_lane(word, id));
    let mut left: Vec<_> = left.collect::<Result<_>>()?;
    left.reverse();
    let right = (1i32..).zip(&words[center + 1..]).map(|(index, word)| parse_lane(word, -index));
    Ok(SectionText { s, left, right: right.collect::<Result<_>>()? })
}

fn parse_lane(word: &str, id: i32) -> Result<LaneText> {
    let refuse = || Error::new(format!("not a lane: {word:?}"));
    let (kind, rest) = split_kind(word).ok_or_else(refuse)?;
    let end = rest.find(['<', '>']).unwrap_or(rest.len());
    let width = ProfileText::parse(&rest[..end])?;
    if width.is_negative() {
        return Err(Error::new(format!("a lane has a negative width: {word:?}")));
    }
    let (mut before, mut after) = (None, None);
    let mut rest = &rest[end..];
    while let Some(mark) = rest.chars().next() {
        let end = rest[1..].find(['<', '>']).map_or(rest.len(), |at| at + 1);
        let target = if mark == '<' { &mut before } else { &mut after };
        if target.replace(parse_ids(&rest[1..end], id)?).is_some() {
            return Err(refuse());
        }
        rest = &rest[end..];
    }
    Ok(LaneText {
        kind,
        width,
        predecessors: before.unwrap_or_default(),
        successors: after.unwrap_or_default(),
    })
}

fn parse_ids(text: &str, own: i32) -> Result<Vec<i32>> {
    if text.is_empty() {
        return Ok(vec![own]);
    }
    let id = |word| i32::try_from(integer(word)?).map_err(|_| Error::new(format!("not a lane id: {word:?}")));
    text.split(',').take(MOST_LANES).map(id).collect()
}
