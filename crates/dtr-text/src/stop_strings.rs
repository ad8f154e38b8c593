//! Ends a model's text at stop strings.

use std::sync::Arc;

/// The stop strings of a task. Empty strings are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopStrings(Arc<[String]>);

impl StopStrings {
    /// Creates the stop strings of a task. Their order can matter: see [`cut`](Self::cut).
    pub fn new<S: Into<String>>(strings: impl IntoIterator<Item = S>) -> Self {
        Self(strings.into_iter().map(Into::into).filter(|stop: &String| !stop.is_empty()).collect())
    }

    /// Cuts `text` at the stop strings, as lm-evaluation-harness does, and returns the remaining part. The
    /// stop strings apply one after the other. Each stop string cuts the remaining part at its first
    /// occurrence.
    ///
    /// The result is not always the text before the first occurrence of any stop string. A cut can split
    /// another stop string, which then no longer occurs in the remaining part:
    ///
    /// ```
    /// use dtr_text::stop_strings::StopStrings;
    ///
    /// assert_eq!(StopStrings::new(["bc", "ab"]).cut("abc"), "a");
    /// assert_eq!(StopStrings::new(["ab", "bc"]).cut("abc"), "");
    /// ```
    pub fn cut<'a>(&self, text: &'a str) -> &'a str {
        let cut_at = |text: &'a str, stop: &String| text.split(stop.as_str()).next().unwrap_or(text);
        self.0.iter().fold(text, cut_at)
    }

    /// Creates a matcher for one text, which the caller adds piece by piece.
    pub fn matcher(&self) -> StopMatcher {
        StopMatcher { stops: self.clone(), tail: String::new(), is_stopped: false }
    }

    /// Returns the length of the longest stop string, in bytes.
    fn max_len(&self) -> usize {
        self.0.iter().map(String::len).max().unwrap_or(0)
    }
}

/// Detects a stop string in the text of a model while the model generates the text.
///
/// The matcher reads text, not tokens. It therefore also finds a stop string that ends inside a token.
///
/// ```
/// use dtr_text::stop_strings::StopStrings;
///
/// let mut matcher = StopStrings::new(["\nQuestion:"]).matcher();
/// assert!(!matcher.push(" 18\n\nQuest"));
/// assert!(matcher.push("ion: A"));
/// ```
#[derive(Clone, Debug)]
pub struct StopMatcher {
    stops: StopStrings,
    /// The end of the text so far. It is shorter than the longest stop string.
    tail: String,
    is_stopped: bool,
}

impl StopMatcher {
    /// Adds the next piece of the text. Returns whether the text so far contains a stop string.
    ///
    /// A piece must contain only complete characters. The bytes of one character can belong to several
    /// tokens, so a caller must wait until all bytes of a character are generated.
    pub fn push(&mut self, piece: &str) -> bool {
        self.tail.push_str(piece);
        self.is_stopped |= self.stops.0.iter().any(|stop| self.tail.contains(stop.as_str()));
        let tail_len = self.stops.max_len().saturating_sub(1);
        let start = self.tail.ceil_char_boundary(self.tail.len().saturating_sub(tail_len));
        self.tail.drain(..start);
        self.is_stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_stop_string_cuts_what_the_stop_strings_before_it_left() {
        let stops = StopStrings::new(["", "Question:", "</s>", "<|im_end|>"]);
        assert_eq!(stops.cut(" 5</s> more Question: x"), " 5");
        assert_eq!(stops.cut(" 5 <|im_end|></s>"), " 5 ");
        assert_eq!(stops.cut("</s>"), "");
        assert_eq!(stops.cut(" no end <|im_"), " no end <|im_");
        assert_eq!(StopStrings::new(["", ""]).cut("text"), "text");
    }

    #[test]
    fn the_matcher_stops_at_the_piece_that_completes_a_stop_string() {
        let mut matcher = StopStrings::new(["END", "水曜日"]).matcher();
        let found: Vec<bool> =
            ["水曜", "E", "N", "E", "END one", "E"].map(|piece| matcher.push(piece)).into();
        assert_eq!(found, [false, false, false, false, true, true]);
        let mut matcher = StopStrings::new(["水曜日"]).matcher();
        assert_eq!(["a水", "曜", "日b"].map(|piece| matcher.push(piece)), [false, false, true]);
        assert!(!StopStrings::default().matcher().push("text"));
    }

    proptest! {
        #[test]
        fn the_matcher_stops_where_the_whole_text_first_contains_a_stop_string(
            stops in prop::collection::vec("[ab水]{0,3}", 0..4),
            pieces in prop::collection::vec("[ab水]{0,3}", 0..12),
        ) {
            let strings = StopStrings::new(stops.clone());
            let mut matcher = strings.matcher();
            let mut text = String::new();
            for piece in pieces {
                text += &piece;
                let is_stopped = stops.iter().any(|stop| !stop.is_empty() && text.contains(stop.as_str()));
                prop_assert_eq!(matcher.push(&piece), is_stopped);
                prop_assert_eq!(strings.cut(&text) != text, is_stopped);
                if is_stopped {
                    break;
                }
            }
        }
    }
}
