//! Checks that corpora refuse files that are damaged, endless or not UTF-8. The error names the file and
//! line.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use dtr::data::DocumentUnit;

use crate::reader_helpers::{VALID_ROW, check_file_is_refused, count_documents, count_task_items, task};
use crate::refusals::Refusals;
use crate::temp_folder::TempFolder;

#[test]
fn a_text_of_another_type_is_refused_with_its_place() {
    let mut refusals = Refusals::default();
    for value in ["1", "true", "[\"t\"]", "{}", "1.5"] {
        let row = format!("{{\"text\": {value}}}\n");
        for (name, bytes, place) in [
            ("a.jsonl", VALID_ROW.to_owned() + &row, "line 2 of"),
            ("a.json", format!("[{VALID_ROW}, {row}]"), "row 2 of"),
        ] {
            let folder = TempFolder::new();
            let path = folder.write(name, bytes);
            refusals.check(value, &[place, name, "`text`"], || count_documents(&path, DocumentUnit::Line));
        }
    }
    for (name, bytes, place) in
        [("a.jsonl", "{\"body\": \"t\"}", "line 1 of"), ("a.json", "[{\"body\": \"t\"}]", "row 1 of")]
    {
        let folder = TempFolder::new();
        let path = folder.write(name, bytes);
        refusals.check(name, &[place, name], || count_documents(&path, DocumentUnit::Line));
    }
    refusals.finish(12);
}

#[test]
fn a_text_file_may_be_empty_and_hold_any_character() {
    let folder = TempFolder::new();
    let text = folder.write("a.txt", "one\ntwo\n\u{0}");
    assert_eq!(count_documents(&text, DocumentUnit::Line).unwrap(), 3);
    assert_eq!(count_documents(&folder.write("a.md", ""), DocumentUnit::Line).unwrap(), 0);
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_its_line() {
    let mut refusals = Refusals::default();
    for bytes in [&b"one\n\xff"[..], b"one\n\xc3(", b"one\n\xed\xa0\x80", b"one\n\xf8\x88\x80\x80\x80"] {
        for unit in [
            DocumentUnit::Line,
            DocumentUnit::File,
            DocumentUnit::Paragraph,
            DocumentUnit::Between("x".to_owned()),
        ] {
            let folder = TempFolder::new();
            let path = folder.write("a.txt", bytes);
            refusals.check("not UTF-8", &["line 2 of", "a.txt"], || count_documents(&path, unit));
        }
    }
    refusals.finish(16);
}

#[test]
fn a_path_without_files_is_named() {
    let mut refusals = Refusals::default();
    for path in ["/nowhere/a.txt", "/nowhere-*.txt", "/*/a.txt", "hf://datasets/a/b@c/../../x.txt", "hf://a"]
    {
        let name = path.rsplit('/').next().unwrap();
        refusals.check(path, &[name], || count_documents(Path::new(path), DocumentUnit::Line));
        if !path.contains('*') {
            refusals.check(path, &[name], || count_task_items(task(Path::new(path))));
        }
    }
    refusals.finish(8);
}

/// Writes `count` copies of `piece` into a file that is compressed by gzip.
fn write_gzip(folder: &TempFolder, name: &str, piece: &[u8], count: usize) -> PathBuf {
    let path = folder.path(name);
    let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    (0..count).for_each(|_| file.write_all(piece).unwrap());
    file.finish().unwrap();
    path
}

/// Maximum growth of this process's memory while it reads a file. A line, row or document may have 128 MiB,
/// and reading it takes a few times as much memory.
const MAX_GROWTH_KIB: u64 = 900 << 10;

/// Returns the peak memory of this process in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The sparse files `a.txt` and `a.jsonl` are 64 GiB long and occupy almost no disk space. The `.gz` files
/// are compressed.
#[test]
fn an_endless_line_row_or_document_is_refused_in_bounded_memory() {
    let before = peak_kib();
    let mut refusals = Refusals::default();
    for (name, start, place) in [
        ("a.txt", "", "line 1 of"),
        ("a.jsonl", VALID_ROW, "line 2 of"),
        ("a.json", "[{\"text\": \"t\"}, {\"text\": \"", "row 2 of"),
    ] {
        let folder = TempFolder::new();
        let path = folder.write(name, start);
        if name == "a.json" {
            // A JSON string cannot contain the NUL bytes of a sparse file, so this file holds letters.
            let mut file = File::options().append(true).open(&path).unwrap();
            (0..129).for_each(|_| file.write_all(&[b'a'; 1 << 20]).unwrap());
        } else {
            File::options().write(true).open(&path).unwrap().set_len(1 << 36).unwrap();
        }
        let texts = [place, name, "longer than 128 MiB"];
        match name {
            "a.jsonl" => refusals.check(name, &texts, || count_task_items(task(&path))),
            _ => refusals.check(name, &texts, || count_documents(&path, DocumentUnit::Line)),
        }
    }
    let folder = TempFolder::new();
    let line = write_gzip(&folder, "line.txt.gz", &[b'a'; 1 << 20], 200);
    refusals.check("a compressed line", &["line 1 of", "line.txt.gz"], || {
        count_documents(&line, DocumentUnit::Line)
    });
    let lines = write_gzip(&folder, "lines.txt.gz", &b"a line of text\n".repeat(1 << 16), 200);
    for unit in [DocumentUnit::Paragraph, DocumentUnit::File, DocumentUnit::Between("x".to_owned())] {
        let texts = ["the document from line 1 of", "lines.txt.gz"];
        refusals.check("an endless document", &texts, || count_documents(&lines, unit));
    }
    let grown = peak_kib() - before;
    assert!(grown < MAX_GROWTH_KIB, "the memory grew by {grown} KiB");
    refusals.finish(7);
}

#[test]
fn a_compressed_file_that_is_cut_or_not_compressed_is_refused() {
    let mut refusals = Refusals::default();
    let texts = ["damaged or cut off"];
    for name in ["a.jsonl", "a.txt", "a.json"] {
        let folder = TempFolder::new();
        // A `.json` file is a list of rows. The other files have a row on each line.
        let rows = if name == "a.json" {
            format!("[{}]", [VALID_ROW; 100].join(","))
        } else {
            VALID_ROW.repeat(100)
        };
        let gzip = fs::read(write_gzip(&folder, "valid.gz", rows.as_bytes(), 1)).unwrap();
        let zstd = zstd::encode_all(rows.as_bytes(), 1).unwrap();
        for (extension, valid) in [(".gz", gzip), (".zst", zstd)] {
            for bytes in [
                &valid[..valid.len() - 3],
                &valid[..valid.len() / 2],
                &valid[..5],
                b"plain text",
                b"\0\0\0\0\0\0\0\0",
            ] {
                check_file_is_refused(&mut refusals, &format!("{name}{extension}"), bytes, &texts);
            }
        }
        check_file_is_refused(&mut refusals, &format!("{name}.xz"), b"\xfd7zXZ\0 and no more", &texts);
        check_file_is_refused(&mut refusals, &format!("{name}.xz"), b"plain text", &texts);
    }
    refusals.finish(36);
}
