//! Reflected and reversed maps are valid, and two reflections or reversals give the map back.

use dtr_opendrive::check::check_map;
use dtr_opendrive::items::View;
use dtr_opendrive::map::Contact;
use dtr_opendrive::split::{Split, split_maps};
use dtr_opendrive::transform::{reflected, reversed};

use crate::support::{published, synthetic};

#[test]
fn views_of_valid_maps_are_valid() {
    for (name, map) in synthetic() {
        for view in View::ALL {
            let findings = check_map(&view.of(&map));
            assert!(findings.is_empty(), "{name} {view:?}: {}", findings[0]);
        }
    }
}

#[test]
fn reflection_negates_headings_and_reversal_swaps_the_ends() {
    for (_, map) in synthetic() {
        let (mirror, back) = (reflected(&map), reversed(&map));
        for ((road, mirrored), turned) in map.roads.iter().zip(&mirror.roads).zip(&back.roads) {
            let (a, b) = (road.pose(road.length / 3.0), mirrored.pose(road.length / 3.0));
            assert!(
                (a.x - b.x).abs() < 1e-9
                    && (a.y + b.y).abs() < 1e-9
                    && (a.curvature + b.curvature).abs() < 1e-9
            );
            let (a, b) = (road.end_pose(Contact::End), turned.end_pose(Contact::Start).turned());
            assert!(a.distance(&b) < 1e-9 && (a.curvature - b.curvature).abs() < 1e-9);
            let (a, b) = (road.pose(road.length * 0.25), turned.pose(road.length * 0.75));
            assert!(a.distance(&b) < 1e-6, "road {}: {a:?} {b:?}", road.id);
        }
        assert_eq!(reflected(&mirror), map);
    }
}

#[test]
fn published_maps_reversed_twice_have_the_same_poses_and_links() {
    let Some(maps) = published() else { return };
    for (name, file) in &maps {
        let twice = reversed(&reversed(&file.map));
        for (road, again) in file.map.roads.iter().zip(&twice.roads) {
            assert_eq!((&road.predecessor, &road.successor), (&again.predecessor, &again.successor));
            for part in [0.0, 0.3, 0.9] {
                let (a, b) = (road.pose(part * road.length), again.pose(part * road.length));
                assert!(a.distance(&b) < 1e-3, "{name} road {}: {a:?} {b:?}", road.id);
            }
        }
    }
}

#[test]
fn maps_are_split_by_shares_and_the_seed_alone() {
    let splits = split_maps(20, 0.1, 0.2, 7);
    let count = |split| splits.iter().filter(|&&one| one == split).count();
    assert_eq!((count(Split::Train), count(Split::Validation), count(Split::Test)), (14, 2, 4));
    assert_eq!(splits, split_maps(20, 0.1, 0.2, 7));
    assert_ne!(splits, split_maps(20, 0.1, 0.2, 8));
    let three = split_maps(3, 0.05, 0.05, 0);
    assert!([Split::Train, Split::Validation, Split::Test].iter().all(|split| three.contains(split)));
}
