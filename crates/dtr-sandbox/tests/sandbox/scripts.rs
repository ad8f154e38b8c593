//! Scores of a user's script: what the script reads, what counts as a score, and what the script may do.

use dtr_sandbox::{ProgramLimits, Sandbox, ScoringScript};

use crate::support::{child_program, limits, python, sandbox};

/// The beginning of scripts that read their input.
const READ: &str = "import json, sys\nitem = json.load(sys.stdin)\n";

fn script(source: &str) -> ScoringScript {
    let arguments = vec!["--scale".to_owned(), "0.5".to_owned()];
    ScoringScript { name: "score.py".to_owned(), source: source.to_owned(), arguments }
}

fn run(sandbox: &Sandbox, source: &str) -> Result<f64, String> {
    sandbox.run_script(&script(source), &["{}"]).unwrap().remove(0)
}

#[test]
fn a_script_reads_each_input_and_its_arguments() {
    let Some(sandbox) = sandbox() else { return };
    let source =
        format!("{READ}print(item['value'] * float(sys.argv[2]) if sys.argv[0] == 'score.py' else 1)");
    let inputs = [r#"{"value": 1, "text": "é\n"}"#, r#"{"value": 0.5}"#, r#"{"other": 1}"#];
    let scores = sandbox.run_script(&script(&source), &inputs).unwrap();
    assert_eq!(scores[..2], [Ok(0.5), Ok(0.25)]);
    assert_eq!(scores[2], Err("line 3: KeyError: 'value'".to_owned()));
}

#[test]
fn the_score_is_the_last_printed_line_and_lies_between_0_and_1() {
    let Some(sandbox) = sandbox() else { return };
    let scored = [
        ("print('a note')\nprint('0.25 ')\nprint()", 0.25),
        ("print('true')", 1.0),
        ("print(1 == 1)", 1.0),
        ("import json\nprint(json.dumps(False))", 0.0),
        ("print(1)\nraise SystemExit", 1.0),
        ("import sys\nsys.stdout.buffer.write(b'1e-3')\nsys.exit(0)", 0.001),
    ];
    for (source, score) in scored {
        assert_eq!(run(&sandbox, source), Ok(score), "{source}");
    }
    let refused = [
        ("pass", "it printed ``"),
        ("print('\"1\"')", "it printed `\"1\"`"),
        ("print(None)", "it printed `None`"),
        ("print('NaN')", "it printed `NaN`"),
        ("print(1.5)", "it printed `1.5`"),
        ("print('[1]')", "it printed `[1]`"),
        ("print(1)\nraise SystemExit('no score')", "it exited with 'no score'"),
        ("print(1)\nimport os\nos._exit(0)", "exit status: 0"),
        ("print(1", "SyntaxError"),
    ];
    for (source, cause) in refused {
        let error = run(&sandbox, source).unwrap_err();
        assert!(error.contains(cause), "{source}: {error}");
    }
}

#[test]
fn a_script_has_no_network_no_foreign_files_and_limited_time() {
    let (Some(sandbox), Some(python)) = (sandbox(), python()) else { return };
    let denied = [
        "import socket\nsocket.socket()",
        "import subprocess\nsubprocess.run(['ls'])",
        "open('/etc/passwd').read()",
        "open('/tmp/own', 'w')",
    ];
    for source in denied {
        assert!(run(&sandbox, &format!("{source}\nprint(1)")).is_err(), "{source}");
    }
    let short = ProgramLimits { script_seconds: 1.0, ..limits() };
    let policy = dtr_sandbox::ConfinementPolicy::Require;
    let sandbox = Sandbox::new(child_program(), &python, short, policy).unwrap();
    assert_eq!(run(&sandbox, "while True: pass"), Err("it exceeded 1 seconds".to_owned()));
}

#[test]
fn the_key_of_a_score_depends_on_the_script_its_arguments_and_the_input() {
    let Some(sandbox) = sandbox() else { return };
    let one = script("print(1)");
    let other_arguments = ScoringScript { arguments: Vec::new(), ..one.clone() };
    let other_name = ScoringScript { name: "other.py".to_owned(), ..one.clone() };
    let key = sandbox.score_key(&one, "{}");
    assert_eq!(key, sandbox.score_key(&one.clone(), "{}"));
    for other in [script("print(0)"), other_arguments, other_name] {
        assert_ne!(key, sandbox.score_key(&other, "{}"));
    }
    assert_ne!(key, sandbox.score_key(&one, "{\"a\": 1}"));
}
