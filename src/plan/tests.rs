//! What enters a key and what does not.

use std::path::Path;

use super::*;
use crate::manifest::load;

/// Takes the place of the quickstart's base, so that no test needs weights.
const TINY: &str = "models.mini.source={ pretrain = { hidden-size = 32, intermediate-size = 64, \
                    num-layers = 4, num-heads = 4, num-kv-heads = 2, head-dim = 8 } }";

fn try_quickstart(sets: &[&str]) -> crate::error::Result<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/quickstart.toml");
    let sets: Vec<String> = [TINY].iter().chain(sets).map(|set| (*set).to_owned()).collect();
    plan(&load(&path, &sets)?)
}

/// The plan of the quickstart with some values overridden.
fn quickstart(sets: &[&str]) -> Plan {
    try_quickstart(sets).unwrap()
}

fn keys(plan: &Plan, stage: crate::store::Stage) -> Vec<crate::store::Key> {
    plan.of(stage).map(|cell| cell.key).collect()
}

#[test]
fn names_and_presentation_enter_no_key() {
    let plain = quickstart(&[]);
    for set in [r#"name="other""#, r#"question="why?""#, "report.confidence=0.9", r#"report.title="T""#] {
        let changed = quickstart(&[set]);
        assert!(plain.cells.iter().zip(&changed.cells).all(|(a, b)| a.key == b.key), "{set}");
    }
}

#[test]
fn a_threshold_changes_searches_and_no_twins() {
    use crate::store::Stage::{Distil, Search};
    let (plain, changed) = (quickstart(&[]), quickstart(&["search.stop={ never = {} }"]));
    assert_eq!(keys(&plain, Distil), keys(&changed, Distil));
    assert!(keys(&plain, Search).iter().all(|key| !keys(&changed, Search).contains(key)));
}

#[test]
fn a_recipe_changes_twins_and_the_searches_that_take_them() {
    use crate::store::Stage::Pretrain;
    let changed = quickstart(&["distil.seed=9"]);
    let twins_and_searches = quickstart(&[]).cells.into_iter().filter(|cell| cell.stage > Pretrain);
    assert!(twins_and_searches.into_iter().all(|cell| changed.cell(&cell.key).is_none()));
}

#[test]
fn axes_multiply_and_name_their_cells() {
    let plan = quickstart(&[r#"sweep.axes."distil.token-budget"=["64k", "128k"]"#]);
    assert_eq!(plan.of(crate::store::Stage::Distil).count(), 6);
    assert_eq!(plan.of(crate::store::Stage::Search).count(), 24);
    let first = &plan.of(crate::store::Stage::Distil).next().unwrap().labels.axes;
    assert_eq!(first["distil.token-budget"], "64k");
}

#[test]
fn an_axis_that_changes_nothing_is_refused() {
    // Without variants nothing is distilled, so a recipe of distillation decides no cell.
    let axis = r#"sweep.axes."distil.token-budget"=["64k", "128k"]"#;
    let error = try_quickstart(&["sweep.variant=[]", axis]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "two cells of the sweep are the same work: `mini recall distil.token-budget=64k` and \
         `mini recall distil.token-budget=128k`"
    );
}

#[test]
fn two_names_for_one_definition_are_refused() {
    let again = "variants.again={ block = { gla = {} } }";
    let error = try_quickstart(&[again, r#"sweep.variant=["gla", "again"]"#]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "two cells of the sweep are the same work: `mini gla recall` and `mini again recall`"
    );
}

#[test]
fn the_base_score_is_shared_by_variants() {
    let plan = quickstart(&[]);
    let scores: Vec<_> = plan
        .cells
        .iter()
        .filter_map(|cell| match &cell.work {
            Work::Search(work) => Some(Scoring {
                base: work.base.clone(),
                twins: Some(work.twins),
                task: work.task.clone(),
                split: crate::data::Split::Validation,
                identity: work.validation.clone(),
                layers: Vec::new(),
            }),
            _ => None,
        })
        .map(|scoring| Cell::score(scoring, Labels::default()).unwrap().key)
        .collect();
    let distinct: std::collections::BTreeSet<_> = scores.iter().collect();
    assert_eq!((scores.len(), distinct.len()), (12, 4));
}

/// The counts that the models' own pages print.
#[test]
fn the_published_shapes_have_the_published_numbers_of_parameters() {
    for (name, parameters) in [
        ("llama-3.1-8b-instruct", 8_030_261_248),
        ("llama-3.2-3b-instruct", 3_212_749_824),
        ("qwen2.5-1.5b", 1_543_714_304),
        ("qwen3-0.6b", 596_049_920),
    ] {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join(format!("experiments/base/configs/{name}.json"));
        let config = crate::model::Config::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(config.num_parameters(), parameters, "{name}");
    }
}
