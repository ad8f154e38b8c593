//! Shortens the long lines of a text file before an error shows the file.

use std::ops::Range;

/// The longest line that is shown in full, in bytes. Longer lines are cut to this length.
const MAX_LINE_BYTES: usize = 500;

/// The most bytes of a long line that are shown before the underlined span.
const BYTES_BEFORE: usize = 100;

/// Shortens the long lines of `source`. If `span` starts in a long line, that line keeps the part around
/// `span`. Other long lines keep their beginning. Returns the new text, and the position of the span in the
/// new text.
pub(super) fn shorten_lines(source: &str, span: Range<usize>) -> (String, Range<usize>) {
    if source.split('\n').all(|line| line.len() <= MAX_LINE_BYTES) {
        return (source.to_owned(), span);
    }
    let (mut text, mut new_span, mut line_start) = (String::new(), 0..0, 0);
    for line in source.split_inclusive('\n') {
        let is_long = line.len() > MAX_LINE_BYTES;
        let has_span = (line_start..=line_start + line.len()).contains(&span.start);
        let column = if has_span { span.start - line_start } else { 0 };
        let from = if is_long { line.floor_char_boundary(column.saturating_sub(BYTES_BEFORE)) } else { 0 };
        let to = if is_long { line.floor_char_boundary(from + MAX_LINE_BYTES) } else { line.len() };
        text.push_str(if from > 0 { "…" } else { "" });
        if has_span {
            let start = text.len() + column - from;
            new_span = start..start + span.len().min(to - column);
        }
        text.push_str(&line[from..to]);
        text.push_str(if to < line.len() { "…\n" } else { "" });
        line_start += line.len();
    }
    (text, new_span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_to_the_part_around_the_token() {
        let (short, long) = ("a = 1\nb = 2\n", "é".repeat(400));
        assert_eq!(shorten_lines(short, 6..7), (short.to_owned(), 6..7));
        let source = format!("{short}{long} here {long}\n{long}");
        let token = source.find("here").unwrap();
        let (text, span) = shorten_lines(&source, token..token + 4);
        assert_eq!(&text[span], "here");
        assert!(text.starts_with("a = 1\nb = 2\n…é") && text.lines().count() == 4);
        assert!(text.lines().all(|line| line.len() <= MAX_LINE_BYTES + 2 * "…".len()), "{text}");
        let (_, all) = shorten_lines(&source, 0..source.len());
        assert_eq!(all, 0..5 + 1);
        let end = source.len();
        let (text, span) = shorten_lines(&source, end..end);
        assert_eq!(span, text.len()..text.len());
    }
}
