//! A road is removed from the text of a map, found as a hole, and spliced back in.

use dtr_opendrive::complete::{complete, draw_before_after, draw_map, holes, remove_road};
use dtr_opendrive::gap::{Gap, Neighbors, gaps};
use dtr_opendrive::map::Link;
use dtr_opendrive::metric::{Tolerance, score_road};
use dtr_opendrive::read::MapFile;
use dtr_opendrive::text::encode;
use dtr_opendrive::write_map::map_xml;

use crate::support::{THREE_ROADS, published, read, synthetic};

#[test]
fn a_completed_map_differs_only_by_the_inserted_road() {
    let file = read(THREE_ROADS);
    let holed = read(&remove_road(&file, "2").unwrap());
    let found = holes(&holed.map);
    assert_eq!(found.len(), 1);
    let gap = found[0].gap().unwrap();
    assert_eq!(gap, Gap::of(file.map.road("2").unwrap()).unwrap());
    let completed = complete(&holed, &gap, "re rs\n0 A3142,2000 0\n0 d350<> | d325<>").unwrap();
    assert!(completed.findings.is_empty(), "{}", completed.findings[0]);
    let text = &completed.file.text;
    let span = completed.file.road_spans.last().unwrap().clone();
    assert_eq!(format!("{}{}", &text[..span.start - "\n    ".len()], &text[span.end..]), holed.text);
    assert!(text[span].starts_with("<road name=\"\" length=\"31.41"));
    assert!(
        score_road(&file.map, file.map.road("2").unwrap(), &completed.road, &Tolerance::default()).success
    );
    assert!(complete(&file, &gap, "").unwrap_err().to_string().contains("has a road \"2\" already"));
}

#[test]
fn neighbors_without_links_get_links() {
    let text = THREE_ROADS
        .replace("<link><successor elementType=\"road\" elementId=\"2\" contactPoint=\"start\"/></link>", "")
        .replace("\n", "\r\n");
    let file = read(&text);
    let holed = read(&remove_road(&file, "2").unwrap());
    let gap = Gap::of(file.map.road("2").unwrap()).unwrap();
    let completed = complete(&holed, &gap, "re rs\n0 A3142,2000 0\n0 d350<> | d325<>").unwrap();
    assert!(completed.findings.is_empty(), "{}", completed.findings[0]);
    let link = "id=\"1\" junction=\"-1\"><link><successor elementType=\"road\" elementId=\"2\" contactPoint=\"start\"/></link>";
    assert!(completed.file.text.contains(link));
    assert!(!completed.file.text.replace("\r\n", "").contains('\n'), "all lines end as before");
}

/// Removes each road, finds the hole and compares it with the road's own links. Returns how many gaps were
/// found whole, and for how many connecting roads the first candidate is right.
fn found_holes(file: &MapFile) -> (usize, usize, usize) {
    let gaps = gaps(&file.map);
    let (mut whole, mut likely) = (0, 0);
    for gap in &gaps {
        let holed = file.map.without(&gap.road);
        let found = holes(&holed);
        let hole = found.iter().find(|hole| hole.road == gap.road);
        whole += usize::from(hole.and_then(|hole| hole.gap()).as_ref() == Some(gap));
        likely += usize::from(hole.and_then(|hole| hole.likely_gap()).as_ref() == Some(gap));
        if let (Some(hole), Some(_)) = (hole, &gap.junction) {
            let exit =
                hole.exit.as_ref().map_or(hole.candidates.contains(&gap.exit), |exit| *exit == gap.exit);
            assert!(exit || !matches!(gap.exit, Link::Road { .. }), "road {}", gap.road);
        }
    }
    (whole, likely, gaps.len())
}

#[test]
fn holes_of_synthetic_maps_are_found() {
    for (name, map) in synthetic() {
        let file = MapFile::from_bytes(map_xml(&map, &name).as_bytes()).unwrap();
        let (whole, likely, all) = found_holes(&file);
        let roads = map.roads.iter().filter(|road| road.junction.is_none()).filter_map(Gap::of).count();
        assert_eq!(
            whole, roads,
            "{name}: the links of other roads tell both ends of all roads between junctions"
        );
        assert!(likely > whole && likely <= all, "{name}: {likely} of {all}");
    }
}

#[test]
fn roads_of_town06_are_spliced_back_and_drawn() {
    let Some(maps) = published() else { return };
    let file = maps.iter().find(|(name, _)| name == "Town06.xodr").map(|(_, file)| file).unwrap();
    for gap in gaps(&file.map).iter().step_by(12) {
        let holed = read(&remove_road(file, &gap.road).unwrap());
        let neighbors = Neighbors::of(&holed.map, gap).unwrap();
        let hidden = file.map.road(&gap.road).unwrap();
        let completed = complete(&holed, gap, &encode(hidden, gap, &neighbors, false)).unwrap();
        assert!(
            score_road(&file.map, hidden, &completed.road, &Tolerance::default()).success,
            "{}",
            gap.road
        );
        let svg = draw_before_after(&holed.map, &completed.file.map, std::slice::from_ref(&gap.road));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("#b3261e"));
        assert!(svg.len() < 4_000_000 && !svg.contains("NaN"));
    }
}

#[test]
fn drawings_of_empty_maps_are_drawings() {
    let svg = draw_map(&dtr_opendrive::map::Map::default(), &[], false);
    assert!(svg.starts_with("<svg") && !svg.contains("inf"));
}
