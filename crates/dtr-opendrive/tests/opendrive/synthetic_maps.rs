//! Synthetic maps are valid, are determined by the seed, and contain what they should train.

use dtr_opendrive::check::check_map;
use dtr_opendrive::map::{Curve, Map};
use dtr_opendrive::read::MapFile;
use dtr_opendrive::synthetic::{SyntheticOptions, synthetic_map};
use dtr_opendrive::write_map::map_xml;

fn maps() -> Vec<Map> {
    (100..140).map(|seed| synthetic_map(seed, &SyntheticOptions::default())).collect()
}

#[test]
fn written_maps_are_read_back_equal_and_keep_all_rules() {
    for (seed, map) in maps().iter().enumerate() {
        let file = MapFile::from_bytes(map_xml(map, "synthetic <&>").as_bytes()).unwrap();
        let findings = check_map(&file.map);
        assert!(findings.is_empty(), "seed {seed}: {}", findings[0]);
        assert_eq!(file.map.junctions.len(), map.junctions.len());
        for (read, written) in file.map.roads.iter().zip(&map.roads) {
            assert_eq!(
                (&read.plan, &read.sections, read.left_hand),
                (&written.plan, &written.sections, written.left_hand)
            );
        }
    }
}

#[test]
fn a_seed_gives_one_map() {
    let options = SyntheticOptions::default();
    assert_eq!(synthetic_map(3, &options), synthetic_map(3, &options));
    assert_ne!(synthetic_map(3, &options), synthetic_map(4, &options));
}

#[test]
fn maps_have_all_curves_lane_types_and_lane_changes() {
    let maps = maps();
    let records = || maps.iter().flat_map(|map| &map.roads).flat_map(|road| &road.plan);
    let has = |test: fn(&Curve) -> bool| records().filter(|record| test(&record.curve)).count();
    assert!(has(|curve| matches!(curve, Curve::Line)) > 1000);
    assert!(has(|curve| matches!(curve, Curve::Arc { .. })) > 1000);
    assert!(has(|curve| matches!(curve, Curve::Spiral { .. })) > 1000);
    let lanes =
        || maps.iter().flat_map(|map| &map.roads).flat_map(|road| &road.sections).flat_map(|s| &s.lanes);
    for kind in ["driving", "sidewalk", "shoulder", "biking", "parking", "border", "none"] {
        assert!(lanes().any(|lane| lane.kind == kind), "no lane is {kind}");
    }
    let (narrow, wide) = (|w: f64| w.abs() < 1e-9, |w: f64| w > 2.5);
    let begins = lanes().filter(|lane| narrow(lane.width.value(0.0)) && wide(lane.width.value(20.0))).count();
    let ends = lanes().filter(|lane| wide(lane.width.value(0.0)) && narrow(lane.width.value(20.0))).count();
    assert!(begins > 40 && ends > 40, "{begins} lanes begin and {ends} end");
    assert!(maps.iter().any(|map| map.roads[0].left_hand) && maps.iter().any(|map| !map.roads[0].left_hand));
}

#[test]
fn bends_of_small_radius_have_continuous_curvature() {
    for map in maps() {
        for road in map.roads.iter().filter(|road| road.junction.is_none()) {
            for pair in road.plan.windows(2) {
                let step = (pair[0].end().curvature - pair[1].start().curvature).abs();
                assert!(step < 1.0 / 150.0 + 1e-9, "road {} has a step of {step}", road.id);
            }
        }
    }
}
