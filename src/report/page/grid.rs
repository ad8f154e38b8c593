//! A table in the page, whatever its columns are.

use serde::Serialize;

use super::cells::{Cell, Kind, cells};
use super::records::Records;
use crate::report::tables::Table;

/// A table with more rows than this is shown in part: a page is for reading.
const MAX_ROWS: usize = 500;

/// Rows of a table that is shown in part.
const NUM_ROWS_IN_PART: usize = 100;

/// A table as the template shows it.
#[derive(Serialize)]
pub(super) struct Grid {
    name: &'static str,
    about: &'static str,
    file: String,
    num_rows: String,
    num_shown: String,
    is_whole: bool,
    /// Every declared column, for the legend.
    legend: Vec<Legend>,
    /// The columns that are the same in every row, said once; those that are empty are not said.
    shared: Vec<(String, Cell)>,
    /// The others.
    columns: Vec<Heading>,
    rows: Vec<Vec<Cell>>,
}

/// What is said of a column.
#[derive(Serialize)]
struct Legend {
    name: String,
    about: &'static str,
    unit: &'static str,
}

/// The head of a column.
#[derive(Serialize)]
struct Heading {
    name: String,
    about: &'static str,
    kind: Kind,
}

impl Grid {
    /// The table with links to `records`.
    pub(super) fn of(table: &Table, records: &Records) -> Self {
        let num_rows = table.frame.height();
        let is_whole = num_rows <= MAX_ROWS;
        let num_shown = if is_whole { num_rows } else { NUM_ROWS_IN_PART };
        let mut grid = Self {
            name: table.spec.name,
            about: table.spec.about(),
            file: table.file_name(),
            num_rows: super::cells::grouped(num_rows as u64),
            num_shown: num_shown.to_string(),
            is_whole,
            legend: Vec::new(),
            shared: Vec::new(),
            columns: Vec::new(),
            rows: vec![Vec::new(); num_shown],
        };
        for (spec, column) in table.columns.iter().zip(table.frame.columns()) {
            let (name, about) = (column.name().to_string(), spec.about());
            let (kind, cells) = cells(spec, column, num_shown, records);
            grid.legend.push(Legend { name: name.clone(), about, unit: spec.unit });
            if is_whole && kind != Kind::Record && is_shared(&cells) {
                grid.shared.extend((!cells[0].text.is_empty()).then(|| (name, cells[0].clone())));
                continue;
            }
            grid.columns.push(Heading { name, about, kind });
            grid.rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
        }
        grid
    }
}

/// Whether several rows say the same.
fn is_shared(cells: &[Cell]) -> bool {
    cells.len() > 1 && cells.iter().all(|cell| *cell == cells[0])
}
