//! The data that the template of the page needs to show a table.

use serde::Serialize;

use super::record_links::RecordLinks;
use super::values::{ColumnKind, DisplayedValue, display_values};
use crate::report::tables::Table;

/// The page shows all rows of a table with at most this many rows.
const MAX_ROWS: usize = 500;

/// Number of rows that the page shows of a longer table.
const NUM_PREVIEW_ROWS: usize = 100;

/// Data of a table for the template.
#[derive(Serialize)]
pub(super) struct TableView {
    name: &'static str,
    about: &'static str,
    file: String,
    num_rows: String,
    num_shown: String,
    is_complete: bool,
    /// Descriptions of all columns.
    notes: Vec<ColumnNote>,
    /// Name and value of each column that has the same value in all rows. Empty columns are left out. The
    /// list is empty if the page does not show all rows, or if the table has fewer than two rows. A column of
    /// links to records is never in the list.
    constants: Vec<(String, DisplayedValue)>,
    /// Headings of all other columns. If the page shows all rows, and the table has at least two rows,
    /// columns that are empty in every row are left out.
    columns: Vec<ColumnHeading>,
    rows: Vec<Vec<DisplayedValue>>,
}

#[derive(Serialize)]
struct ColumnNote {
    name: String,
    about: &'static str,
    unit: &'static str,
}

#[derive(Serialize)]
struct ColumnHeading {
    name: String,
    about: &'static str,
    kind: ColumnKind,
}

impl TableView {
    /// Builds the view of `table`. Keys of cells become links to the cells' records.
    pub(super) fn new(table: &Table, links: &RecordLinks) -> Self {
        let num_rows = table.frame.height();
        let is_complete = num_rows <= MAX_ROWS;
        let num_shown = if is_complete { num_rows } else { NUM_PREVIEW_ROWS };
        let mut view = Self {
            name: table.spec.name,
            about: table.spec.about(),
            file: table.file_name(),
            num_rows: super::values::group_digits(num_rows as u64),
            num_shown: num_shown.to_string(),
            is_complete,
            notes: Vec::new(),
            constants: Vec::new(),
            columns: Vec::new(),
            rows: vec![Vec::new(); num_shown],
        };
        for (spec, column) in table.columns.iter().zip(table.frame.columns()) {
            let (name, about) = (column.name().to_string(), spec.about());
            let (kind, values) = display_values(spec, column, num_shown, links);
            view.notes.push(ColumnNote { name: name.clone(), about, unit: spec.unit });
            if is_complete && kind != ColumnKind::Record && is_constant(&values) {
                view.constants.extend((!values[0].text.is_empty()).then(|| (name, values[0].clone())));
                continue;
            }
            view.columns.push(ColumnHeading { name, about, kind });
            view.rows.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
        view
    }
}

/// Returns whether a column has at least two rows and the same value in each row.
fn is_constant(values: &[DisplayedValue]) -> bool {
    values.len() > 1 && values.iter().all(|value| *value == values[0])
}
