//! Templates that would fill the memory or never end: refused in bounded memory, whatever they do it with.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use crate::bad_inputs::{SWEEP, good};
use crate::temp_folder::TempFolder;

/// Addresses that a refusal may take, in KiB: a plan itself takes little.
const KIBIBYTES: u32 = 5 << 20;

/// Templates over a text `s` of a million letters. Most are refused by what they pay; the last ones make what the
/// engine does not count, and are stopped as they grow.
const TEMPLATES: [&str; 42] = [
    r#"{{ "x" * 200000000 }}"#,
    r#"{{ "x" * 99999999999999999999 }}"#,
    "{% set n = namespace(a=s) %}{% for i in range(40) %}{% set n.a = n.a ~ n.a %}{% endfor %}{{ n.a|length }}",
    "{% set n = namespace(a=s) %}{% for i in range(40) %}{% set n.a = n.a + n.a %}{% endfor %}{{ n.a|length }}",
    "{% set n = namespace(a=s) %}{% for i in range(40) %}{% set n.a %}{{ n.a }}{{ n.a }}{% endset %}{% endfor %}",
    "{% macro f(x, k) %}{% if k > 0 %}{{ f(x ~ x, k - 1) }}{% else %}{{ x }}{% endif %}{% endmacro %}{{ f(s, 30) }}",
    "{% for a in range(100000) %}{% for b in range(100000) %}{{ s }}{% endfor %}{% endfor %}",
    "{% for a in range(100000) %}{% for b in range(100000) %}hello, hello, hello{% endfor %}{% endfor %}",
    "{% for a in range(10000000) %}a{% endfor %}",
    "{{ ([s] * 100000)|join|length }}",
    "{{ ([s] * 100000)|join(',')|length }}",
    "{{ ''.join([s] * 100000)|length }}",
    "{{ ','.join([s] * 100000)|length }}",
    "{{ ([s] * 100000)|string|length }}",
    "{{ [s] * 100000 }}",
    "{{ [[[[[[s] * 100] * 100] * 100] * 100] * 100] * 100 }}",
    "{{ {'a': [s] * 100000} }}",
    "{{ '{:>9999999999}'.format('a')|length }}",
    "{{ '{:>9223372036854775807}'.format('a')|length }}",
    "{{ '%9999999999d'|format(1)|length }}",
    "{{ '%.999999999f'|format(1.0)|length }}",
    "{{ (([1] * 100000000)|list)|length }}",
    "{{ s|replace('x', s)|length }}",
    "{{ s.replace('x', s)|length }}",
    "{{ s.replace('', s)|length }}",
    "{{ s|regex_replace('x', s)|length }}",
    "{{ s|regex_replace('', s)|length }}",
    "{{ (s * 90)|regex_findall('x')|length }}",
    "{{ 'a\nb'|indent(99999999999) }}",
    "{{ ['a']|batch(100000000, 'x')|list|length }}",
    "{{ ['a']|slice(100000000)|list|length }}",
    "{{ ([s] * 1000)|map('upper')|list|length }}",
    "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a }}",
    "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a|string }}",
    "{% set n = namespace(a=[1]) %}{% for i in range(9999) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a }}",
    "{% set n = namespace(a={}) %}{% for i in range(60) %}{% set n.a = {'a': n.a, 'b': n.a} %}{% endfor %}{{ n.a }}",
    "{{ [1].index(([s] * 100000)) }}",
    "{{ ([s] * 100000).index(1) }}",
    "{{ ([s] * 100000) ~ '' }}",
    "{{ ([s] * 100000) in 'a' }}",
    "{{ ([s] * 100000)|pprint|length }}",
    "{% set n = namespace(a=[s]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a ~ '' }}",
];

/// Runs the program where the system gives so many addresses and no more.
fn run_within(folder: &TempFolder, arguments: &[&str]) -> Output {
    let mut program = Command::new("sh");
    program.args(["-c", &format!(r#"ulimit -v {KIBIBYTES}; exec "$0" "$@""#), env!("CARGO_BIN_EXE_dtr")]);
    program.current_dir(folder.root()).args(arguments).output().unwrap()
}

/// What is wrong with the answer to a template, which must name `place`.
fn wrong(output: &Output, place: &str) -> Option<String> {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_told = output.status.code() == Some(2) && said.contains(place) && said.len() < 4_000;
    let code = (output.status.code(), output.status.signal());
    (!is_told || said.contains("panicked")).then(|| format!("{code:?} {}", &said[..said.len().min(500)]))
}

#[test]
fn templates_of_tasks_are_refused_before_they_fill_the_memory() {
    let mut failures = Vec::new();
    for template in TEMPLATES {
        let folder = good();
        let prompt = format!("{{% set s = 'x' * 1000000 %}}{template}");
        folder.write(
            "main.toml",
            SWEEP.replace(
                "{{ said }} where is the lamp? in the",
                &prompt.replace('"', "'").replace('\n', "\\n"),
            ),
        );
        let output = run_within(&folder, &["plan", "main.toml"]);
        failures.extend(wrong(&output, "row 1 of `rows.jsonl`").map(|said| format!("{template}: {said}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn texts_that_are_small_one_by_one_are_refused_together() {
    let folder = good();
    folder.write("main.toml", SWEEP.replace("{{ said }} where is the lamp? in the", "{{ 'x' * 50000000 }}"));
    folder.write("rows.jsonl", "{\"said\": \"the lamp\", \"room\": 0}\n".repeat(100));
    let output = run_within(&folder, &["plan", "main.toml"]);
    assert_eq!(wrong(&output, "the split's texts are more than 1.0 GiB"), None);
}

#[test]
fn chat_templates_are_refused_before_they_fill_the_memory() {
    let of_json = [
        "{{ ([s] * 100000)|tojson }}",
        "{{ [1]|tojson(indent=9999999999) }}",
        "{{ [1]|tojson(indent=s) }}",
        "{{ ([1] * 1000)|tojson(separators=(s, s)) }}",
        "{{ ([1] * 100000000)|tojson }}",
        "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a|tojson }}",
        "{% set n = namespace(a=[1]) %}{% for i in range(9999) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a|tojson }}",
        "{{ strftime_now('%c' * 40000000) }}",
    ];
    let folder = good();
    let mut failures = Vec::new();
    // Of those of tasks some: they keep to the same rations.
    let of_tasks = TEMPLATES.into_iter().filter(|template| !template.contains("regex")).step_by(5);
    for template in of_json.into_iter().chain(of_tasks) {
        fs::write(
            folder.path("base/chat_template.jinja"),
            format!("{{% set s = 'x' * 1000000 %}}{template}"),
        )
        .unwrap();
        let output = run_within(&folder, &["generate", "base", "hello", "--chat", "--max-tokens", "1"]);
        failures.extend(wrong(&output, "the chat template").map(|said| format!("{template}: {said}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
