//! Rows of tasks and documents of corpora: cut, forged, of another kind, or without end.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use dtr::data::documents::for_each_document;
use dtr::data::{Choices, DocumentUnit, FileCorpus, FileTask, Metric, SplitPolicy, Task, TaskSource};
use dtr::data::{Split, load_items};
use dtr_core::error::Result;

use crate::refusals::Refusals;
use crate::temp_folder::TempFolder;

/// Makes the task that reads a file, with something wrong in it.
type Change<'a> = &'a dyn Fn(&Path) -> FileTask;

fn task(path: &Path) -> FileTask {
    FileTask {
        validation: None,
        test: path.display().to_string(),
        splits: SplitPolicy::AsPublished,
        validation_items: None,
        test_items: None,
        prompt: "{{ question }}".to_owned(),
        continuation: None,
        choices: Choices::Fixed(vec!["yes".to_owned(), "no".to_owned()]),
        label: "label".to_owned(),
        metric: Metric::Acc,
    }
}

fn read_task(task: FileTask) -> Result<usize> {
    load_items(&Task { source: TaskSource::File(task) }, Split::Test).map(|items| items.len())
}

fn read_corpus(path: &Path, document: DocumentUnit) -> Result<usize> {
    let corpus = FileCorpus {
        paths: vec![path.display().to_string()],
        column: "text".to_owned(),
        document,
        separator: String::new(),
    };
    let mut count = 0;
    for_each_document(&corpus, &mut |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// A file of both uses: rows of a task, and texts of a corpus.
pub fn refused(refusals: &mut Refusals, name: &str, bytes: &[u8], said: &str) {
    let folder = TempFolder::new();
    let path = folder.write(name, bytes);
    let (file, start) = (path.display().to_string(), String::from_utf8_lossy(&bytes[..bytes.len().min(40)]));
    let is_packed = name.ends_with(".gz") || name.ends_with(".zst") || name.ends_with(".xz");
    if !is_packed {
        refusals.check(&format!("task {name} {start}"), &[&file, said], || read_task(task(&path)));
    }
    refusals.check(&format!("corpus {name} {start}"), &[&file, said], || {
        read_corpus(&path, DocumentUnit::Paragraph)
    });
}

const GOOD: &str = "{\"question\": \"q\", \"label\": \"yes\", \"text\": \"t\"}\n";

#[test]
fn rows_that_are_no_tables_are_refused_with_their_line() {
    let mut refusals = Refusals::default();
    for row in [
        &b"[1]"[..],
        b"1",
        b"\"text\"",
        b"null",
        b"true",
        b"{",
        b"{]",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\": 1,}",
        b"{'a': 1}",
        b"{\"a\": NaN}",
        b"{\"a\": Infinity}",
        b"{\"a\": 1e999}",
        b"{\"a\": 01}",
        b"{\"a\": \"\\ud800\"}",
        b"{\"a\": \"\\x\"}",
        b"{\"question\": \"q\", \"label\": \"yes\", \"text\": \"t\"} {}",
        b"<html>",
        b"question,label",
        b"\0\0\0\0",
        b"{\"a\": \"\xff\xfe\"}",
        b"\xff\xfe{\0}\0",
        b"{\"a\": \"tab\there\"}",
    ] {
        let lines = [GOOD.repeat(2).as_bytes(), row, b"\n", GOOD.as_bytes()].concat();
        refused(&mut refusals, "a.jsonl", &lines, "line 3");
        if !row.ends_with(b" {}") {
            let list = [b"[", GOOD.as_bytes(), b",", row, b"]"].concat();
            refused(&mut refusals, "a.json", &list, "a.json");
        }
    }
    for deep in ["[".repeat(200_000), "{\"a\":".repeat(200_000)] {
        refused(&mut refusals, "a.jsonl", format!("{GOOD}{{\"a\":{deep}\n").as_bytes(), "line 2");
        refused(&mut refusals, "a.json", format!("[{{\"a\":{deep}").as_bytes(), "a.json");
    }
    for list in ["{}", "1", "null", "[", "[{}", "[{},]", "[{}] []", "", "[1]", "{\"a\": []}"] {
        refused(&mut refusals, "a.json", list.as_bytes(), "a.json");
    }
    for (name, bytes) in
        [("a.csv", "text\nx"), ("a", "x"), ("a.jsonl.bz2", "x"), ("a.bin", "x"), ("a.pkl", "x")]
    {
        refused(&mut refusals, name, bytes.as_bytes(), name);
    }
    refusals.finish(120);
}

#[test]
fn rows_that_make_no_item_are_named() {
    let mut refusals = Refusals::default();
    let row =
        |label: &str| format!("{{\"question\": \"q\", \"label\": {label}, \"texts\": [\"a\", \"b\"]}}\n");
    for label in
        ["2", "-1", "99999999999999999999", "1.5", "1e300", "\"maybe\"", "\"\"", "null", "[0]", "{}", "\"0\""]
    {
        let folder = TempFolder::new();
        let path = folder.write("a.jsonl", row("0") + &row(label));
        let file = path.display().to_string();
        refusals.check(label, &["row 2", &file, "label"], || read_task(task(&path)));
        let each = FileTask { choices: Choices::Each("texts".to_owned()), ..task(&path) };
        refusals.check(label, &["row 2", &file, "label"], || read_task(each));
    }
    let with = |change: fn(&mut FileTask)| {
        move |path: &Path| {
            let mut task = task(path);
            change(&mut task);
            task
        }
    };
    let changes: [(&str, Change<'_>, &str); 17] = [
        ("a column that is not there", &with(|task| task.prompt = "{{ nothing }}".into()), "prompt"),
        ("a template that does not end", &with(|task| task.prompt = "{{ question".into()), "prompt"),
        ("a loop that does not end", &with(|task| task.prompt = "{% for a in b %}".into()), "prompt"),
        (
            "a template that includes a file",
            &with(|task| task.prompt = "{% include '/etc/passwd' %}".into()),
            "prompt",
        ),
        (
            "a template that imports a file",
            &with(|task| task.prompt = "{% import 'x' as x %}{{ x }}".into()),
            "prompt",
        ),
        ("a filter that is not there", &with(|task| task.prompt = "{{ question|system }}".into()), "prompt"),
        (
            "a method that is not there",
            &with(|task| task.prompt = "{{ question.__class__() }}".into()),
            "prompt",
        ),
        (
            "no regular expression",
            &with(|task| task.prompt = "{{ question|regex_replace('(', '') }}".into()),
            "prompt",
        ),
        (
            "a regular expression beyond memory",
            &with(|task| task.prompt = "{{ question|regex_findall('a{1000}{1000}{1000}') }}".into()),
            "prompt",
        ),
        (
            "a continuation that fails",
            &with(|task| task.continuation = Some("{{ choice.x.y }}".into())),
            "continuation",
        ),
        ("no list of choices", &with(|task| task.choices = Choices::Each("1".into())), "choices"),
        ("no expression of choices", &with(|task| task.choices = Choices::Each("texts +".into())), "choices"),
        ("no choices", &with(|task| task.choices = Choices::Fixed(Vec::new())), "label"),
        ("no expression of the label", &with(|task| task.label = "label ==".into()), "label"),
        ("a label beyond all", &with(|task| task.label = "10 ** 30".into()), "label"),
        (
            "loops without end",
            &with(|task| {
                let range = "{% for a in range(99999) %}";
                task.prompt = format!("{}{}", range.repeat(3), "{% endfor %}".repeat(3));
            }),
            "prompt",
        ),
        ("a text without end", &with(|task| task.prompt = "{{ 'a' * 1000000000000 }}".into()), "prompt"),
    ];
    for (what, change, said) in changes {
        let folder = TempFolder::new();
        let path = folder.write("a.jsonl", row("0"));
        refusals.check(what, &[said], || read_task(change(&path)));
    }
    for (name, bytes) in [("a.jsonl", ""), ("a.jsonl", "\n\n"), ("a.json", "[]")] {
        let folder = TempFolder::new();
        let path = folder.write(name, bytes);
        refusals.check("no rows", &[&path.display().to_string()], || read_task(task(&path)));
    }
    refusals.finish(42);
}

#[test]
fn texts_that_are_none_are_refused_with_their_place() {
    let mut refusals = Refusals::default();
    for value in ["1", "true", "[\"t\"]", "{}", "1.5"] {
        let row = format!("{{\"text\": {value}}}\n");
        for (name, bytes, place) in [
            ("a.jsonl", GOOD.to_owned() + &row, "line 2 of"),
            ("a.json", format!("[{GOOD}, {row}]"), "row 2 of"),
        ] {
            let folder = TempFolder::new();
            let path = folder.write(name, bytes);
            refusals.check(value, &[place, name, "`text`"], || read_corpus(&path, DocumentUnit::Line));
        }
    }
    for (name, bytes, said) in [
        ("a.jsonl", "{\"body\": \"t\"}", "line 1 of"),
        ("a.json", "[{\"body\": \"t\"}]", "row 1 of"),
        ("a.txt", "one\ntwo\n\u{0}", ""),
        ("a.md", "", ""),
    ] {
        let folder = TempFolder::new();
        let path = folder.write(name, bytes);
        if said.is_empty() {
            assert!(
                read_corpus(&path, DocumentUnit::Line).is_ok(),
                "text may hold any character, and a file may be empty"
            );
        } else {
            refusals.check(name, &[said, name], || read_corpus(&path, DocumentUnit::Line));
        }
    }
    for bytes in [&b"one\n\xff"[..], b"one\n\xc3(", b"one\n\xed\xa0\x80", b"one\n\xf8\x88\x80\x80\x80"] {
        for unit in [
            DocumentUnit::Line,
            DocumentUnit::File,
            DocumentUnit::Paragraph,
            DocumentUnit::Between("x".to_owned()),
        ] {
            let folder = TempFolder::new();
            let path = folder.write("a.txt", bytes);
            refusals.check("not UTF-8", &["line 2 of", "a.txt"], || read_corpus(&path, unit));
        }
    }
    for path in ["/nowhere/a.txt", "/nowhere-*.txt", "/*/a.txt", "hf://datasets/a/b@c/../../x.txt", "hf://a"]
    {
        refusals.check(path, &[path.rsplit('/').next().unwrap()], || {
            read_corpus(Path::new(path), DocumentUnit::Line)
        });
        if !path.contains('*') {
            refusals.check(path, &[path.rsplit('/').next().unwrap()], || read_task(task(Path::new(path))));
        }
    }
    refusals.finish(36);
}

/// Packs `pieces` pieces of `piece`.
fn packed(folder: &TempFolder, name: &str, piece: &[u8], pieces: usize) -> std::path::PathBuf {
    let path = folder.path(name);
    let mut file = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    (0..pieces).for_each(|_| file.write_all(piece).unwrap());
    file.finish().unwrap();
    path
}

/// The most that a line, a row or a document may take, and somewhat for the rest of the process.
const MOST_GROWTH_KIB: u64 = 900 << 10;

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Lines, rows and documents without end: files of 64 GiB that take no room, and others packed in a few megabytes.
#[test]
fn what_has_no_end_is_refused_before_it_fills_the_memory() {
    let before = peak_kib();
    let mut refusals = Refusals::default();
    for (name, start, said) in [
        ("a.txt", "", "line 1 of"),
        ("a.jsonl", GOOD, "line 2 of"),
        ("a.json", "[{\"text\": \"t\"}, {\"text\": \"", "row 2 of"),
    ] {
        let folder = TempFolder::new();
        let path = folder.write(name, start);
        if name == "a.json" {
            // A NUL ends a text of JSON, so that this row has to be written out.
            let mut file = File::options().append(true).open(&path).unwrap();
            (0..129).for_each(|_| file.write_all(&[b'a'; 1 << 20]).unwrap());
        } else {
            File::options().write(true).open(&path).unwrap().set_len(1 << 36).unwrap();
        }
        let names = [said, name, "longer than 128 MiB"];
        match name {
            "a.jsonl" => refusals.check(name, &names, || read_task(task(&path))),
            _ => refusals.check(name, &names, || read_corpus(&path, DocumentUnit::Line)),
        }
    }
    let bomb = TempFolder::new();
    let line = packed(&bomb, "line.txt.gz", &[b'a'; 1 << 20], 200);
    refusals.check("a packed line", &["line 1 of", "line.txt.gz"], || read_corpus(&line, DocumentUnit::Line));
    let lines = packed(&bomb, "lines.txt.gz", &b"a line of text\n".repeat(1 << 16), 200);
    for unit in [DocumentUnit::Paragraph, DocumentUnit::File, DocumentUnit::Between("x".to_owned())] {
        let said = ["the document from line 1 of", "lines.txt.gz"];
        refusals.check("a document without end", &said, || read_corpus(&lines, unit));
    }
    let grown = peak_kib() - before;
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB");
    refusals.finish(7);
}

#[test]
fn packed_files_that_are_cut_or_not_packed_are_refused() {
    let mut refusals = Refusals::default();
    for name in ["a.jsonl", "a.txt", "a.json"] {
        let folder = TempFolder::new();
        let whole = fs::read(packed(&folder, "whole.gz", GOOD.as_bytes(), 100)).unwrap();
        let (packing, frame) = (".zst", zstd::encode_all(GOOD.repeat(100).as_bytes(), 1).unwrap());
        for (packing, whole) in [(".gz", &whole), (packing, &frame)] {
            for bytes in [
                &whole[..whole.len() - 3],
                &whole[..whole.len() / 2],
                &whole[..5],
                b"plain text",
                b"\0\0\0\0\0\0\0\0",
            ] {
                refused(&mut refusals, &format!("{name}{packing}"), bytes, "");
            }
        }
        refused(&mut refusals, &format!("{name}.xz"), b"\xfd7zXZ\0 and nothing of it", "");
        refused(&mut refusals, &format!("{name}.xz"), b"plain text", "");
    }
    refusals.finish(36);
}

/// Reads the rows of `path` as a task does whose templates ask nothing of them.
pub fn read_rows(path: &Path) -> Result<usize> {
    read_task(FileTask { prompt: "q".to_owned(), label: "0".to_owned(), ..task(path) })
}

/// Reads the texts of `path`.
pub fn read_texts(path: &Path) -> Result<usize> {
    read_corpus(path, DocumentUnit::Paragraph)
}
