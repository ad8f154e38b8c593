//! A base can be made from another one by fine-tuning. Later stages take the new base as they take any base.

use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::dtr_command::DtrCommand;
use crate::project::{Project, wait_until};
use crate::table_columns::{numbers, texts};

/// Settings for sweeps with two bases: `tiny`, and `tuned`, which is `tiny` after fine-tuning on `recall`. The
/// hybrid of `tiny` is fine-tuned after its search, so its table also has the scores of the fine-tuned base.
const TWO_BASES: &[&str] = &[
    r#"models.tuned.source={ finetuned = { model = "tiny", task = "recall" } }"#,
    r#"sweep.model=["tiny", "tuned"]"#,
    r#"sweep.variant=["gla"]"#,
    r#"sweep.task=["recall"]"#,
    "tasks.recall.source.synthetic.train-items=80",
    "search.stop={ never = {} }",
    "finetune.hybrids=[{ replaced = 2 }]",
    "finetune.epochs=2",
    "finetune.batch-size=16",
    "finetune.micro-batch-size=4",
    "finetune.train={ full = { mixer-learning-rate = 2e-3, rest-learning-rate = 5e-3 } }",
];

/// Returns the values of all tensors in a safetensors file, by name.
fn tensors(path: &Path) -> Vec<(String, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |tensor: &TensorView<'_>| -> Vec<f32> {
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => bytes.chunks(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect(),
            Dtype::BF16 => bytes.chunks(2).map(|x| f32::from_le_bytes([0, 0, x[0], x[1]])).collect(),
            other => panic!("{other:?}"),
        }
    };
    let mut tensors: Vec<_> = file.tensors().iter().map(|(name, one)| (name.clone(), values(one))).collect();
    tensors.sort_by(|one, other| one.0.cmp(&other.0));
    tensors
}

fn cells(plan: &Value, stage: &str) -> Vec<Value> {
    let cells = plan["cells"].as_array().unwrap().iter();
    cells.filter(|cell| cell["stage"] == stage).cloned().collect()
}

#[test]
fn a_search_starts_from_the_fine_tuned_base() {
    let project = Project::finished(TWO_BASES);
    assert_eq!(["finetune-base", "distil", "search"].map(|stage| project.num_records(stage)), [1, 2, 2]);
    let searches = project.table("searches");
    assert_eq!(texts(&searches, "model"), ["tiny", "tuned"]);
    let finetuned = project.table("finetuned_hybrids");
    let of = |model: &str, state: &str, column: &str| {
        let (models, states) = (texts(&finetuned, "model"), texts(&finetuned, "state"));
        let row = (0..models.len()).find(|row| models[*row] == model && states[*row] == state).unwrap();
        numbers(&finetuned, column)[row]
    };
    for column in ["p_test", "p_validation"] {
        assert_eq!(of("tuned", "base", column), of("tiny", "base-finetuned", column), "{column}");
    }
    let bases = numbers(&searches, "p_base");
    assert_eq!(bases, [of("tiny", "base", "p_test"), of("tiny", "base-finetuned", "p_test")]);
}

#[test]
fn the_fine_tuned_base_has_the_weights_of_the_control() {
    let project = Project::finished(TWO_BASES);
    let base = tensors(&project.cell_files("finetune-base", "model.safetensors")[0]);
    let original = tensors(&project.cell_files("pretrain", "model.safetensors")[0]);
    let control = project.cell_files("finetune", "tuned.safetensors").into_iter().map(|file| tensors(&file));
    let same_recipe = control.into_iter().any(|control| {
        control
            .iter()
            .all(|(name, values)| base.iter().any(|(other, found)| other == name && found == values))
    });
    assert!(same_recipe, "no fine-tuned base of the table has the weights of the new base");
    assert_eq!(base.len(), original.len());
    let changed = base.iter().zip(&original).filter(|(new, old)| new != old).count();
    assert!(changed > base.len() / 2, "{changed} of {} tensors changed", base.len());
}

#[test]
fn a_finished_sweep_of_a_fine_tuned_base_repeats_nothing_and_is_verified() {
    let project = Project::finished(TWO_BASES).copy();
    assert_eq!(project.sweep().json()["done"], 0);
    let plain = Project::with_settings(&TWO_BASES[2..]).plan().json();
    let both = project.plan().json();
    let keys = |plan: &Value, stage| -> Vec<Value> {
        cells(plan, stage)
            .iter()
            .filter(|cell| cell["labels"]["model"] == "tiny")
            .map(|cell| cell["key"].clone())
            .collect()
    };
    for stage in ["pretrain", "distil", "search", "finetune", "finetune-score"] {
        assert!(!keys(&plain, stage).is_empty(), "{stage}: {plain}");
        assert_eq!(keys(&plain, stage), keys(&both, stage), "{stage}");
    }
    project.command("verify").success();
}

#[test]
fn a_killed_fine_tuning_of_a_base_resumes() {
    let settings = ["tasks.recall.source.synthetic.train-items=600", "finetune.epochs=4"];
    let sweep = |project: &Project| project.sweep().sets(&settings).args(["--only", "finetune-base"]);
    let project = Project::finished(TWO_BASES).copy();
    let before = project.num_records("finetune-base");
    let started = sweep(&project).start();
    let is_checkpoint = |path: &Path| path.parent().unwrap().ends_with("checkpoint");
    let has_checkpoint =
        || project.cell_files("finetune-base", "tuned.safetensors").iter().any(|file| is_checkpoint(file));
    wait_until("a checkpoint", has_checkpoint);
    started.kill();
    sweep(&project).success();
    assert_eq!(project.num_records("finetune-base"), before + 1);
    let messages = project.messages("finetune-base");
    assert!(messages.iter().any(|line| line.contains("resumes after step")), "{messages:?}");
}

#[test]
fn a_hybrid_of_a_fine_tuned_base_is_exported_and_runs() {
    let project = Project::finished(TWO_BASES);
    let folder = project.copy();
    let generate = |directory: &Path| {
        let generate = DtrCommand::new("generate").arg(directory).arg("the lamp is in the");
        generate.args(["--max-tokens", "9", "--temperature", "0"]).json()
    };
    let search = folder.path("search");
    let export = |directory: &Path| project.command("export").arg(directory).args(["--model", "tuned"]);
    assert_eq!(export(&search).json()["layers"], json!([0, 1, 2, 3]));
    assert_eq!(generate(&search)["tokens"], 9);
    let trained = folder.path("trained");
    export(&trained).args(["--tuned", "replaced=2"]).success();
    assert_eq!(generate(&trained)["tokens"], 9);
    let weights = tensors(&search.join("model.safetensors"));
    let base = tensors(&project.cell_files("finetune-base", "model.safetensors")[0]);
    let kept = |name: &str| !name.contains(".self_attn.");
    for (name, values) in base.iter().filter(|(name, _)| kept(name)) {
        assert!(weights.iter().any(|(other, found)| other == name && found == values), "{name}");
    }
    let card = fs::read_to_string(search.join("README.md")).unwrap();
    assert!(card.contains("tuned gla recall"), "{card}");
}

#[test]
fn the_axes_of_the_recipe_are_axes_of_the_fine_tuned_base() {
    let project = Project::with_settings(TWO_BASES);
    let plan = |axes: &str| project.plan().set(axes).json();
    let seeds = plan(r#"sweep.axes={ "finetune.seed" = [0, 1, 2] }"#);
    let count = |plan: &Value, stage: &str| {
        let of =
            |model: &str| cells(plan, stage).iter().filter(|cell| cell["labels"]["model"] == model).count();
        [of("tiny"), of("tuned")]
    };
    assert_eq!(count(&seeds, "finetune-base"), [0, 3]);
    for stage in ["distil", "search"] {
        assert_eq!(count(&seeds, stage), [1, 3], "{stage}");
    }
    assert_eq!(count(&seeds, "finetune-score"), [3, 3]);
    let hybrids = plan(r#"sweep.axes={ "finetune.hybrids" = [[{ replaced = 1 }], [{ replaced = 3 }]] }"#);
    assert_eq!(count(&hybrids, "search"), [1, 1]);
}

#[test]
fn a_base_is_fine_tuned_on_two_tasks_one_after_the_other() {
    let project = Project::with_settings(TWO_BASES);
    let chain = r#"models.twice.source={ finetuned = { model = "tuned", task = "topic" } }"#;
    let plan = project.plan().set(chain).set(r#"sweep.model=["twice"]"#).json();
    let labels: Vec<_> = cells(&plan, "finetune-base")
        .iter()
        .map(|cell| {
            format!(
                "{} {}",
                cell["labels"]["model"].as_str().unwrap(),
                cell["labels"]["task"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(labels, ["tuned recall", "twice topic"]);
}

#[test]
fn the_speed_of_a_fine_tuned_base_is_that_of_its_original() {
    let project = Project::with_settings(TWO_BASES);
    let timed = r#"sweep.model=["tuned", "tiny"]"#;
    let plan = project.plan().set(timed).set("throughput.contexts=[64]").json();
    let timings = cells(&plan, "throughput");
    assert!(
        !timings.is_empty() && timings.iter().all(|cell| cell["labels"]["model"] == "tiny"),
        "{timings:?}"
    );
    let alone = project.plan().set(r#"sweep.model=["tuned"]"#).set("throughput.contexts=[64]").json();
    assert_eq!(cells(&alone, "throughput").len(), timings.len());
}

#[test]
fn a_model_that_cannot_be_fine_tuned_is_refused() {
    let project = Project::with_settings(TWO_BASES);
    let refused = |setting: &str| project.plan().set(setting).exit(2);
    let source = |model: &str, task: &str| {
        format!("models.tuned.source={{ finetuned = {{ model = \"{model}\", task = \"{task}\" }} }}")
    };
    refused(&source("tinny", "recall")).stderr_contains("no model is called `tinny`");
    refused(&source("tiny", "recal")).stderr_contains("no task is called `recal`");
    refused(&source("tuned", "recall")).stderr_contains("fine-tuned from itself");
    refused(r#"models.tuned.dtype="bf16""#)
        .stderr_contains("has the `dtype` of the model that is fine-tuned");
    let shape = r#"models.tiny.source={ shape = "config.json" }"#;
    let of_shape = project.plan().set(shape).set(r#"sweep.model=["tuned"]"#).exit(2);
    of_shape.stderr_contains("without weights cannot be fine-tuned");
    let batches = project.plan().set("finetune.hybrids=[]").set("finetune.micro-batch-size=5").exit(2);
    batches.stderr_contains("cannot be split into micro-batches of 5");
}
