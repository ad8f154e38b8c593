//! Tests of items, splits and scores of tasks with maps.

use std::collections::BTreeMap;

use super::*;
use crate::data::{Task, TaskSource};

const MAP: &str = include_str!("../../../crates/dtr-opendrive/tests/opendrive/three_roads.xodr");

/// Returns a task with synthetic maps. `test` is the table of the test split.
fn task(test: &str) -> Task {
    let text = format!(
        "source.opendrive = {{ train = {{ synthetic = {{ maps = 3, seed = 1, junctions = 2 }}, \
         views = [\"plain\", \"reflected\"] }}, \
         validation = {{ synthetic = {{ maps = 1, seed = 2, junctions = 2 }} }}, test = {test} }}"
    );
    toml::from_str(&text).unwrap()
}

fn items(task: &Task, split: Split) -> Result<Vec<GenerativeItem>> {
    let TaskSource::Opendrive(task) = &task.source else { panic!("the task has no maps") };
    load_road_items(task, split)
}

fn scorer() -> RoadScorer {
    RoadScorer::new(RoadTolerance::default())
}

#[test]
fn items_are_the_same_each_time_and_their_targets_are_right() {
    let task = task("{ synthetic = { maps = 2, seed = 3 } }");
    let (first, second) = (items(&task, Split::Test).unwrap(), items(&task, Split::Test).unwrap());
    let texts = |items: &[GenerativeItem]| -> Vec<_> {
        items.iter().map(|item| (item.id.clone(), item.prompt.clone(), item.target.clone())).collect()
    };
    assert_eq!(texts(&first), texts(&second));
    assert!(first.len() > 20, "{} items", first.len());
    assert!(first[0].id.starts_with("synthetic-3-00000/plain/"), "{}", first[0].id);
    let targets: Vec<String> = first.iter().map(|item| item.target.clone()).collect();
    assert!(targets.iter().all(|target| !target.contains(END_OF_ROAD)));
    let scores = scorer().score(&first.iter().collect::<Vec<_>>(), &targets).unwrap();
    assert!(scores.iter().all(|score| score.value == 1.0 && score.parts["links-equal"] == 1.0));
}

#[test]
fn a_wrong_road_has_parts_and_a_text_that_is_no_road_has_none() {
    let task = task("{ synthetic = { maps = 2, seed = 3 } }");
    let items = items(&task, Split::Test).unwrap();
    let score =
        |answer: &String| scorer().score(&[&items[0]], std::slice::from_ref(answer)).unwrap().remove(0);
    let others = items.iter().map(|item| &item.target).filter(|target| **target != items[0].target);
    let is_road = |target: &&String| score(target).parts["is-road"] == 1.0;
    let other = others.clone().find(is_road).expect("the gap can hold another road");
    let scores = [score(other), score(&"a road".to_owned())];
    assert_eq!([scores[0].value, scores[1].value], [0.0, 0.0]);
    assert_eq!(scores[0].parts["is-road"], 1.0);
    assert!(scores[0].parts.contains_key("end-position"), "{:?}", scores[0].parts);
    assert_eq!(scores[1].parts, BTreeMap::from([("is-road".to_owned(), 0.0)]));
}

#[test]
fn the_baseline_is_right_on_some_items() {
    let task = task("{ synthetic = { maps = 4, seed = 3 } }");
    let score = scorer().baseline_score(&items(&task, Split::Test).unwrap()).unwrap();
    assert!((0.4..0.9).contains(&score), "{score}");
}

#[test]
fn train_items_have_views_and_no_prompt_of_another_split() {
    let task = task("{ synthetic = { maps = 1, seed = 3 } }");
    let train = items(&task, Split::Train).unwrap();
    assert!(train.iter().any(|item| item.id.contains("/reflected/")));
    for split in [Split::Validation, Split::Test] {
        let others = items(&task, split).unwrap();
        assert!(others.iter().all(|other| train.iter().all(|item| item.prompt != other.prompt)));
    }
}

#[test]
fn a_larger_maximum_keeps_all_items_of_a_smaller_one() {
    let ids = |max: usize| -> Vec<String> {
        let task = task(&format!("{{ synthetic = {{ maps = 2, seed = 3 }}, items = {max} }}"));
        items(&task, Split::Test).unwrap().into_iter().map(|item| item.id).collect()
    };
    let (few, many) = (ids(5), ids(9));
    assert_eq!([few.len(), many.len()], [5, 9]);
    assert!(few.iter().all(|id| many.contains(id)), "{few:?} {many:?}");
}

#[test]
fn a_map_in_two_splits_is_refused() {
    let error = items(&task("{ synthetic = { maps = 1, seed = 1 } }"), Split::Test).unwrap_err();
    assert!(error.to_string().contains("have the same seed"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    for name in ["a.xodr", "b.xodr"] {
        std::fs::write(folder.path().join(name), MAP).unwrap();
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "source.opendrive = {{ validation = {{ files = [{:?}] }}, test = {{ files = [{:?}] }} }}",
        path("a.xodr"),
        path("*b.xodr")
    );
    let error = items(&toml::from_str(&text).unwrap(), Split::Test).unwrap_err();
    assert!(error.to_string().contains("is also in the validation split"), "{error}");
}

#[test]
fn a_damaged_map_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.xodr");
    std::fs::write(&path, MAP.replacen("</road>", "</rod>", 1)).unwrap();
    let error = items(&task(&format!("{{ files = [{:?}] }}", path.display())), Split::Test).unwrap_err();
    let expected = format!("cannot read {}: line ", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}
