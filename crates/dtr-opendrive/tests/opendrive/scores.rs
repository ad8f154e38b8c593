//! Each part of the metric.

use dtr_opendrive::check::Rule;
use dtr_opendrive::gap::{Gap, Neighbors};
use dtr_opendrive::map::{Link, Profile, Road};
use dtr_opendrive::metric::{Comparison, Tolerance, score_answer, score_road};

use crate::support::{THREE_ROADS, read};

/// The success and the parts of the hidden bend after a change.
fn scored(change: impl FnOnce(&mut Road)) -> (bool, Comparison) {
    let map = read(THREE_ROADS).map;
    let hidden = map.road("2").unwrap();
    let mut road = hidden.clone();
    change(&mut road);
    let score = score_road(&map, hidden, &road, &Tolerance::default());
    (score.success, score.parts.unwrap())
}

#[test]
fn the_hidden_road_itself_has_no_error() {
    let (success, parts) = scored(|_| {});
    assert!(success && parts.links_equal && parts.broken_rules.is_empty());
    assert_eq!((parts.length, parts.deviation, parts.lanes.width), (0.0, 0.0, 0.0));
}

#[test]
fn ends_count_within_their_tolerance() {
    let shift = |by: f64| move |road: &mut Road| road.plan[0].x += by;
    let (success, parts) = scored(shift(0.09));
    assert!(
        success
            && (parts.ends[0].position - 0.09).abs() < 1e-9
            && (parts.ends[1].position - 0.09).abs() < 1e-9
    );
    assert!(!scored(shift(0.11)).0);
    let turn = |by: f64| move |road: &mut Road| road.plan[0].heading += by;
    let (success, parts) = scored(turn(0.003));
    assert!(success && (parts.ends[0].heading - 0.003).abs() < 1e-9);
    assert!(!parts.is_within(&Tolerance { heading: 0.002, ..Tolerance::default() }, 31.4));
    let (success, parts) = scored(turn(0.011));
    assert!(!success && parts.broken_rules == [Rule::RoadsMeet]);
}

#[test]
fn lanes_and_links_count() {
    let (success, parts) = scored(|road| road.sections[0].lanes[0].width = Profile::constant(3.54));
    assert!(success && (parts.lanes.width - 0.04).abs() < 1e-9);
    assert!(!scored(|road| road.sections[0].lanes[0].width = Profile::constant(3.56)).0);
    let (success, parts) = scored(|road| road.sections[0].lanes[0].kind = "biking".to_owned());
    assert!(!success && !parts.lanes.kinds_equal && parts.lanes.ids_equal && parts.lanes.links_equal);
    let (success, parts) = scored(|road| road.sections[0].lanes[0].successors.clear());
    assert!(!success && !parts.lanes.links_equal && parts.lanes.kinds_equal);
    let (success, parts) = scored(|road| drop(road.sections[0].lanes.pop()));
    assert!(!success && !parts.lanes.ids_equal && parts.lanes.width.is_infinite());
    let (success, parts) = scored(|road| road.successor = Some(Link::Junction { id: "9".to_owned() }));
    assert!(!success && !parts.links_equal);
    assert_eq!(parts.broken_rules, [Rule::LinksResolve, Rule::LaneLinksResolve]);
    let (success, parts) = scored(|road| road.lane_offset = Profile::constant(0.06));
    assert!(!success && (parts.lanes.offset - 0.06).abs() < 1e-9);
}

#[test]
fn an_equal_road_in_more_records_is_equal() {
    let (success, parts) = scored(|road| {
        let first = &mut road.plan[0];
        let middle = first.pose(10.0);
        let mut second = first.clone();
        (second.s, second.x, second.y, second.heading) = (10.0, middle.x, middle.y, middle.heading);
        (second.length, first.length) = (first.length - 10.0, 10.0);
        road.plan.push(second);
        let mut section = road.sections[0].clone();
        section.s = 12.0;
        road.sections.push(section);
    });
    assert!(success, "{parts:?}");
}

#[test]
fn an_answer_that_is_no_road_has_a_reason() {
    let map = read(THREE_ROADS).map;
    let hidden = map.road("2").unwrap();
    let gap = Gap::of(hidden).unwrap();
    let neighbors = Neighbors::of(&map, &gap).unwrap();
    let score = score_answer(&map, &gap, &neighbors, hidden, "a road", &Tolerance::default());
    assert!(!score.success);
    assert_eq!(score.parts.unwrap_err().message(), "not two links: \"a road\"");
}
