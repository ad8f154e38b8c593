//! Verdicts on the programs of `own.json`, which EvalPlus judged, and on plain programs.

use dtr_sandbox::{
    ConfinementPolicy, EvalPlusTask, InputSet, Program, ProgramLimits, ReferenceOutputs, ReferenceStatus,
    Sandbox, VerdictStatus,
};
use serde::Deserialize;

use crate::support::{child_program, limits, python, read_fixture, sandbox};

#[derive(Deserialize)]
struct OwnTasks {
    tasks: Vec<String>,
    solutions: Vec<OwnSolution>,
}

#[derive(Deserialize)]
struct OwnSolution {
    task: String,
    solution: String,
    base: ReferenceStatus,
    plus: ReferenceStatus,
}

#[test]
fn solutions_of_own_tasks_get_the_verdicts_of_evalplus() {
    let Some(sandbox) = sandbox() else { return };
    let fixture: OwnTasks = read_fixture("own.json");
    let read = |row: &String| {
        let task = EvalPlusTask::from_json_line(row).unwrap();
        let outputs = sandbox.compute_reference_outputs(&task).unwrap();
        (task, outputs)
    };
    let tasks: Vec<(EvalPlusTask, ReferenceOutputs)> = fixture.tasks.iter().map(read).collect();
    let program = |solution: &OwnSolution, input_set| {
        let (task, outputs) = tasks.iter().find(|(task, _)| task.task_id == solution.task).unwrap();
        Program::EvalPlus { task, outputs, input_set, solution: solution.solution.clone() }
    };
    for input_set in [InputSet::Base, InputSet::Plus] {
        let programs: Vec<_> =
            fixture.solutions.iter().map(|solution| program(solution, input_set)).collect();
        let verdicts = sandbox.run_programs(&programs).unwrap();
        for (solution, verdict) in fixture.solutions.iter().zip(verdicts) {
            let expected = if input_set == InputSet::Base { solution.base } else { solution.plus };
            let OwnSolution { task, solution, .. } = solution;
            assert_eq!(
                verdict.reference_status,
                Some(expected),
                "{task} {input_set:?} {solution} {verdict:?}"
            );
        }
    }
}

#[test]
fn a_plain_program_passes_if_it_ends_without_an_exception() {
    let (Some(_), Some(python)) = (sandbox(), python()) else { return };
    let short = ProgramLimits { plain_seconds: 1.0, ..limits() };
    let sandbox = Sandbox::new(child_program(), &python, short, ConfinementPolicy::Require).unwrap();
    use VerdictStatus::{Fail, Memory, Pass, Timeout};
    let humaneval = |completion: &str| {
        let test = "def check(f):\n    assert f(1) == 2\n";
        Program::Plain(format!("def f(x):\n{completion}\n{test}\ncheck(f)"))
    };
    let mbpp = |candidate: &str| Program::Plain(format!("{candidate}\nassert f(1) == 2\nassert f(2) == 3"));
    let cases = [
        (humaneval("    return x + 1\n"), Pass),
        (humaneval("    return x\n"), Fail),
        (humaneval("    return x +\n"), Fail),
        (mbpp("f = lambda x: x + 1"), Pass),
        (mbpp("f = lambda x: 2"), Fail),
        (mbpp("import os; os._exit(0)"), Fail),
        (mbpp("raise SystemExit"), Fail),
        (mbpp("open('own', 'w').close()\nf = lambda x: x + 1"), Pass),
        (mbpp("while True: pass"), Timeout),
        (mbpp("while True:\n    try:\n        while True: pass\n    except Exception: pass"), Timeout),
        (mbpp("x = bytearray(8 << 30)"), Memory),
    ];
    let (programs, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let verdicts = sandbox.run_programs(&programs).unwrap();
    let statuses: Vec<_> = verdicts.iter().map(|verdict| verdict.status).collect();
    assert_eq!(statuses, expected, "{verdicts:?}");
    let endless = &verdicts[8];
    assert!(endless.cpu_seconds > 0.2 && endless.wall_seconds >= endless.cpu_seconds * 0.9, "{endless:?}");
}

#[test]
fn programs_see_a_fixed_hash_seed_and_an_empty_environment() {
    let Some(sandbox) = sandbox() else { return };
    let code = "import os, sys\nassert hash('dtr') == hash('dtr'[:])\nassert sys.flags.hash_randomization == 0\n\
                assert set(os.environ) <= {'HOME', 'TMPDIR', 'LC_ALL', 'TZ', 'PYTHONHASHSEED', \
                'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'}, os.environ\nassert os.listdir('.') == []\n";
    let verdict = sandbox.run_program(&Program::Plain(code.to_owned())).unwrap();
    assert_eq!(verdict.status, VerdictStatus::Pass, "{verdict:?}");
}

#[test]
fn the_key_of_a_verdict_depends_on_the_program_and_the_limits() {
    let (Some(sandbox), Some(python)) = (sandbox(), python()) else { return };
    let program = Program::Plain("x = 1".to_owned());
    let mut other_limits = limits();
    other_limits.plain_seconds += 1.0;
    let other = Sandbox::new(child_program(), &python, other_limits, ConfinementPolicy::Require).unwrap();
    assert_eq!(sandbox.verdict_key(&program), sandbox.verdict_key(&program.clone()));
    assert_ne!(sandbox.verdict_key(&program), other.verdict_key(&program));
    assert_ne!(sandbox.verdict_key(&program), sandbox.verdict_key(&Program::Plain("x = 2".to_owned())));
}

#[test]
fn the_error_of_a_reference_solution_names_the_task() {
    let Some(sandbox) = sandbox() else { return };
    let row = r#"{"task_id": "HumanEval/9", "prompt": "def f(x):\n", "entry_point": "f",
        "canonical_solution": "    return 1 / x\n", "base_input": [[0]], "plus_input": [], "atol": 0}"#;
    let task = EvalPlusTask::from_json_line(row).unwrap();
    let error = sandbox.compute_reference_outputs(&task).unwrap_err();
    let expected =
        "cannot compute the reference outputs of `HumanEval/9`: ZeroDivisionError: division by zero";
    assert_eq!(error.to_line(), expected);
}
