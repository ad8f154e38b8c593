//! Each rule is broken once, and the check names it.

use dtr_opendrive::check::{Rule, check_map};
use dtr_opendrive::map::{Contact, Cubic, Link, Map, Profile};

use crate::support::{THREE_ROADS, published, read, synthetic};

fn rules(map: &Map) -> Vec<Rule> {
    let mut rules: Vec<Rule> = check_map(map).into_iter().map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// The rules that the small map breaks after a change.
fn broken(change: impl FnOnce(&mut Map)) -> Vec<Rule> {
    let mut map = read(THREE_ROADS).map;
    assert_eq!(rules(&map), []);
    change(&mut map);
    rules(&map)
}

#[test]
fn changes_of_a_valid_map_break_the_rule_that_they_concern() {
    assert_eq!(
        broken(|map| map.roads[0].id = "3".to_owned()),
        [Rule::UniqueIds, Rule::LinksResolve, Rule::LinksMutual, Rule::LaneLinksResolve]
    );
    assert_eq!(broken(|map| map.roads[0].plan[0].heading = 0.1), [Rule::RoadsMeet]);
    assert_eq!(broken(|map| map.roads[0].length = 60.0), [Rule::RoadLength]);
    assert_eq!(broken(|map| map.roads[2].plan[0].s = 1.0), [Rule::RecordPositions]);
    assert_eq!(broken(|map| map.roads[2].predecessor = None), [Rule::LinksMutual, Rule::LaneLinksResolve]);
    assert_eq!(broken(|map| map.roads[0].sections[0].s = 1.0), [Rule::SectionsAscend]);
    assert_eq!(broken(|map| drop(map.roads[2].sections[0].lanes.remove(1))), [Rule::LaneIds]);
    assert_eq!(
        broken(|map| map.roads[2].sections[0].lanes[0].width = Profile::default()),
        [Rule::WidthsDefined]
    );
    assert_eq!(
        broken(|map| map.roads[2].sections[0].lanes[0].predecessors = vec![2]),
        [Rule::LaneLinksResolve]
    );
    let falling = Profile { pieces: vec![Cubic { s: 0.0, coefficients: [3.0, -0.1, 0.0, 0.0] }] };
    assert_eq!(broken(|map| map.roads[2].sections[0].lanes[0].width = falling), [Rule::WidthsNonNegative]);
    let kink = |map: &mut Map| {
        let mut second = map.roads[2].plan[0].clone();
        map.roads[2].plan[0].length = 20.0;
        (second.s, second.y, second.length, second.heading) = (20.0, 40.0, 30.0, 1.6);
        map.roads[2].plan.push(second);
    };
    assert_eq!(broken(kink), [Rule::HeadingContinuous]);
    let jump = |map: &mut Map| {
        kink(map);
        (map.roads[2].plan[1].heading, map.roads[2].plan[1].y) = (map.roads[2].plan[0].heading, 41.0);
    };
    assert_eq!(broken(jump), [Rule::PositionContinuous]);
}

#[test]
fn changes_of_a_junction_break_the_rules_of_junctions() {
    let (_, valid) = synthetic().swap_remove(1);
    assert_eq!(rules(&valid), []);
    let mut map = valid.clone();
    map.junctions[0].connections[0].connecting = Some("none".to_owned());
    assert_eq!(rules(&map), [Rule::ConnectionsResolve]);
    let mut map = valid.clone();
    map.junctions[0].connections[0].lane_links[0].0 = 90;
    assert_eq!(rules(&map), [Rule::ConnectionLanes]);
    let mut map = valid.clone();
    let contact = map.junctions[0].connections[0].contact;
    map.junctions[0].connections[0].contact = contact.opposite();
    assert_eq!(rules(&map), [Rule::ConnectionContacts]);
    let mut map = valid;
    let connecting = map.roads.iter_mut().find(|road| road.junction.is_some()).unwrap();
    connecting.successor = Some(Link::Road { id: "none".to_owned(), contact: Some(Contact::Start) });
    assert_eq!(rules(&map), [Rule::LinksResolve, Rule::LaneLinksResolve]);
}

#[test]
fn published_maps_break_few_rules() {
    let Some(maps) = published() else { return };
    for (name, file) in maps {
        let findings = check_map(&file.map);
        assert!(findings.len() <= 3, "{name}: {} findings, such as {}", findings.len(), findings[0]);
    }
}
