//! Finds stop strings in a stream of text. The detector holds back text that may be the beginning of a stop
//! string.

/// A detector of stop strings, with the text that may be the beginning of a stop string.
pub struct StopStringDetector {
    strings: Vec<String>,
    held_back: String,
}

impl StopStringDetector {
    /// Creates a detector for `strings`. Empty strings are ignored.
    pub fn new(strings: &[String]) -> Self {
        let strings = strings.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { strings, held_back: String::new() }
    }

    /// Adds a piece of text. Returns the text that cannot be part of a stop string any more, and whether a
    /// stop string follows this text.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held_back += piece;
        let first = self.strings.iter().filter_map(|stop| self.held_back.find(stop.as_str())).min();
        if let Some(at) = first {
            let mut text = std::mem::take(&mut self.held_back);
            text.truncate(at);
            return (text, true);
        }
        let known = self.held_back.len() - self.partial_match_len();
        (self.held_back.drain(..known).collect(), false)
    }

    /// Returns the text that is still held back after the last piece.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held_back)
    }

    /// Returns the length in bytes of the longest suffix of `held_back` that is a prefix of a stop string.
    fn partial_match_len(&self) -> usize {
        let suffixes = self.held_back.char_indices().map(|(at, _)| &self.held_back[at..]);
        let mut matches = suffixes.filter(|suffix| self.strings.iter().any(|stop| stop.starts_with(suffix)));
        matches.next().map_or(0, str::len)
    }
}

/// Returns the part of `text` before the first stop string.
pub fn text_before_stop_strings<'a>(text: &'a str, stops: &[String]) -> &'a str {
    let stops = stops.iter().filter(|stop| !stop.is_empty());
    let first = stops.filter_map(|stop| text.find(stop.as_str())).min();
    &text[..first.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds `pieces` one by one. Returns the text of each call, and whether a stop string was found.
    fn push_all(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut stops =
            StopStringDetector::new(&stops.iter().map(|stop| (*stop).to_owned()).collect::<Vec<_>>());
        let mut texts = Vec::new();
        for piece in pieces {
            let (text, is_stopped) = stops.push(piece);
            texts.push(text);
            if is_stopped {
                return (texts, true);
            }
        }
        texts.push(stops.finish());
        (texts, false)
    }

    fn check(stops: &[&str], pieces: &[&str], expected: &[&str], is_stopped: bool) {
        let (text, ended) = push_all(stops, pieces);
        assert_eq!((text, ended), (expected.iter().map(|text| (*text).to_owned()).collect(), is_stopped));
    }

    #[test]
    fn a_stop_string_is_found_across_pieces() {
        check(&["END"], &["one END two"], &["one "], true);
        check(&["END"], &["one E", "N", "D two"], &["one ", "", ""], true);
        check(&["水曜"], &["a水", "曜b"], &["a", ""], true);
    }

    #[test]
    fn a_false_start_of_a_stop_string_is_returned() {
        check(&["END"], &["EN", "TRY"], &["", "ENTRY", ""], false);
        check(&["END"], &["one EN"], &["one ", "EN"], false);
        check(&["aab"], &["aa", "ab"], &["", "a"], true);
    }

    #[test]
    fn the_first_stop_string_in_the_text_ends_it() {
        check(&["two", "one"], &["zero one two"], &["zero "], true);
        check(&["", "x"], &["ab"], &["ab", ""], false);
        let stops = ["two", "one", ""].map(str::to_owned);
        assert_eq!(text_before_stop_strings("zero one two", &stops), "zero ");
        assert_eq!(text_before_stop_strings("zero", &stops), "zero");
    }
}
