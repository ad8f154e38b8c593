//! The geometric baseline solves easy gaps, and its text is always a road.

use dtr_opendrive::baseline::baseline;
use dtr_opendrive::gap::{Gap, Neighbors, gaps};
use dtr_opendrive::map::Map;
use dtr_opendrive::metric::{Tolerance, score_answer};

use crate::support::{THREE_ROADS, published, read, synthetic};

/// How many of the map's gaps the baseline solves. Its texts must be roads.
fn solved(map: &Map) -> (usize, usize) {
    let gaps = gaps(map);
    let success = |gap: &&Gap| {
        let neighbors = Neighbors::of(map, gap).unwrap();
        let text = baseline(gap, &neighbors);
        let hidden = map.road(&gap.road).unwrap();
        let score = score_answer(map, gap, &neighbors, hidden, &text, &Tolerance::default());
        score.parts.unwrap_or_else(|error| panic!("road {}: {error}\n{text}", gap.road));
        score.success
    };
    (gaps.iter().filter(success).count(), gaps.len())
}

#[test]
fn a_bend_between_straight_roads_is_not_an_arc_for_the_baseline() {
    // The neighbours are straight, so the baseline puts short lines at the ends.
    assert_eq!(solved(&read(THREE_ROADS).map), (0, 1));
}

#[test]
fn the_baseline_solves_about_two_thirds_of_synthetic_gaps() {
    let counts: Vec<_> = synthetic().iter().map(|(_, map)| solved(map)).collect();
    let (solved, all) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let share = solved as f64 / all as f64;
    assert!((0.5..0.8).contains(&share), "{solved} of {all}");
}

#[test]
fn the_baseline_gives_a_road_for_each_gap_of_published_maps() {
    let Some(maps) = published() else { return };
    let town06 = maps.iter().find(|(name, _)| name == "Town06.xodr").unwrap();
    let (count, all) = solved(&town06.1.map);
    assert!(count >= 15 && all == 163, "{count} of {all}");
    for (_, file) in &maps {
        solved(&file.map);
    }
}
