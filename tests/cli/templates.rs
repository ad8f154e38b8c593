//! Tests that `dtr` refuses templates that run forever or need too much memory.

use crate::bad_inputs::{MANIFEST, dtr, valid_folder};
use crate::dtr_command::DtrOutput;
use crate::temp_folder::TempFolder;

/// The address space, in KiB, in which the program must be able to refuse a template.
const ADDRESS_SPACE: u32 = 5 << 20;

/// Templates that `dtr` must refuse. The variable `s` in these templates is a text of a million letters.
///
/// Some of the last templates build values for which the template engine charges no fuel (its budget of
/// work). The limit on the memory growth of the process stops these templates.
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

/// The prompt of [`MANIFEST`].
const PROMPT: &str = "{{ said }} where is the lamp? in the";

/// Prepends the definition of `s` to a template.
fn with_text(template: &str) -> String {
    format!("{{% set s = 'x' * 1000000 %}}{template}")
}

fn write_prompt(folder: &TempFolder, prompt: &str) {
    let prompt = prompt.replace('"', "'").replace('\n', "\\n");
    folder.write("main.toml", MANIFEST.replace(PROMPT, &prompt));
}

fn run_limited(folder: &TempFolder, arguments: &[&str]) -> DtrOutput {
    dtr(folder, arguments).with_address_space(ADDRESS_SPACE).finish()
}

/// Returns `None` for a correct refusal, and a description of any other output. A correct refusal has exit
/// code 2, is short, and names `place`.
fn check_refusal(output: &DtrOutput, place: &str) -> Option<String> {
    let message = output.stderr();
    let is_refused = output.code() == Some(2) && message.contains(place) && message.len() < 4_000;
    let start: String = message.chars().take(500).collect();
    (!is_refused || message.contains("panicked")).then(|| format!("{}: {start}", output.status()))
}

#[test]
fn task_templates_are_refused_before_they_exhaust_the_memory() {
    let mut failures = Vec::new();
    for template in TEMPLATES {
        let folder = valid_folder();
        write_prompt(&folder, &with_text(template));
        let output = run_limited(&folder, &["plan", "main.toml"]);
        failures.extend(
            check_refusal(&output, "row 1 of `rows.jsonl`").map(|reason| format!("{template}: {reason}")),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn texts_that_are_small_one_by_one_are_refused_together() {
    let folder = valid_folder();
    write_prompt(&folder, "{{ 'x' * 50000000 }}");
    folder.write("rows.jsonl", "{\"said\": \"the lamp\", \"room\": 0}\n".repeat(100));
    let output = run_limited(&folder, &["plan", "main.toml"]);
    assert_eq!(check_refusal(&output, "the split's texts are longer than 1.0 GiB"), None);
}

#[test]
fn chat_templates_are_refused_before_they_exhaust_the_memory() {
    let json_templates = [
        "{{ ([s] * 100000)|tojson }}",
        "{{ [1]|tojson(indent=9999999999) }}",
        "{{ [1]|tojson(indent=s) }}",
        "{{ ([1] * 1000)|tojson(separators=(s, s)) }}",
        "{{ ([1] * 100000000)|tojson }}",
        "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a|tojson }}",
        "{% set n = namespace(a=[1]) %}{% for i in range(9999) %}{% set n.a = [n.a] %}{% endfor %}{{ n.a|tojson }}",
        "{{ strftime_now('%c' * 40000000) }}",
    ];
    let folder = valid_folder();
    let mut failures = Vec::new();
    // Chat templates have the same limits as task templates, so the test also tries some of `TEMPLATES`.
    let task_templates = TEMPLATES.into_iter().filter(|template| !template.contains("regex")).step_by(5);
    for template in json_templates.into_iter().chain(task_templates) {
        folder.write("base/chat_template.jinja", with_text(template));
        let output = run_limited(&folder, &["generate", "base", "hello", "--chat", "--max-tokens", "1"]);
        failures.extend(
            check_refusal(&output, "the chat template").map(|reason| format!("{template}: {reason}")),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
