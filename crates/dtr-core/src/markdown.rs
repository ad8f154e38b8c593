//! Wraps long lines of generated Markdown.

/// The maximum number of characters of a line.
const MAX_COLUMNS: usize = 110;

/// Wraps the prose of a Markdown text at 110 columns.
///
/// Table rows, headings and HTML comments stay on one line. Inline code is never broken.
pub fn wrap_markdown(text: &str) -> String {
    let mut wrapped: String = text.lines().map(|line| wrap_line(line) + "\n").collect();
    if !text.ends_with('\n') {
        wrapped.pop();
    }
    wrapped
}

/// Wraps a line of prose. Returns any other line unchanged.
fn wrap_line(line: &str) -> String {
    if line.starts_with(['|', '#', '<']) || line.chars().count() <= MAX_COLUMNS {
        return line.to_owned();
    }
    let mut wrapped = String::new();
    let mut column = 0;
    for word in split_words(line) {
        let width = word.chars().count();
        let fits = column + 1 + width <= MAX_COLUMNS;
        if column > 0 && (fits || starts_block(&word)) {
            wrapped.push(' ');
            column += 1;
        } else if column > 0 {
            wrapped.push('\n');
            column = 0;
        }
        wrapped.push_str(&word);
        column += width;
    }
    wrapped
}

/// Splits a line at its spaces, except inside inline code.
fn split_words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_in_code = false;
    for word in line.split(' ') {
        match words.last_mut() {
            Some(last) if is_in_code => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
        is_in_code ^= word.matches('`').count() % 2 == 1;
    }
    words
}

/// Returns whether Markdown reads a line that begins with `word` as a heading, a list item, a quotation or a
/// table row.
fn starts_block(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(word, "-" | "+" | "*")
        || word.starts_with(['#', '>', '|'])
        || word.strip_suffix(['.', ')']).is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_and_tables_headings_and_code_are_not() {
        let row = format!("| {} |", "cell ".repeat(40));
        let heading = format!("## {}", "word ".repeat(40));
        let code = format!("`{}`", "code ".repeat(10));
        let text = format!("{heading}\n\n{}{code} - end\n\n{row}\n", "word ".repeat(20));
        let wrapped = wrap_markdown(&text);
        assert!(wrapped.contains(&row) && wrapped.contains(&heading) && wrapped.contains(&code));
        assert_eq!(wrapped.replace('\n', " "), text.replace('\n', " "));
        let is_prose = |line: &&str| !line.starts_with(['|', '#']);
        assert!(wrapped.lines().filter(is_prose).all(|line| line.len() <= MAX_COLUMNS));
        assert!(wrapped.lines().all(|line| !line.starts_with("- ")));
        assert_eq!(wrap_markdown(&wrapped), wrapped);
    }

    #[test]
    fn a_short_text_is_unchanged() {
        for text in ["", "a line", "a line\n", "one\n\ntwo\n"] {
            assert_eq!(wrap_markdown(text), text);
        }
    }
}
