//! Checks that dtr refuses Parquet files that are cut off, are forged, or have no text columns.

use dtr::data::FileTask;
use polars::prelude::{Column, DataFrame, NamedFrom, ParquetCompression, ParquetWriter, Series};

use crate::reader_helpers::{check_file_is_refused, count_task_items, task};
use crate::refusals::Refusals;
use crate::temp_folder::TempFolder;

fn parquet(columns: Vec<Column>) -> Vec<u8> {
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Uncompressed)
        .finish(&mut frame)
        .unwrap();
    bytes
}

fn valid_parquet() -> Vec<u8> {
    let words = |word: &str| (0..50).map(|at| format!("{word} {at}")).collect::<Vec<_>>();
    parquet(vec![
        Column::new("question".into(), words("q")),
        Column::new("text".into(), words("t")),
        Column::new("label".into(), vec![0_i64; 50]),
    ])
}

#[test]
fn parquet_that_is_cut_ragged_or_forged_is_refused() {
    let mut refusals = Refusals::default();
    let valid = valid_parquet();
    for length in
        [0, 1, 4, 8, 12, valid.len() / 4, valid.len() / 2, valid.len() - 8, valid.len() - 4, valid.len() - 1]
    {
        check_file_is_refused(&mut refusals, "a.parquet", &valid[..length], &[]);
    }
    for length in [0_u32, 1, 7, u32::MAX, i32::MAX as u32, valid.len() as u32, valid.len() as u32 * 2] {
        let mut forged = valid.clone();
        let at = forged.len() - 8;
        forged[at..at + 4].copy_from_slice(&length.to_le_bytes());
        check_file_is_refused(&mut refusals, "a.parquet", &forged, &[]);
    }
    for (what, bytes) in
        [("text", &b"PAR1 and nothing else"[..]), ("two marks", b"PAR1PAR1"), ("three", b"PAR1\0\0\0\0PAR1")]
    {
        check_file_is_refused(&mut refusals, "a.parquet", bytes, &[]);
        check_file_is_refused(&mut refusals, "a.parquet", &[bytes, what.as_bytes()].concat(), &[]);
    }
    // This footer claims a list of two billion columns. Polars would allocate 110 GB for the list.
    let claims = [0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
    let forged = [b"PAR1", &claims[..], &(claims.len() as u32).to_le_bytes(), b"PAR1"].concat();
    check_file_is_refused(
        &mut refusals,
        "a.parquet",
        &forged,
        &["its footer claims 2147483647 items in 1 bytes"],
    );
    // The pages hold 50 values, but their headers claim -1 values. Polars would allocate 2^61 bytes for each
    // page and abort.
    let mut forged = valid.clone();
    let header = [0x2c, 0x15, 2 * 50];
    let pages: Vec<_> = (0..forged.len() - 2).filter(|at| forged[*at..at + 3] == header).collect();
    assert!(pages.len() >= 3, "only {} pages of 50 values were found", pages.len());
    pages.into_iter().for_each(|at| forged[at + 2] = 1);
    check_file_is_refused(&mut refusals, "a.parquet", &forged, &["claims -1 values"]);
    let numbers = parquet(vec![Column::new("text".into(), [1_i64, 2])]);
    check_file_is_refused(&mut refusals, "a.parquet", &numbers, &[]);
    let lists = parquet(vec![Series::new("text".into(), [Series::new("".into(), [1_i64])]).into()]);
    check_file_is_refused(&mut refusals, "a.parquet", &lists, &[]);
    let other_column = parquet(vec![Column::new("body".into(), ["t"])]);
    check_file_is_refused(&mut refusals, "a.parquet", &other_column, &[]);
    refusals.finish(50);
}

#[test]
fn a_column_that_no_template_names_does_not_matter() {
    let valid = valid_parquet();
    let header = [0x2c, 0x15, 2 * 50];
    let mut forged = valid.clone();
    let at = (0..forged.len() - 2).find(|at| forged[*at..at + 3] == header).expect("no page has 50 values");
    forged[at + 2] = 1;
    let folder = TempFolder::new();
    let task = task(&folder.write("a.parquet", forged));
    let error = count_task_items(FileTask { label: "label".to_owned(), ..task.clone() }).unwrap_err();
    assert!(error.message_with_sources().contains("column `question`, row group 0"), "{error:?}");
    let other = FileTask { prompt: "{{ text }}".to_owned(), label: "label".to_owned(), ..task };
    assert_eq!(count_task_items(other).unwrap(), 50);
}
