//! Tasks over rows of files: invalid rows, templates, labels and choices are refused with their place.

use dtr::data::{Choices, FileTask};

use crate::file_readers::{VALID_ROW, check_file, read_task, task};
use crate::refusals::Refusals;
use crate::temp_folder::TempFolder;

#[test]
fn rows_that_are_not_tables_are_refused_with_their_line() {
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
        let lines = [VALID_ROW.repeat(2).as_bytes(), row, b"\n", VALID_ROW.as_bytes()].concat();
        check_file(&mut refusals, "a.jsonl", &lines, &["line 3"]);
        if !row.ends_with(b" {}") {
            let list = [b"[", VALID_ROW.as_bytes(), b",", row, b"]"].concat();
            check_file(&mut refusals, "a.json", &list, &[]);
        }
    }
    for deep in ["[".repeat(200_000), "{\"a\":".repeat(200_000)] {
        check_file(&mut refusals, "a.jsonl", format!("{VALID_ROW}{{\"a\":{deep}\n").as_bytes(), &["line 2"]);
        check_file(&mut refusals, "a.json", format!("[{{\"a\":{deep}").as_bytes(), &[]);
    }
    for list in ["{}", "1", "null", "[", "[{}", "[{},]", "[{}] []", "", "[1]", "{\"a\": []}"] {
        check_file(&mut refusals, "a.json", list.as_bytes(), &[]);
    }
    for (name, bytes) in
        [("a.csv", "text\nx"), ("a", "x"), ("a.jsonl.bz2", "x"), ("a.bin", "x"), ("a.pkl", "x")]
    {
        check_file(&mut refusals, name, bytes.as_bytes(), &[]);
    }
    refusals.finish(120);
}

/// Returns a row whose label is the JSON value `label`.
fn row(label: &str) -> String {
    format!("{{\"question\": \"q\", \"label\": {label}, \"texts\": [\"a\", \"b\"]}}\n")
}

#[test]
fn a_label_that_names_no_choice_is_refused_with_its_row() {
    let mut refusals = Refusals::default();
    for label in
        ["2", "-1", "99999999999999999999", "1.5", "1e300", "\"maybe\"", "\"\"", "null", "[0]", "{}", "\"0\""]
    {
        let folder = TempFolder::new();
        let path = folder.write("a.jsonl", row("0") + &row(label));
        let file = path.display().to_string();
        let texts = ["row 2", &file, "label"];
        refusals.check(label, &texts, || read_task(task(&path)));
        let of_column = FileTask { choices: Choices::Each("texts".to_owned()), ..task(&path) };
        refusals.check(label, &texts, || read_task(of_column));
    }
    refusals.finish(22);
}

/// Checks that a task with a fault is refused by an error that names the wrong key of its manifest.
fn check_task(refusals: &mut Refusals, case: &str, key: &str, fault: impl FnOnce(&mut FileTask)) {
    let folder = TempFolder::new();
    let mut task = task(&folder.write("a.jsonl", row("0")));
    fault(&mut task);
    refusals.check(case, &[key], || read_task(task));
}

#[test]
fn an_invalid_prompt_is_refused() {
    let mut refusals = Refusals::default();
    let loops = "{% for a in range(99999) %}".repeat(3) + &"{% endfor %}".repeat(3);
    for (case, prompt) in [
        ("an unknown column", "{{ nothing }}"),
        ("an expression without an end", "{{ question"),
        ("a loop without an end", "{% for a in b %}"),
        ("a template that includes a file", "{% include '/etc/passwd' %}"),
        ("a template that imports a file", "{% import 'x' as x %}{{ x }}"),
        ("an unknown filter", "{{ question|system }}"),
        ("an unknown method", "{{ question.__class__() }}"),
        ("an invalid regular expression", "{{ question|regex_replace('(', '') }}"),
        ("a regular expression beyond memory", "{{ question|regex_findall('a{1000}{1000}{1000}') }}"),
        ("loops that take too long", &loops),
        ("a text beyond memory", "{{ 'a' * 1000000000000 }}"),
    ] {
        check_task(&mut refusals, case, "prompt", |task| task.prompt = prompt.to_owned());
    }
    refusals.finish(11);
}

#[test]
fn invalid_choices_and_labels_are_refused() {
    let mut refusals = Refusals::default();
    check_task(&mut refusals, "a continuation that fails", "continuation", |task| {
        task.continuation = Some("{{ choice.x.y }}".to_owned());
    });
    check_task(&mut refusals, "choices that are no list", "choices", |task| {
        task.choices = Choices::Each("1".to_owned());
    });
    check_task(&mut refusals, "choices that are no expression", "choices", |task| {
        task.choices = Choices::Each("texts +".to_owned());
    });
    check_task(&mut refusals, "no choices", "label", |task| task.choices = Choices::Fixed(Vec::new()));
    check_task(&mut refusals, "a label that is no expression", "label", |task| {
        task.label = "label ==".to_owned();
    });
    check_task(&mut refusals, "a label beyond all numbers", "label", |task| {
        task.label = "10 ** 30".to_owned()
    });
    refusals.finish(6);
}

#[test]
fn a_file_without_rows_is_named() {
    let mut refusals = Refusals::default();
    for (name, bytes) in [("a.jsonl", ""), ("a.jsonl", "\n\n"), ("a.json", "[]")] {
        let folder = TempFolder::new();
        let path = folder.write(name, bytes);
        refusals.check("no rows", &[&path.display().to_string()], || read_task(task(&path)));
    }
    refusals.finish(3);
}
