//! Ways of OpenStreetMap show which road was removed from a map.

use dtr_opendrive::complete::remove_road;
use dtr_opendrive::map::{Contact, Link, Map};
use dtr_opendrive::osm::{Projection, missing_roads, project, read_osm};
use dtr_opendrive::xml::Limits;

use crate::support::{THREE_ROADS, read};

fn projected(reference: &str) -> Projection {
    Projection::of_map(&Map { geo_reference: Some(reference.to_owned()), ..Map::default() }).unwrap()
}

/// Reference values of pyproj 3.
#[test]
fn projections_equal_proj() {
    let cases = [
        ("+proj=tmerc +lat_0=49 +lon_0=8 +k=1", [49.0456, 8.0123], [899.191_151_765, 5_071.257_087_618]),
        ("+proj=tmerc +lat_0=49 +lon_0=8", [52.3, 14.2], [422_742.643_821, 385_225.331_502]),
        ("+proj=utm +zone=33 +ellps=WGS84", [52.3, 14.2], [445_447.893_628, 5_794_707.262_989]),
        ("+lat_0=0 +lon_0=9 +k=0.9996 +x_0=500000", [49.0456, 8.0123], [427_823.600_571, 5_432_994.796_205]),
    ];
    for (reference, place, expected) in cases {
        let [x, y] = projected(reference).to_map(place);
        assert!((x - expected[0]).abs() < 1e-3 && (y - expected[1]).abs() < 1e-3, "{reference}: {x} {y}");
    }
    assert_eq!(
        Projection::of_map(&Map { geo_reference: Some("+proj=merc".to_owned()), ..Map::default() }),
        None
    );
}

/// A way along the three roads of the small map, in degrees around 49° N 8° E.
fn osm() -> String {
    let points =
        [[-2.0, 0.0], [50.0, 0.0], [57.6, 1.5], [64.1, 5.9], [68.5, 12.3], [70.0, 20.0], [70.0, 72.0]];
    let degrees = |[x, y]: [f64; 2]| (49.0 + y / 111_216.0, 8.0 + x / 73_172.0);
    let mut text = String::from("<osm version=\"0.6\">\n");
    for (id, point) in (1..).zip(points) {
        let (latitude, longitude) = degrees(point);
        text.push_str(&format!("<node id=\"{id}\" lat=\"{latitude}\" lon=\"{longitude}\"/>\n"));
    }
    text.push_str("<way id=\"77\">");
    (1..=points.len()).for_each(|id| text.push_str(&format!("<nd ref=\"{id}\"/>")));
    text.push_str(
        "<nd ref=\"99\"/><tag k=\"highway\" v=\"residential\"/><tag k=\"name\" v=\"Bend\"/></way>\n",
    );
    text.push_str(
        "<way id=\"78\"><nd ref=\"1\"/><nd ref=\"2\"/><tag k=\"highway\" v=\"footway\"/></way></osm>",
    );
    text
}

#[test]
fn a_removed_road_is_found_by_its_way() {
    let text = THREE_ROADS.replacen("<unknown", "<geoReference>+lat_0=49 +lon_0=8</geoReference><unknown", 1);
    let file = read(&text);
    let ways = read_osm(osm().as_bytes(), &Limits::default()).unwrap();
    assert_eq!(ways.len(), 1);
    assert_eq!((ways[0].nodes.len(), ways[0].name.as_deref()), (7, Some("Bend")));
    let points = project(&ways, &file.map);
    assert!((points[0][5][0] - 70.0).abs() < 0.2 && (points[0][5][1] - 20.0).abs() < 0.2, "{:?}", points[0]);
    assert_eq!(missing_roads(&file.map, &ways, &points), []);
    let holed = read(&remove_road(&file, "2").unwrap());
    let missing = missing_roads(&holed.map, &ways, &points);
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].gap.as_ref().unwrap().road, "2");
    assert_eq!(missing[0].way, "77");
}

#[test]
fn a_way_between_open_ends_is_a_new_road() {
    let file = read(THREE_ROADS);
    let mut map = file.map.without("2");
    map.roads[0].successor = None;
    map.roads[1].predecessor = None;
    let ways = read_osm(osm().as_bytes(), &Limits::default()).unwrap();
    map.geo_reference = Some("+proj=tmerc +lat_0=49 +lon_0=8".to_owned());
    let missing = missing_roads(&map, &ways, &project(&ways, &map));
    let gap = missing[0].gap.as_ref().unwrap();
    assert_eq!(gap.road, "4");
    assert_eq!(gap.entry, Link::Road { id: "1".to_owned(), contact: Some(Contact::End) });
    assert_eq!(gap.exit, Link::Road { id: "3".to_owned(), contact: Some(Contact::Start) });
}

#[test]
fn bad_files_are_refused_with_the_line() {
    let error = |text: &str| read_osm(text.as_bytes(), &Limits::default()).unwrap_err().to_string();
    assert_eq!(error("<gpx/>"), "line 1: `gpx`: the root element is not `osm`");
    assert_eq!(
        error("<osm>\n<node id=\"1\" lat=\"91\" lon=\"0\"/></osm>"),
        "line 2: `node`: the position is not on Earth"
    );
    assert_eq!(
        error("<osm>\n<node id=\"1\" lon=\"0\"/></osm>"),
        "line 2: `node`: the attribute `lat` is missing"
    );
}
