//! Texts that end an answer, also where they come in pieces: what could become one is held back.

/// The stop strings, and the text that may be the beginning of one.
pub struct Stops {
    strings: Vec<String>,
    held: String,
}

impl Stops {
    /// Stops at the first of `strings`; empty ones stop nothing.
    pub fn new(strings: &[String]) -> Self {
        let strings = strings.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { strings, held: String::new() }
    }

    /// Adds a piece; the text that can be told now, and whether a stop string ends it there.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held += piece;
        let first = self.strings.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            let mut text = std::mem::take(&mut self.held);
            text.truncate(at);
            return (text, true);
        }
        let told = self.held.len() - self.begun();
        (self.held.drain(..told).collect(), false)
    }

    /// What was held back in vain, when no more comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The length of the longest end of the text that a stop string begins with.
    fn begun(&self) -> usize {
        let ends = self.held.char_indices().map(|(at, _)| &self.held[at..]);
        let mut begun = ends.filter(|end| self.strings.iter().any(|stop| stop.starts_with(end)));
        begun.next().map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of `pieces` piece by piece, and whether a stop ended it.
    fn told(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut stops = Stops::new(&stops.iter().map(|stop| (*stop).to_owned()).collect::<Vec<_>>());
        let mut told = Vec::new();
        for piece in pieces {
            let (text, is_stopped) = stops.push(piece);
            told.push(text);
            if is_stopped {
                return (told, true);
            }
        }
        told.push(stops.finish());
        (told, false)
    }

    fn check(stops: &[&str], pieces: &[&str], expected: &[&str], is_stopped: bool) {
        let (text, ended) = told(stops, pieces);
        assert_eq!((text, ended), (expected.iter().map(|text| (*text).to_owned()).collect(), is_stopped));
    }

    #[test]
    fn a_stop_is_found_however_it_is_cut() {
        check(&["END"], &["one END two"], &["one "], true);
        check(&["END"], &["one E", "N", "D two"], &["one ", "", ""], true);
        check(&["水曜"], &["a水", "曜b"], &["a", ""], true);
    }

    #[test]
    fn what_began_like_a_stop_and_is_none_is_told() {
        check(&["END"], &["EN", "TRY"], &["", "ENTRY", ""], false);
        check(&["END"], &["one EN"], &["one ", "EN"], false);
        check(&["aab"], &["aa", "ab"], &["", "a"], true);
    }

    #[test]
    fn the_first_in_the_text_ends_it() {
        check(&["two", "one"], &["zero one two"], &["zero "], true);
        check(&["", "x"], &["ab"], &["ab", ""], false);
    }
}
