//! The text of each hidden road gives the road back, within the metric's tolerance.

use dtr_opendrive::gap::{Gap, Neighbors, PromptOptions, gaps, prompt};
use dtr_opendrive::items::{GapTask, View};
use dtr_opendrive::map::Map;
use dtr_opendrive::metric::{Tolerance, score_answer};
use dtr_opendrive::text::encode;

use crate::support::{published, synthetic};

/// The gaps whose road does not come back from its own text, and the number of all gaps.
fn failures(map: &Map, with_elevation: bool) -> (Vec<String>, usize) {
    let gaps = gaps(map);
    let fails = |gap: &&Gap| {
        let neighbors = Neighbors::of(map, gap).unwrap();
        let hidden = map.road(&gap.road).unwrap();
        let answer = encode(hidden, gap, &neighbors, with_elevation);
        !score_answer(map, gap, &neighbors, hidden, &answer, &Tolerance::default()).success
    };
    (gaps.iter().filter(fails).map(|gap| gap.road.clone()).collect(), gaps.len())
}

#[test]
fn hidden_roads_of_synthetic_maps_score_100_percent_in_all_views() {
    for (name, map) in synthetic() {
        for view in View::ALL {
            let (failures, count) = failures(&view.of(&map), true);
            assert!(count > 20, "{name} has only {count} gaps");
            assert!(failures.is_empty(), "{name} {view:?}: {failures:?} of {count}");
        }
    }
}

#[test]
fn hidden_roads_of_published_maps_score_100_percent_in_all_views() {
    let Some(maps) = published() else { return };
    assert_eq!(maps.len(), 53);
    let mut total = 0;
    for (name, file) in &maps {
        for view in View::ALL {
            let (failures, count) = failures(&view.of(&file.map), false);
            assert!(failures.is_empty(), "{name} {view:?}: {failures:?} of {count}");
            total += count;
        }
    }
    assert_eq!(total % 4, 0, "each view has the same number of items");
    assert!(total > 4 * 1200, "{total} items");
}

#[test]
fn the_prompt_tells_nothing_of_the_hidden_road() {
    let options = PromptOptions { elevation: true, ..PromptOptions::default() };
    for (name, map) in synthetic() {
        for gap in gaps(&map) {
            let hidden = map.without(&gap.road);
            assert_eq!(prompt(&map, &gap, &options), prompt(&hidden, &gap, &options), "{name} {}", gap.road);
        }
    }
}

#[test]
fn items_are_short_and_named_by_map_view_and_road() {
    let (name, map) = synthetic().swap_remove(0);
    let task = GapTask::new(&name, &map, View::Reflected, PromptOptions::default());
    let items = task.items();
    assert_eq!(items.len(), gaps(&map).len());
    for item in &items {
        assert!(item.prompt.len() < 500 && item.answer.len() < 400, "{}\n{}", item.prompt, item.answer);
        assert!(item.prompt.ends_with('\n') && !item.answer.ends_with('\n'));
        assert_eq!(item.id.to_string(), format!("synthetic 0/reflected/{}", item.id.road));
        assert!(task.score(&item.id.road, &item.answer, &Tolerance::default()).unwrap().success);
    }
    assert!(task.score("no such road", "", &Tolerance::default()).is_err());
}
