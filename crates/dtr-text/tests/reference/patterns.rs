//! Compares matches of regular expressions with those of Python's module `re`.

use dtr_text::python_regex::PythonRegex;
use serde::Deserialize;

use crate::read_fixture;

#[derive(Deserialize)]
struct Matches {
    pattern: String,
    groups: usize,
    results: Vec<(String, Vec<Groups>, String)>,
}

/// A match in the form that `re.findall` returns. If the pattern has at most one group, a match is a text.
/// Otherwise, a match is a list of the groups' texts.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Groups {
    One(String),
    Several(Vec<String>),
}

fn as_python(groups: &[Option<&str>]) -> Groups {
    let text = |group: &Option<&str>| group.unwrap_or_default().to_owned();
    match groups {
        [one] | [_, one] => Groups::One(text(one)),
        _ => Groups::Several(groups[1..].iter().map(text).collect()),
    }
}

#[test]
fn patterns_match_what_they_match_in_python() {
    let rows: Vec<Matches> = read_fixture("patterns");
    assert!(rows.len() > 200);
    let mut differences = Vec::new();
    for row in rows {
        let regex = match PythonRegex::new(&row.pattern) {
            Ok(regex) => regex,
            Err(error) => {
                differences.push(error.to_line());
                continue;
            }
        };
        assert_eq!(regex.num_groups(), row.groups, "{}", row.pattern);
        for (text, found, removed) in row.results {
            let ours: Vec<_> =
                regex.find_all(&text).unwrap().iter().map(|groups| as_python(groups)).collect();
            let rest = regex.remove_all(&text).unwrap();
            if ours != found || rest != removed {
                differences.push(format!("`{}` in {text:?}: {ours:?}, Python: {found:?}", row.pattern));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn patterns_that_python_refuses_are_refused() {
    let patterns: Vec<String> = read_fixture("invalid_patterns");
    let accepted: Vec<_> = patterns.iter().filter(|pattern| PythonRegex::new(pattern).is_ok()).collect();
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[test]
fn constructs_without_an_equal_are_refused_with_a_hint() {
    for pattern in [r"(?a)\w", r"(?L:a)", r"\N{DIGIT ONE}"] {
        let error = PythonRegex::new(pattern).unwrap_err().to_line();
        assert!(error.starts_with(&format!("cannot read the regular expression `{pattern}`")), "{error}");
        assert!(error.contains("not supported") && error.contains("hint: "), "{error}");
    }
}

#[test]
fn a_search_with_exponentially_many_steps_ends_with_an_error() {
    let regex = PythonRegex::new(r"(a+)+\1b").unwrap();
    let error = regex.find_all(&"a".repeat(60)).unwrap_err();
    assert!(error.to_string().ends_with("too many steps"), "{error}");
}
