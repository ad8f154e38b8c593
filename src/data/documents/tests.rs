//! Tests that all formats and compressions give the same documents, and that errors name the defect.

use std::fs;
use std::io::Write;

use polars::prelude::{Column, DataFrame, ParquetWriter};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::data::DocumentUnit;
use dtr_core::error::ErrorKind;

const DOCUMENTS: [&str; 5] = ["one\ntwo", "drei – vier", "  ", "a \"quote\"\tand a tab", "last"];

fn non_blank() -> Vec<&'static str> {
    DOCUMENTS.into_iter().filter(|text| !text.trim().is_empty()).collect()
}

fn corpus(folder: &TempDir, name: &str) -> FileCorpus {
    FileCorpus {
        paths: vec![folder.path().join(name).display().to_string()],
        column: "text".to_owned(),
        document: DocumentUnit::Paragraph,
        separator: String::new(),
    }
}

fn documents(corpus: &FileCorpus) -> Result<Vec<String>> {
    let mut documents = Vec::new();
    for_each_document(corpus, &mut |text| {
        documents.push(text);
        Ok(())
    })?;
    Ok(documents)
}

/// Returns the documents of a file called `name` with the content `bytes`.
fn read_as(name: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    documents(&corpus(&folder, name))
}

fn parquet_of(column: Column, row_group: usize) -> Vec<u8> {
    let other = Column::new("number".into(), (0..column.len() as i64).collect::<Vec<_>>());
    let mut frame = DataFrame::new_infer_height(vec![other, column]).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).with_row_group_size(Some(row_group)).finish(&mut frame).unwrap();
    bytes
}

/// Returns the name and the content of a file of each format. Each file holds [`DOCUMENTS`]. The JSON and
/// Parquet files also hold a null document.
fn files_of_all_formats() -> Vec<(&'static str, Vec<u8>)> {
    let texts: Vec<Option<&str>> = DOCUMENTS.into_iter().map(Some).chain([None]).collect();
    let rows: Vec<_> = texts.iter().map(|text| json!({ "number": 1, "text": text })).collect();
    let lines = rows.iter().map(|row| format!("{row}\r\n\n")).collect::<String>();
    vec![
        ("a.txt", format!("\u{feff}{}\n", DOCUMENTS.join("\n \r\n\n")).into_bytes()),
        ("a.md", DOCUMENTS.join("\n\n").into_bytes()),
        ("a.jsonl", lines.into_bytes()),
        ("a.json", json!(rows).to_string().into_bytes()),
        ("a.parquet", parquet_of(Column::new("text".into(), texts), 2)),
    ]
}

/// Returns the compressed content of the file `name`. The xz files are fixtures, because this crate cannot
/// write xz.
fn compress(compression: &str, name: &str) -> Vec<u8> {
    if compression == "xz" {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
        return fs::read(fixtures.join(format!("{name}.xz"))).unwrap();
    }
    let (_, bytes) = files_of_all_formats().into_iter().find(|(file, _)| *file == name).unwrap();
    match compression {
        "gz" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(&bytes).unwrap();
            writer.finish().unwrap()
        }
        "bz2" => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            writer.write_all(&bytes).unwrap();
            writer.finish().unwrap()
        }
        _ => zstd::encode_all(&bytes[..], 1).unwrap(),
    }
}

#[test]
fn every_format_and_compression_gives_the_same_documents() {
    for (name, bytes) in files_of_all_formats() {
        assert_eq!(read_as(name, &bytes).unwrap(), non_blank(), "{name}");
        for compression in ["gz", "bz2", "xz", "zst"] {
            let bytes = compress(compression, name);
            assert_eq!(
                read_as(&format!("{name}.{compression}"), &bytes).unwrap(),
                non_blank(),
                "{name} {compression}"
            );
        }
    }
}

#[test]
fn a_file_of_several_compressed_parts_is_read_to_its_end() {
    for compression in ["gz", "bz2", "xz", "zst"] {
        let parts = compress(compression, "a.jsonl").repeat(2);
        assert_eq!(
            read_as(&format!("a.jsonl.{compression}"), &parts).unwrap(),
            non_blank().repeat(2),
            "{compression}"
        );
    }
}

#[test]
fn a_damaged_or_truncated_file_is_refused() {
    for compression in ["gz", "bz2", "xz", "zst"] {
        let whole = compress(compression, "a.txt");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        for (defect, bytes) in
            [("cut", &whole[..whole.len() - 9]), ("not compressed", b"plain"), ("flipped", &flipped)]
        {
            // These zstd frames have no checksum, so a flipped bit can go unnoticed.
            if (compression, defect) == ("zst", "flipped") {
                continue;
            }
            let error = read_as(&format!("a.txt.{compression}"), bytes).expect_err(defect);
            assert_eq!(error.kind(), ErrorKind::Environment, "{compression} {defect}");
            assert!(format!("{error:?}").contains("damaged or cut off"), "{compression} {defect}: {error:?}");
        }
    }
    let whole = parquet_of(Column::new("text".into(), non_blank()), 2);
    let error = read_as("a.parquet", &whole[..whole.len() - 9]).unwrap_err();
    assert!(error.to_string().ends_with("is not a valid Parquet file"), "{error}");
}

#[test]
fn a_column_that_is_missing_or_holds_no_text_is_named() {
    let parquet = parquet_of(Column::new("body".into(), non_blank()), 2);
    for (name, bytes) in [("a.jsonl", &b"{\"number\": 1, \"body\": \"x\"}"[..]), ("a.parquet", &parquet)] {
        let error = format!("{:?}", read_as(name, bytes).unwrap_err());
        assert!(error.contains("has no column `text`") && error.contains("`number`"), "{error}");
        assert!(error.contains("`body`"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        let corpus = FileCorpus { column: "number".to_owned(), ..corpus(&folder, name) };
        let error = documents(&corpus).unwrap_err().to_string();
        assert!(error.ends_with("in `number`, not text"), "{error}");
    }
}

#[test]
fn an_error_names_the_malformed_file_or_line() {
    for (name, bytes, expected) in [
        ("a.txt", &b"one\n\xff\xfe\n"[..], "line 2 of"),
        ("a.jsonl", b"{\"text\": \"x\"}\n[1]\n", "line 2 of"),
        ("a.json", b"", "is not a JSON list of objects"),
        ("a.json", b"{\n\"text\": \"x\"}", "is not a JSON object of objects"),
        ("a.json", b"{\n\"7\": {\"text\": \"x\"}} more", "is not a JSON object of objects"),
        ("a.json", b"{\"text\":\n\"x\"}", "line 1 of"),
        ("a.json", b"[{\"text\": \"x\"}] more", "is not a JSON list of objects"),
        ("a.csv", b"text\nx", "has an unsupported format"),
        ("a.gz", b"x", "has an unsupported format"),
    ] {
        let error = read_as(name, bytes).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Manifest);
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    let error = documents(&corpus(&tempfile::tempdir().unwrap(), "a.txt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
}

#[test]
fn the_content_of_a_json_file_decides_how_it_holds_its_rows() {
    let (lines, list) = ("{\"text\": \"x\"}\n{\"text\": \"y\"}\n", "[{\"text\": \"x\"},\n{\"text\": \"y\"}]");
    let object = "{\n\"7\": {\"text\": \"x\"},\n\"3\": {\"text\": \"y\"}}";
    for name in ["a.json", "a.jsonl", "a.ndjson"] {
        for text in [lines, list, object] {
            for start in ["", "\u{feff}", "\n ", "\u{feff}\r\n"] {
                let text = format!("{start}{text}");
                assert_eq!(read_as(name, text.as_bytes()).unwrap(), ["x", "y"], "{name}: {text}");
            }
        }
    }
}

#[test]
fn plain_text_is_split_into_paragraphs_lines_parts_between_separators_or_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "\n\r\none\ntwo\r\n \t\n\n  three\n\n").unwrap();
    for (document, texts) in [
        (DocumentUnit::Paragraph, &["one\ntwo", "three"][..]),
        (DocumentUnit::Line, &["one", "two", "three"]),
        (DocumentUnit::Between("two".to_owned()), &["one", "three"]),
        (DocumentUnit::File, &["one\ntwo\n \t\n\n  three"]),
    ] {
        let corpus = FileCorpus { document, ..corpus(&folder, "a.txt") };
        assert_eq!(documents(&corpus).unwrap(), texts, "{:?}", corpus.document);
    }
}

#[test]
fn documents_come_in_the_order_of_the_paths() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("b.txt", "b1\n\nb2"), ("a.txt", "a1\n\na2"), ("c.txt", "c")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let paths = ["c.txt", "[ab].txt", "*.txt"].map(|name| folder.path().join(name).display().to_string());
    let all = FileCorpus { paths: vec![paths[2].clone()], ..corpus(&folder, "") };
    assert_eq!(documents(&all).unwrap(), ["a1", "a2", "b1", "b2", "c"]);
    let brackets = FileCorpus { paths: vec![paths[1].clone()], ..corpus(&folder, "") };
    assert!(documents(&brackets).is_err(), "a pattern with brackets was accepted");
}
