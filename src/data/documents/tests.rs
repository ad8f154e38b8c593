//! Every form and packing gives the same documents, and every fault is named.

use std::fs;
use std::io::Write;

use polars::prelude::{Column, DataFrame, ParquetWriter};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::data::DocumentUnit;
use dtr_core::error::ErrorKind;

const DOCUMENTS: [&str; 5] = ["one\ntwo", "drei – vier", "  ", "a \"quote\"\tand a tab", "last"];

fn kept() -> Vec<&'static str> {
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

/// What reading a file of these bytes comes to.
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

/// [`DOCUMENTS`], one of them null besides, in each form.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
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

/// The file `name` of [`forms`], packed; xz, which this crate only reads, was packed by xz-utils.
fn packed(packing: &str, name: &str) -> Vec<u8> {
    if packing == "xz" {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/corpus");
        return fs::read(fixtures.join(format!("{name}.xz"))).unwrap();
    }
    let (_, bytes) = forms().into_iter().find(|(form, _)| *form == name).unwrap();
    match packing {
        "gz" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(&bytes).unwrap();
            writer.finish().unwrap()
        }
        _ => zstd::encode_all(&bytes[..], 1).unwrap(),
    }
}

#[test]
fn every_form_and_packing_gives_the_same_documents() {
    for (name, bytes) in forms() {
        assert_eq!(read_as(name, &bytes).unwrap(), kept(), "{name}");
        for packing in ["gz", "xz", "zst"] {
            let bytes = packed(packing, name);
            assert_eq!(read_as(&format!("{name}.{packing}"), &bytes).unwrap(), kept(), "{name} {packing}");
        }
    }
}

#[test]
fn a_file_packed_in_several_parts_is_read_to_its_end() {
    for packing in ["gz", "xz", "zst"] {
        let parts = packed(packing, "a.jsonl").repeat(2);
        assert_eq!(read_as(&format!("a.jsonl.{packing}"), &parts).unwrap(), kept().repeat(2), "{packing}");
    }
}

#[test]
fn a_damaged_or_cut_file_is_refused() {
    for packing in ["gz", "xz", "zst"] {
        let whole = packed(packing, "a.txt");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        for (what, bytes) in
            [("cut", &whole[..whole.len() - 9]), ("not packed", b"plain"), ("flipped", &flipped)]
        {
            // A frame of zstd need not have a checksum.
            if (packing, what) == ("zst", "flipped") {
                continue;
            }
            let error = read_as(&format!("a.txt.{packing}"), bytes).expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Environment, "{packing} {what}");
            assert!(format!("{error:?}").contains("damaged or cut off"), "{packing} {what}: {error:?}");
        }
    }
    let whole = parquet_of(Column::new("text".into(), kept()), 2);
    let error = read_as("a.parquet", &whole[..whole.len() - 9]).unwrap_err();
    assert!(error.to_string().ends_with("is not a valid Parquet file"), "{error}");
}

#[test]
fn a_column_that_is_missing_or_holds_no_text_is_named() {
    let parquet = parquet_of(Column::new("body".into(), kept()), 2);
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
fn what_is_not_of_its_form_is_named_with_its_place() {
    for (name, bytes, what) in [
        ("a.txt", &b"one\n\xff\xfe\n"[..], "line 2 of"),
        ("a.jsonl", b"{\"text\": \"x\"}\n[1]\n", "line 2 of"),
        ("a.json", b"{\"text\": \"x\"}", "is not a JSON list of objects"),
        ("a.json", b"[{\"text\": \"x\"}] more", "is not a JSON list of objects"),
        ("a.csv", b"text\nx", "has an unsupported format"),
        ("a.gz", b"x", "has an unsupported format"),
    ] {
        let error = read_as(name, bytes).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Manifest);
        assert!(error.to_string().contains(what), "{name}: {error}");
    }
    let error = documents(&corpus(&tempfile::tempdir().unwrap(), "a.txt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Environment);
}

#[test]
fn a_document_of_plain_text_is_a_paragraph_a_line_what_borders_part_or_the_file() {
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
    assert!(documents(&brackets).is_err(), "only `*` is special");
}
