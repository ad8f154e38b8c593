//! The legend of a figure. Its entries are side by side, in as many rows as necessary.

use super::style::TEXT_SIZE;
use super::svg_canvas::{DrawResult, PLAIN_TEXT, Point, SvgCanvas, estimate_text_width};

/// Height of a row in pixels.
const ROW_HEIGHT: i32 = 20;
/// Width in pixels of the sample of a line or marker in an entry.
const SAMPLE_WIDTH: i32 = 40;
/// Gap between entries in pixels.
const ENTRY_GAP: i32 = 22;

/// Draws the sample of an entry. The arguments are the canvas, the sample's centre and half of its width.
type DrawSample<'a> = Box<dyn Fn(&SvgCanvas, Point, i32) -> DrawResult + 'a>;

#[derive(Default)]
pub(super) struct Legend<'a> {
    entries: Vec<(String, DrawSample<'a>)>,
}

impl<'a> Legend<'a> {
    /// Adds an entry. `sample` draws the sample of the entry's line or marker.
    pub(super) fn add_entry(
        &mut self,
        label: impl Into<String>,
        sample: impl Fn(&SvgCanvas, Point, i32) -> DrawResult + 'a,
    ) {
        self.entries.push((label.into(), Box::new(sample)));
    }

    /// Returns the height of the legend at the given width, in pixels.
    pub(super) fn height(&self, width: i32) -> i32 {
        self.positions(width).last().map_or(0, |(_, y)| y + ROW_HEIGHT)
    }

    /// Draws the legend with its upper left corner at `at`.
    pub(super) fn draw(&self, canvas: &SvgCanvas, at: Point, width: i32) -> DrawResult {
        for ((label, sample), (x, y)) in self.entries.iter().zip(self.positions(width)) {
            let (x, y) = (at.0 + x, at.1 + y + ROW_HEIGHT / 2);
            sample(canvas, (x + SAMPLE_WIDTH / 2, y), SAMPLE_WIDTH / 2 - 4)?;
            canvas.draw_text(label, (x + SAMPLE_WIDTH + 2, y), PLAIN_TEXT)?;
        }
        Ok(())
    }

    /// Returns the upper left corner of each entry, relative to the legend.
    fn positions(&self, width: i32) -> Vec<Point> {
        let (mut x, mut y) = (0, 0);
        let position = |(label, _): &(String, DrawSample)| {
            let needed = SAMPLE_WIDTH + 2 + estimate_text_width(label, TEXT_SIZE);
            if x > 0 && x + needed > width {
                (x, y) = (0, y + ROW_HEIGHT);
            }
            let position = (x, y);
            x += needed + ENTRY_GAP;
            position
        };
        self.entries.iter().map(position).collect()
    }
}
