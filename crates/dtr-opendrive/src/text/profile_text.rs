//! Widths, offsets and heights as texts: values in centimetres at the ends of each cubic, and slopes.
//!
//! `350` is constant, `350~0` goes from 350 to 0 with level ends, and `350~0/-12/5` has the slopes -0.012 at
//! the start and 0.005 at the end. `350@1200:350~0` begins the second cubic at 1200 cm.

use std::fmt;

use super::quantize;
use crate::map::{Cubic, Profile};
use crate::{Error, Result};

/// The most pieces of one function.
const MOST_PIECES: usize = 64;

/// A piecewise cubic function in the units of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileText {
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: i64,
    values: [i64; 2],
    slopes: [i64; 2],
}

impl ProfileText {
    /// The text form of `profile` on `0..length` metres, with `base` metres subtracted from the values.
    pub fn of(profile: &Profile, length: f64, base: f64) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        for (index, cubic) in profile.pieces.iter().enumerate() {
            let end = profile.pieces.get(index + 1).map_or(length, |next| next.s.min(length));
            let span = (end - cubic.s).max(0.0);
            let start = if index == 0 { 0 } else { quantize(cubic.s, 100.0) };
            if pieces.last().is_some_and(|last| last.start >= start) {
                continue;
            }
            let value = |at: f64| quantize(cubic.value(at) - base, 100.0);
            let slope = |at: f64| quantize(cubic.slope(at), 1000.0);
            pieces.push(Piece {
                start,
                values: [value(0.0), value(span)],
                slopes: [slope(0.0), slope(span)],
            });
        }
        if pieces.is_empty() {
            pieces.push(Piece { start: 0, values: [0; 2], slopes: [0; 2] });
        }
        Self { pieces }
    }

    /// A constant in centimetres.
    pub fn constant(value: i64) -> Self {
        Self::ease(value, value)
    }

    /// A function from one value in centimetres to another, with level ends.
    pub fn ease(from: i64, to: i64) -> Self {
        Self { pieces: vec![Piece { start: 0, values: [from, to], slopes: [0; 2] }] }
    }

    /// Whether the function is 0 everywhere.
    pub fn is_zero(&self) -> bool {
        self.pieces.iter().all(|piece| piece.values == [0; 2] && piece.slopes == [0; 2])
    }

    /// Whether a value at the end of a piece is negative.
    pub fn is_negative(&self) -> bool {
        self.pieces.iter().any(|piece| piece.values.iter().any(|&value| value < 0))
    }

    /// The function on `0..length` metres, with `base` metres added to the values.
    pub fn profile(&self, length: f64, base: f64) -> Profile {
        let mut pieces = Vec::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            let start = piece.start as f64 / 100.0;
            if index > 0 && start >= length {
                break;
            }
            let end =
                self.pieces.get(index + 1).map_or(length, |next| (next.start as f64 / 100.0).min(length));
            let values = piece.values.map(|value| value as f64 / 100.0 + base);
            let slopes = piece.slopes.map(|slope| slope as f64 / 1000.0);
            let is_constant = piece.values[0] == piece.values[1] && piece.slopes == [0; 2];
            pieces.push(if is_constant || end - start < 1e-3 {
                Cubic { s: start, coefficients: [values[0], 0.0, 0.0, 0.0] }
            } else {
                Cubic::hermite(start, end - start, values, slopes)
            });
        }
        Profile { pieces }
    }

    /// Parses a text form.
    pub fn parse(text: &str) -> Result<Self> {
        let mut pieces: Vec<Piece> = Vec::new();
        for (index, part) in text.split('@').enumerate() {
            let (start, body) = if index == 0 {
                (0, part)
            } else {
                let (start, body) =
                    part.split_once(':').ok_or_else(|| Error::new(format!("`:` is missing in {part:?}")))?;
                (integer(start)?, body)
            };
            if pieces.len() >= MOST_PIECES || pieces.last().is_some_and(|last| last.start >= start) {
                return Err(Error::new(format!("the pieces of {text:?} are not in ascending order")));
            }
            pieces.push(parse_piece(start, body)?);
        }
        Ok(Self { pieces })
    }
}

fn parse_piece(start: i64, body: &str) -> Result<Piece> {
    let Some((first, rest)) = body.split_once('~') else {
        let value = integer(body)?;
        return Ok(Piece { start, values: [value; 2], slopes: [0; 2] });
    };
    let mut parts = rest.split('/');
    let last = integer(parts.next().unwrap_or(""))?;
    let slopes = match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => [0; 2],
        (Some(a), Some(b), None) => [integer(a)?, integer(b)?],
        _ => return Err(Error::new(format!("{body:?} needs two slopes"))),
    };
    Ok(Piece { start, values: [integer(first)?, last], slopes })
}

/// Parses an integer of at most 9 digits.
pub(super) fn integer(text: &str) -> Result<i64> {
    let value = (text.len() <= 10).then(|| text.parse::<i64>().ok()).flatten();
    value.ok_or_else(|| Error::new(format!("not a number of at most 9 digits: {text:?}")))
}

impl fmt::Display for ProfileText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Piece { start, values: [first, last], slopes }) in self.pieces.iter().enumerate() {
            if index > 0 {
                write!(formatter, "@{start}:")?;
            }
            write!(formatter, "{first}")?;
            if first != last || *slopes != [0; 2] {
                write!(formatter, "~{last}")?;
            }
            if *slopes != [0; 2] {
                write!(formatter, "/{}/{}", slopes[0], slopes[1])?;
            }
        }
        Ok(())
    }
}
