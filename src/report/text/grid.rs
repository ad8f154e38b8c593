//! Text in columns.

/// Width of a terminal that every text fits.
pub(super) const WIDTH: usize = 80;
/// What parts columns.
const GAP: &str = "  ";

/// Rows of text in aligned columns: the first to the left, the others to the right; a rule under the first
/// row. Columns that find no room in [`WIDTH`] go to a further block, which repeats the first column.
pub(super) fn grid(rows: &[Vec<String>]) -> String {
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

/// The first column and as many from `next` on as there is room for, at least one.
fn columns_that_fit(widths: &[usize], next: usize) -> Vec<usize> {
    let mut shown = vec![0, next];
    let mut taken = widths[0] + GAP.len() + widths[next];
    for (column, width) in widths.iter().enumerate().skip(next + 1) {
        taken += GAP.len() + width;
        if taken > WIDTH {
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
    let text = shown.iter().map(cell).collect::<Vec<_>>().join(GAP);
    format!("{}\n", text.trim_end())
}

/// Words in lines of at most [`WIDTH`], each after the first begun with `indent`.
pub(super) fn wrapped(text: &str, indent: &str) -> String {
    let words = text.trim_start();
    let mut lines = vec![text[..text.len() - words.len()].to_owned()];
    for word in words.split(' ') {
        let last = lines.len() - 1;
        let is_begun = !lines[last].trim().is_empty();
        if is_begun && lines[last].chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{indent}{word}"));
        } else {
            let gap = if is_begun { " " } else { "" };
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
        let text = grid(&[row(&["task", "score"]), row(&["a", "7"]), row(&["bcdef", "12"])]);
        assert_eq!(text, "task   score\n-----  -----\na          7\nbcdef     12\n");
    }

    #[test]
    fn columns_without_room_go_to_another_block() {
        let wide = "x".repeat(36);
        let text = grid(&[row(&["a", &wide, &wide, &wide])]);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.matches("a  x").count(), 2);
        assert_eq!(text.matches(&wide).count(), 3);
    }

    #[test]
    fn words_wrap_at_the_width() {
        let text = wrapped(&format!(" {}", vec!["word"; 30].join(" ")), "  ");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.starts_with(" word word"), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("  word")), "{text}");
    }
}
