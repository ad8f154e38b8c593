//! Files that break the format are refused with the line, and no file makes the reader panic.

use dtr_opendrive::read::MapFile;
use dtr_opendrive::xml::Limits;
use proptest::prelude::*;

use crate::support::{THREE_ROADS, read};

fn refusal(text: &str) -> String {
    MapFile::from_bytes(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_map_is_read_and_borders_become_widths() {
    let file = read(THREE_ROADS);
    assert_eq!(file.map.version, (1, 6));
    assert_eq!(file.map.roads.len(), 3);
    let last = &file.map.roads[2].sections[0];
    assert_eq!(last.lane(1).unwrap().width.value(10.0), 3.5);
    assert_eq!(last.lane(-1).unwrap().width.value(10.0), 3.25);
    assert!(file.text[file.road_spans[1].clone()].starts_with("<road name=\"bend\""));
    assert!(file.text[file.road_spans[1].clone()].ends_with("</road>"));
    assert_eq!(&file.text[file.end..], "</OpenDRIVE>\n");
}

#[test]
fn errors_name_the_line_and_the_attribute() {
    let cases = [
        (
            "length=\"50\" id=\"1\"",
            "length=\"nan\" id=\"1\"",
            "line 5: road \"1\": `road`: `length` is not a finite",
        ),
        (
            "length=\"50\" id=\"1\"",
            "id=\"1\"",
            "line 5: road \"1\": `road`: the attribute `length` is missing",
        ),
        (
            "hdg=\"1.5707963267948966\"",
            "hdg=\"1e999\"",
            "line 25: road \"3\": `geometry`: `hdg` is not a finite",
        ),
        (
            "<arc curvature=\"0.05\"/>",
            "<arc curvature=\"5e8\"/>",
            "line 16: road \"2\": `arc`: the curve turns",
        ),
        ("<arc curvature=\"0.05\"/>", "", "line 16: road \"2\": `geometry`: it has no `line`"),
        ("revMajor=\"1\"", "revMajor=\"2\"", "line 4: `header`: the map has OpenDRIVE version 2.6"),
        ("elementType=\"junction\"", "", ""),
        ("</OpenDRIVE>", "", "line 3: the element `OpenDRIVE` is not closed"),
        ("</lanes>", "</lane>", "line 12: the XML is not well-formed"),
        ("name=\"first\"", "name=\"&bomb;\"", "line 5: `road`: "),
    ];
    for (from, to, expected) in cases.iter().filter(|case| !case.2.is_empty()) {
        let changed = THREE_ROADS.replacen(from, to, 1);
        let error = refusal(&changed);
        assert!(error.starts_with(expected), "{from} -> {to}: {error}");
    }
    assert_eq!(refusal(""), "line 1: the file has no XML element");
    assert!(MapFile::from_bytes(b"<a>\n\xff</a>").unwrap_err().to_string().starts_with("line 2: "));
}

#[test]
fn deep_and_large_files_are_refused() {
    let deep = "<a>".repeat(100_000);
    assert_eq!(refusal(&deep), "line 1: elements nest more than 64 deep");
    let limits = Limits { elements: 10, ..Limits::default() };
    let error = MapFile::from_text(THREE_ROADS, &limits).unwrap_err();
    assert_eq!(error.message(), "the file has more than 10 elements");
    let limits = Limits { bytes: 100, ..Limits::default() };
    assert!(MapFile::from_text(THREE_ROADS, &limits).unwrap_err().message().contains("the limit is 100"));
}

proptest! {
    /// Overwrites some bytes of a map.
    #[test]
    fn changed_maps_never_panic(edits in proptest::collection::vec((0usize..4000, any::<u8>()), 1..8)) {
        let mut bytes = THREE_ROADS.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = MapFile::from_bytes(&bytes);
    }
}
