//! Formatting of tables and sentences for a terminal.

/// Maximum length of a line in characters.
pub(super) const TERMINAL_WIDTH: usize = 80;
const COLUMN_GAP: &str = "  ";

/// Formats rows of text as a table. The first row is the heading. The first column is left-aligned, and
/// all other columns are right-aligned. If the table is wider than [`TERMINAL_WIDTH`], the remaining columns
/// continue in further blocks below. Each block repeats the first column.
pub(super) fn format_table(rows: &[Vec<String>]) -> String {
    let num_columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..num_columns).map(|column| width_of(rows, column)).collect();
    let mut blocks = Vec::new();
    let mut next = 1;
    while next < num_columns {
        let shown = columns_that_fit(&widths, next);
        next = shown[shown.len() - 1] + 1;
        blocks.push(block(rows, &widths, &shown));
    }
    blocks.join("\n")
}

fn width_of(rows: &[Vec<String>], column: usize) -> usize {
    rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
}

/// Returns the indices of the columns of a block: the first column, the column `next`, and the following
/// columns that still fit.
fn columns_that_fit(widths: &[usize], next: usize) -> Vec<usize> {
    let mut shown = vec![0, next];
    let mut taken = widths[0] + COLUMN_GAP.len() + widths[next];
    for (column, width) in widths.iter().enumerate().skip(next + 1) {
        taken += COLUMN_GAP.len() + width;
        if taken > TERMINAL_WIDTH {
            break;
        }
        shown.push(column);
    }
    shown
}

fn block(rows: &[Vec<String>], widths: &[usize], shown: &[usize]) -> String {
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let lines = rows[..1].iter().chain([&rule]).chain(&rows[1..]);
    lines.map(|row| line(row, widths, shown)).collect()
}

fn line(row: &[String], widths: &[usize], shown: &[usize]) -> String {
    let cell = |column: &usize| {
        let (text, width) = (&row[*column], widths[*column]);
        if *column == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    let text = shown.iter().map(cell).collect::<Vec<_>>().join(COLUMN_GAP);
    format!("{}\n", text.trim_end())
}

/// Wraps words into lines of at most [`TERMINAL_WIDTH`] characters. All lines but the first begin with
/// `indent`.
pub(super) fn wrap_words(text: &str, indent: &str) -> String {
    let words = text.trim_start();
    let mut lines = vec![text[..text.len() - words.len()].to_owned()];
    for word in words.split(' ') {
        let last = lines.len() - 1;
        let has_text = !lines[last].trim().is_empty();
        if has_text && lines[last].chars().count() + 1 + word.chars().count() > TERMINAL_WIDTH {
            lines.push(format!("{indent}{word}"));
        } else {
            let gap = if has_text { " " } else { "" };
            lines[last].push_str(gap);
            lines[last].push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn columns_are_aligned_under_a_rule() {
        let text = format_table(&[row(&["task", "score"]), row(&["a", "7"]), row(&["bcdef", "12"])]);
        assert_eq!(text, "task   score\n-----  -----\na          7\nbcdef     12\n");
    }

    #[test]
    fn columns_that_do_not_fit_continue_in_another_block() {
        let wide = "x".repeat(36);
        let text = format_table(&[row(&["a", &wide, &wide, &wide])]);
        assert!(text.lines().all(|line| line.chars().count() <= TERMINAL_WIDTH), "{text}");
        assert_eq!(text.matches("a  x").count(), 2);
        assert_eq!(text.matches(&wide).count(), 3);
    }

    #[test]
    fn words_wrap_at_the_width() {
        let text = wrap_words(&format!(" {}", vec!["word"; 30].join(" ")), "  ");
        assert!(text.lines().all(|line| line.chars().count() <= TERMINAL_WIDTH), "{text}");
        assert!(text.starts_with(" word word"), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("  word")), "{text}");
    }
}
