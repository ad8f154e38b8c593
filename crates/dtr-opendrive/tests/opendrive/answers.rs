//! The text of a road, exactly, and texts that are no road.

use dtr_opendrive::gap::{Gap, Neighbors, PromptOptions, prompt};
use dtr_opendrive::map::Map;
use dtr_opendrive::text::{decode, encode};
use proptest::prelude::*;

use crate::support::{THREE_ROADS, read};

fn bend() -> (Map, Gap, Neighbors) {
    let map = read(THREE_ROADS).map;
    let gap = Gap::of(map.road("2").unwrap()).unwrap();
    let neighbors = Neighbors::of(&map, &gap).unwrap();
    (map, gap, neighbors)
}

#[test]
fn an_item_has_this_text() {
    let (map, gap, neighbors) = bend();
    let expected = "road\n<re: d350>1 | d325>-1\n>rs 2000 2000 1571: d350>1 | d325>-1\n";
    assert_eq!(prompt(&map, &gap, &PromptOptions::default()).unwrap(), expected);
    let answer = encode(map.road("2").unwrap(), &gap, &neighbors, false);
    assert_eq!(answer, "re rs\n0 A3142,2000 0\n0 d350<> | d325<>");
}

#[test]
fn a_decoded_road_ends_where_the_next_road_begins() {
    let (map, gap, neighbors) = bend();
    // The numbers are wrong by decimetres. The end is right nevertheless.
    let road = decode("re rs\n0 L30 A3100,1900 L90 0\n0 d350<> | d325<>", &gap, &neighbors).unwrap();
    let (end, start) = (road.plan.last().unwrap().end(), map.road("3").unwrap().pose(0.0));
    assert!(end.distance(&start) < 2e-3, "{end:?} {start:?}");
    assert!((end.heading - start.heading).abs() < 1e-3);
    assert_eq!(road.predecessor, map.road("2").unwrap().predecessor);
    assert_eq!(road.sections[0].lanes, map.road("2").unwrap().sections[0].lanes);
}

#[test]
fn errors_say_what_is_wrong_with_an_answer() {
    let (_, gap, neighbors) = bend();
    let cases = [
        ("", "the line of links is missing"),
        ("re rs", "the line of the reference line is missing"),
        ("re\n0 L1 0\n0 |", "not two links: \"re\""),
        ("re rs\n0 0\n0 |", "the reference line has no record"),
        ("re rs\n0 X12 0\n0 |", "not a record of a reference line: \"X12\""),
        ("re rs\n0 A12,0 0\n0 |", "not a record of a reference line: \"A12,0\""),
        ("re rs\n0 L99999999999 0\n0 |", "not a number of at most 9 digits: \"99999999999\""),
        ("re rs\n0 L1 0\n0 d350", "the centre lane `|` is missing: \"0 d350\""),
        ("re rs\n0 L1 0\n0 d-350 |", "a lane has a negative width: \"d-350\""),
        ("re rs\n0 L1 0\n0 ?350 |", "not a lane: \"?350\""),
        ("re rs\n0 L1 0\n5 d350 |", "the lane sections do not begin at 0 and ascend"),
        ("re j\n0 A3142,2000 0\n0 d350 |", "the text links a junction instead of a road"),
        ("re rs\n0 A3142,2000 0\n0 d350 |\n4000 d350 |", "a lane section begins at 0 m on a road of 31.42 m"),
    ];
    for (text, expected) in cases {
        let error = decode(text, &gap, &neighbors).expect_err(text);
        assert_eq!(error.message(), expected, "{text:?}");
    }
}

proptest! {
    /// Any text gives a road or an error.
    #[test]
    fn decoding_is_total(text in "[ 0-9,<>|@:~/\\-LASPdnhojers{}\n]{0,120}") {
        let (_, gap, neighbors) = bend();
        let _ = decode(&text, &gap, &neighbors);
    }

    /// Texts that are close to a road: some characters of a right answer are overwritten.
    #[test]
    fn decoding_changed_answers_is_total(
        edits in proptest::collection::vec((0usize..80, "[ 0-9,<>|@:~/\\-LASPdé\n]"), 1..6),
    ) {
        let (_, gap, neighbors) = bend();
        let answer = "re rs\n0 L186 S894,0,1061 A894,1061 P30,20,1,50,9 0\n0 d350~0<>-2 | d325@20:325~0/1/2<>";
        let mut letters: Vec<String> = answer.chars().map(String::from).collect();
        for (at, letter) in edits {
            let at = at % letters.len();
            letters[at] = letter;
        }
        if let Ok(road) = decode(&letters.concat(), &gap, &neighbors) {
            prop_assert!(road.plan.iter().all(|record| record.end().x.is_finite() && record.length > 0.0));
        }
    }
}
