//! Checks that tasks over rows of files refuse invalid rows, templates, labels and choices. The error names
//! the invalid part.

use std::fs;
use std::io::Write;
use std::path::Path;

use dtr::data::{Choices, FileTask, Item, Split, SplitPolicy, Task, TaskSource, load_items};

use crate::reader_helpers::{VALID_ROW, check_file_is_refused, count_task_items, task};
use crate::refusals::Refusals;
use crate::root;
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
        b"{\"a\": -NaN}",
        b"{\"a\": NaNNaN}",
        b"{NaN: 1}",
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
        check_file_is_refused(&mut refusals, "a.jsonl", &lines, &["line 3"]);
        if !row.ends_with(b" {}") {
            let list = [b"[", VALID_ROW.as_bytes(), b",", row, b"]"].concat();
            check_file_is_refused(&mut refusals, "a.json", &list, &[]);
        }
    }
    for deep in ["[".repeat(200_000), "{\"a\":".repeat(200_000)] {
        check_file_is_refused(
            &mut refusals,
            "a.jsonl",
            format!("{VALID_ROW}{{\"a\":{deep}\n").as_bytes(),
            &["line 2"],
        );
        check_file_is_refused(&mut refusals, "a.json", format!("[{{\"a\":{deep}").as_bytes(), &[]);
    }
    for list in ["{}", "1", "null", "[", "[{}", "[{},]", "[{}] []", "", "[1]", "{\"a\": []}"] {
        check_file_is_refused(&mut refusals, "a.json", list.as_bytes(), &[]);
    }
    for (name, bytes) in
        [("a.csv", "text\nx"), ("a", "x"), ("a.jsonl.bz2", "x"), ("a.bin", "x"), ("a.pkl", "x")]
    {
        check_file_is_refused(&mut refusals, name, bytes.as_bytes(), &[]);
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
        refusals.check(label, &texts, || count_task_items(task(&path)));
        let of_column = FileTask { choices: Choices::Each("texts".to_owned()), ..task(&path) };
        refusals.check(label, &texts, || count_task_items(of_column));
    }
    refusals.finish(22);
}

/// Checks that a task with a fault is refused. The error must name `key`, the manifest key with the fault.
fn check_task(refusals: &mut Refusals, case: &str, key: &str, fault: impl FnOnce(&mut FileTask)) {
    let folder = TempFolder::new();
    let mut task = task(&folder.write("a.jsonl", row("0")));
    fault(&mut task);
    refusals.check(case, &[key], || count_task_items(task));
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
        refusals.check("no rows", &[&path.display().to_string()], || count_task_items(task(&path)));
    }
    refusals.finish(3);
}

#[test]
fn a_row_that_lacks_a_column_is_refused_with_the_row_and_the_column() {
    let mut refusals = Refusals::default();
    let rows = "{\"q\": \"x\", \"c\": [\"a\"], \"a\": 0}\n{\"x\": 1}\n";
    for (template, column) in [("prompt", "q"), ("choices", "c"), ("label", "a"), ("continuation", "d")] {
        let folder = TempFolder::new();
        let path = folder.write("a.jsonl", rows);
        let mut task = FileTask {
            prompt: "p".to_owned(),
            label: "0".to_owned(),
            choices: Choices::Fixed(vec!["a".to_owned(), "b".to_owned()]),
            ..task(&path)
        };
        match template {
            "prompt" => task.prompt = "{{ q }}".to_owned(),
            "choices" => task.choices = Choices::Each("c".to_owned()),
            "label" => task.label = "a".to_owned(),
            _ => {
                task.continuation =
                    Some("{{ choice if x is defined else '' }}{{ d if x is defined }}".to_owned())
            }
        }
        let message = format!("the row has no column `{column}`, only `x`");
        refusals.check(template, &["row 2 of", "a.jsonl", template, &message], || count_task_items(task));
    }
    refusals.finish(4);
}

/// Returns the items of a task's test split.
fn items(task: FileTask) -> Vec<Item> {
    load_items(&Task { source: TaskSource::File(task) }, Split::Test).unwrap()
}

/// Returns a task over a file in the layout of `science.jsonl`.
fn science(path: &Path, splits: SplitPolicy) -> FileTask {
    FileTask {
        prompt: "{{ question }}".to_owned(),
        choices: Choices::Each("choices.text".to_owned()),
        label: "0".to_owned(),
        splits,
        ..task(path)
    }
}

#[test]
fn compressed_rows_are_read() {
    let folder = TempFolder::new();
    let fixtures = root().join("tests/fixtures/tasks");
    let expected = items(science(&fixtures.join("science.jsonl"), SplitPolicy::AsPublished));
    assert_eq!(expected.len(), 8);
    for name in ["science.jsonl", "science.parquet"] {
        let bytes = fs::read(fixtures.join(name)).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        for (extension, bytes) in
            [("gz", gzip.finish().unwrap()), ("zst", zstd::encode_all(&bytes[..], 1).unwrap())]
        {
            let path = folder.write(&format!("{name}.{extension}"), bytes);
            assert_eq!(items(science(&path, SplitPolicy::AsPublished)), expected, "{name}.{extension}");
        }
    }
}

#[test]
fn only_the_first_rows_are_read_if_only_they_are_wanted() {
    let folder = TempFolder::new();
    for (name, rows) in [
        ("a.jsonl", row("0").repeat(2) + "not a row"),
        ("a.json", format!("[{}, {}, not a row", row("0"), row("0"))),
    ] {
        let path = folder.write(name, rows);
        let task = FileTask { test_items: Some(2), ..science(&path, SplitPolicy::AsPublished) };
        let task = FileTask { choices: Choices::Each("texts".to_owned()), ..task };
        assert_eq!(items(task).len(), 2, "{name}");
    }
}

#[test]
fn the_json_text_of_a_row_decides_its_split() {
    let fixtures = root().join("tests/fixtures/tasks");
    let lines = fs::read_to_string(fixtures.join("science.jsonl")).unwrap();
    // The rule that assigns a row to a split must never change. Otherwise, stored cells of earlier versions
    // would hold scores of other rows.
    let is_test = |line: &str| {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        blake3::hash(serde_json::to_string(&row).unwrap().as_bytes()).as_bytes()[0] % 2 == 1
    };
    let expected: Vec<String> = lines
        .lines()
        .enumerate()
        .filter(|(_, line)| is_test(line))
        .map(|(index, _)| format!("test/{index:05}"))
        .collect();
    assert!((1..8).contains(&expected.len()), "{expected:?}");
    for name in ["science.jsonl", "science.parquet"] {
        let items = items(science(&fixtures.join(name), SplitPolicy::HeldOut));
        assert!(items.iter().map(|item| &item.id).eq(&expected), "{name}: {items:?}");
    }
    // These rows contain numbers in every form.
    let folder = TempFolder::new();
    let numbers =
        "{\"n\": [1, -2, 1e-5, 1E+16, 0.1, 3.0, 18446744073709551615], \"o\": {\"z\": null, \"a\": true}";
    let rows: Vec<String> =
        (0..64).map(|at| format!("{numbers}, \"texts\": [\"a\"], \"at\": {at}.50}}")).collect();
    let path = folder.write("a.jsonl", rows.join("\n"));
    let task = FileTask {
        choices: Choices::Each("texts".to_owned()),
        prompt: "p".to_owned(),
        ..science(&path, SplitPolicy::HeldOut)
    };
    let indices =
        rows.iter().enumerate().filter(|(_, row)| is_test(row)).map(|(at, _)| format!("test/{at:05}"));
    assert_eq!(items(task).into_iter().map(|item| item.id).collect::<Vec<_>>(), indices.collect::<Vec<_>>());
}

/// Writes rows of a task with two choices, and returns the test items of the task with `shots`.
fn items_with_shots(shots: &str, prompt: &str, continuation: Option<&str>) -> Vec<dtr::data::Item> {
    let folder = TempFolder::new();
    let row = |n: usize| format!("{{\"q\": \"{n}?\", \"a\": [\"x{n}\", \"y{n}\"], \"label\": {}}}\n", n % 2);
    let path = folder.write("rows.jsonl", (0..4).map(row).collect::<String>());
    let shots = shots.replace("OWN", &format!("{:?}", path.display().to_string()));
    let shots = toml::from_str::<toml::Table>(&format!("shots = {shots}")).unwrap();
    let task = FileTask {
        prompt: prompt.to_owned(),
        continuation: continuation.map(str::to_owned),
        choices: Choices::Each("a".to_owned()),
        shots: Some(shots["shots"].clone().try_into().unwrap()),
        ..task(&path)
    };
    load_items(&Task { source: TaskSource::File(task) }, Split::Test).unwrap()
}

#[test]
fn examples_end_with_the_correct_choice_and_precede_every_prompt() {
    let shots = "{ count = 2, from = OWN, sampler = \"first\", description = \"Answer.\\n\" }";
    let items = items_with_shots(shots, "Q: {{q}}\nA:", None);
    // The examples in a row's prompt never include the row.
    assert_eq!(items[0].prompt, "Answer.\nQ: 1?\nA: y1\n\nQ: 2?\nA: x2\n\nQ: 0?\nA:");
    assert_eq!(items[1].prompt, "Answer.\nQ: 0?\nA: x0\n\nQ: 2?\nA: x2\n\nQ: 1?\nA:");
    assert_eq!(items[3].prompt, "Answer.\nQ: 0?\nA: x0\n\nQ: 1?\nA: y1\n\nQ: 3?\nA:");
    assert_eq!(items[3].choices, ["x3", "y3"]);
}

#[test]
fn an_example_of_a_task_with_a_prompt_for_each_choice_has_the_prompt_of_the_correct_choice() {
    let shots =
        "{ count = 1, rows = [{ q = \"one\", a = [\"no\", \"yes\"], label = 1 }], delimiter = \"; \" }";
    let items = items_with_shots(shots, "{{choice}}", Some("({{q}})"));
    assert_eq!(items[2].prompts, ["yes (one); x2", "yes (one); y2"]);
    assert_eq!(items[2].choices, ["(2?)", "(2?)"]);
}
