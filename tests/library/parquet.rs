//! Parquet: cut, forged, or of columns that are no texts.

use polars::prelude::{Column, DataFrame, NamedFrom, ParquetCompression, ParquetWriter, Series};

use crate::data::refused;
use crate::refusals::Refusals;

fn parquet(columns: Vec<Column>) -> Vec<u8> {
    let mut frame = DataFrame::new_infer_height(columns).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Uncompressed)
        .finish(&mut frame)
        .unwrap();
    bytes
}

fn good_parquet() -> Vec<u8> {
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
    let whole = good_parquet();
    for length in
        [0, 1, 4, 8, 12, whole.len() / 4, whole.len() / 2, whole.len() - 8, whole.len() - 4, whole.len() - 1]
    {
        refused(&mut refusals, "a.parquet", &whole[..length], "a.parquet");
    }
    for length in [0_u32, 1, 7, u32::MAX, i32::MAX as u32, whole.len() as u32, whole.len() as u32 * 2] {
        let mut forged = whole.clone();
        let at = forged.len() - 8;
        forged[at..at + 4].copy_from_slice(&length.to_le_bytes());
        refused(&mut refusals, "a.parquet", &forged, "a.parquet");
    }
    for (what, bytes) in
        [("text", &b"PAR1 and nothing of it"[..]), ("two marks", b"PAR1PAR1"), ("three", b"PAR1\0\0\0\0PAR1")]
    {
        refused(&mut refusals, "a.parquet", bytes, "a.parquet");
        refused(&mut refusals, "a.parquet", &[bytes, what.as_bytes()].concat(), "a.parquet");
    }
    // A version, and a list of billions of columns; polars set 110 GB aside for such a one.
    let claims = [0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
    let forged = [b"PAR1", &claims[..], &(claims.len() as u32).to_le_bytes(), b"PAR1"].concat();
    refused(&mut refusals, "a.parquet", &forged, "its footer claims 2147483647 items in 1 bytes");
    // A page of 50 values that says it has one fewer than none; polars asked for 2^61 bytes, which ends the process.
    let mut forged = whole.clone();
    let header = [0x2c, 0x15, 2 * 50];
    let at = forged.windows(3).position(|bytes| bytes == header).expect("a page has 50 values");
    forged[at + 2] = 1;
    refused(&mut refusals, "a.parquet", &forged, "claims -1 values");
    let numbers = parquet(vec![Column::new("text".into(), [1_i64, 2])]);
    refused(&mut refusals, "a.parquet", &numbers, "");
    let lists = parquet(vec![Series::new("text".into(), [Series::new("".into(), [1_i64])]).into()]);
    refused(&mut refusals, "a.parquet", &lists, "");
    let others = parquet(vec![Column::new("body".into(), ["t"])]);
    refused(&mut refusals, "a.parquet", &others, "");
    refusals.finish(50);
}
