//! A legend: entries side by side, as many rows as they need.

use super::canvas::{Canvas, Drawn, PLAIN, Point, text_width};
use super::style::TEXT;

/// Height of a row of a legend in pixels.
const ROW: i32 = 20;
/// Width of an entry's sample, and the room after an entry; in pixels.
const SAMPLE: i32 = 40;
const GAP: i32 = 22;

/// What draws an entry's sample: the middle of its place, and half its width.
type Sample<'a> = Box<dyn Fn(&Canvas, Point, i32) -> Drawn + 'a>;

/// Entries of a legend.
#[derive(Default)]
pub(super) struct Legend<'a> {
    entries: Vec<(String, Sample<'a>)>,
}

impl<'a> Legend<'a> {
    /// Adds an entry.
    pub(super) fn add(
        &mut self,
        label: impl Into<String>,
        sample: impl Fn(&Canvas, Point, i32) -> Drawn + 'a,
    ) {
        self.entries.push((label.into(), Box::new(sample)));
    }

    /// The height that the legend takes in a width, in pixels.
    pub(super) fn height(&self, width: i32) -> i32 {
        self.places(width).last().map_or(0, |(_, y)| y + ROW)
    }

    /// Draws the legend with its upper left corner at `at`.
    pub(super) fn draw(&self, canvas: &Canvas, at: Point, width: i32) -> Drawn {
        for ((label, sample), (x, y)) in self.entries.iter().zip(self.places(width)) {
            let (x, y) = (at.0 + x, at.1 + y + ROW / 2);
            sample(canvas, (x + SAMPLE / 2, y), SAMPLE / 2 - 4)?;
            canvas.text(label, (x + SAMPLE + 2, y), PLAIN)?;
        }
        Ok(())
    }

    fn places(&self, width: i32) -> Vec<Point> {
        let (mut x, mut y) = (0, 0);
        let place = |(label, _): &(String, Sample)| {
            let needed = SAMPLE + 2 + text_width(label, TEXT);
            if x > 0 && x + needed > width {
                (x, y) = (0, y + ROW);
            }
            let place = (x, y);
            x += needed + GAP;
            place
        };
        self.entries.iter().map(place).collect()
    }
}
