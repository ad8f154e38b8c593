//! Checks that dtr's templates print values as Jinja prints them. The expected texts come from Jinja
//! environments that are set up as in lm-evaluation-harness and in transformers.
//!
//! Also checks that dtr prints Parquet columns as Python prints the values that pyarrow reads from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dtr::data::{Choices, FileTask, Metric, Split, SplitPolicy, Task, TaskSource, load_items};
use dtr_core::error::Result;
use dtr_model::ChatTemplate;
use serde_json::Value;

use crate::support::fixture;

fn read(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Renders the template `prompt` for each row of the file `rows`.
fn prompts(rows: &Path, prompt: &str) -> Result<Vec<String>> {
    let task = FileTask {
        train: None,
        train_items: None,
        validation: None,
        test: rows.display().to_string(),
        splits: SplitPolicy::AsPublished,
        validation_items: None,
        test_items: None,
        prompt: prompt.to_owned(),
        continuation: None,
        choices: Choices::Fixed(vec!["a".to_owned(), "b".to_owned()]),
        label: "0".to_owned(),
        metric: Metric::Acc,
        shots: None,
    };
    let items = load_items(&Task { source: TaskSource::File(task) }, Split::Test)?;
    Ok(items.into_iter().map(|item| item.prompt).collect())
}

/// Templates that dtr refuses for some values, although Jinja renders them.
const REFUSED_TEMPLATES: [&str; 4] =
    ["{{ v|pprint }}", "{{ v|abs }}", "{{ '{:,}'.format(v) }}", "{{ '{:.3f}'.format(v) }}"];

/// Returns whether dtr may differ from Jinja for a template and a value. dtr can print integers of more than
/// 128 bits, but cannot compute with them. dtr cannot negate booleans.
fn may_differ(template: &str, value: &str) -> bool {
    let is_huge = is_integer(value) && value.len() > 38 || value.contains("e100") || value.contains("e308");
    REFUSED_TEMPLATES.contains(&template) || is_huge || template.contains("**") || template == "{{ -v }}"
}

/// Renders each template with each value, and compares the text with the text from Jinja. `render` returns
/// `None` for a value that cannot be passed to a template.
///
/// If Jinja renders a text, dtr must render the same text. If [`may_differ`] returns true, dtr may refuse the
/// template instead.
fn check(environment: &str, render: impl Fn(&str, usize, &str) -> Option<Result<String>>) {
    let expected = read("values/json.json");
    let (values, templates) = (strings(&expected["values"]), strings(&expected["templates"]));
    let (mut differing, mut num_refused, mut num_accepted, mut count) = (Vec::new(), 0, 0, 0);
    for (template, texts) in templates.iter().zip(strings(&expected[environment])) {
        let texts: Vec<Option<String>> = serde_json::from_str(texts).unwrap();
        for (index, value) in values.iter().enumerate() {
            let Some(computed) = render(template, index, value) else { continue };
            count += 1;
            let place = format!("{template} of {value}");
            match (computed, texts[index].as_deref()) {
                (Ok(text), Some(expected)) if text == expected => {}
                // The template engine stores a huge integer as an object. To order an object
                // and a number, the engine compares their kinds instead of their values.
                (Ok(_), Some(_)) if *template == "{{ v > 1 }}" && may_differ(template, value) => {}
                (Ok(text), Some(expected)) => differing.push(format!("{place}: {text:?}, not {expected:?}")),
                (Err(_), Some(_)) if may_differ(template, value) => num_refused += 1,
                (Err(error), Some(expected)) => {
                    differing.push(format!("{place}: {}, not {expected:?}", error.message_with_sources()));
                }
                (Ok(_), None) => num_accepted += 1,
                (Err(_), None) => {}
            }
        }
    }
    println!(
        "{environment}: {count} texts, {num_refused} refused, {num_accepted} where Jinja raises an error"
    );
    assert!(count > 3_000 && num_refused < 200 && num_accepted < 80);
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn values_in_task_templates_become_the_text_of_jinja() {
    let folder = tempfile::tempdir().unwrap();
    let file = |index: usize| folder.path().join(format!("{index}.jsonl"));
    for (index, value) in strings(&read("values/json.json")["values"]).iter().enumerate() {
        fs::write(file(index), format!("{{\"v\": {value}}}\n")).unwrap();
    }
    check("harness", |template, index, _| {
        Some(prompts(&file(index), template).map(|prompts| prompts[0].clone()))
    });
}

#[test]
fn values_in_chat_templates_become_the_text_of_jinja() {
    let now = "2026-03-05T09:07:01".parse().unwrap();
    check("transformers", |template, _, value| {
        let parsed: Value = serde_json::from_str(value).unwrap();
        let is_exact =
            !value.contains("1234567890") && (parsed.is_i64() || parsed.is_u64() || !is_integer(value));
        let template = format!("{{% set v = messages %}}{template}");
        let chat = is_exact.then(|| ChatTemplate::new(&template, BTreeMap::new(), now))?;
        Some(chat.and_then(|chat| chat.render(&parsed, false)))
    });
}

fn is_integer(json: &str) -> bool {
    json.strip_prefix('-').unwrap_or(json).bytes().all(|digit| digit.is_ascii_digit())
}

#[test]
fn columns_of_every_parquet_type_have_the_text_of_python() {
    let expected = read("values/parquet.json");
    let mut differing = Vec::new();
    for name in ["types.parquet", "types-without-arrow.parquet"] {
        let rows = fixture(&format!("values/{name}"));
        for (column, texts) in expected[name].as_object().unwrap() {
            let texts: [Vec<String>; 2] = serde_json::from_str(texts.as_str().unwrap()).unwrap();
            let templates = [format!("{{{{ {column} }}}}"), format!("{{{{ [{column}] }}}}")];
            for (template, expected) in templates.iter().zip(texts) {
                match prompts(&rows, template) {
                    Ok(computed) if computed == expected => {}
                    computed => {
                        differing.push(format!("{name} {template}: {computed:?}, not {expected:?}"));
                    }
                }
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
