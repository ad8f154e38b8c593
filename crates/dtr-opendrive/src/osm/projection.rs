//! The projection of a map: transverse Mercator on the ellipsoid WGS 84, from the strings of PROJ.

use super::Way;
use crate::map::Map;

/// The semi-major axis in metres and the flattening of WGS 84.
const AXIS: f64 = 6_378_137.0;
const FLATTENING: f64 = 1.0 / 298.257_223_563;

/// Latitude and longitude to the map's frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    latitude: f64,
    longitude: f64,
    scale: f64,
    /// False easting and northing in metres.
    shift: [f64; 2],
    /// The header's offset: x, y in metres and the heading in radians.
    offset: [f64; 3],
}

impl Projection {
    /// The projection of a map's `geoReference`: `tmerc`, `utm`, or only `lat_0` and `lon_0`.
    pub fn of_map(map: &Map) -> Option<Self> {
        let reference = map.geo_reference.as_deref()?;
        let value = |key: &str| -> Option<f64> {
            let word = reference.split_whitespace().find_map(|word| word.strip_prefix(key))?;
            word.strip_prefix('=')?.parse().ok().filter(|value: &f64| value.is_finite())
        };
        let [x, y, _, heading] = map.offset;
        let offset = [x, y, heading];
        if reference.contains("+proj=utm") {
            let longitude = value("+zone")? * 6.0 - 183.0;
            let north = if reference.contains("+south") { 10_000_000.0 } else { 0.0 };
            return Some(Self { latitude: 0.0, longitude, scale: 0.9996, shift: [500_000.0, north], offset });
        }
        if reference.contains("+proj=") && !reference.contains("+proj=tmerc") {
            return None;
        }
        Some(Self {
            latitude: value("+lat_0")?,
            longitude: value("+lon_0")?,
            scale: value("+k").or(value("+k_0")).unwrap_or(1.0),
            shift: [value("+x_0").unwrap_or(0.0), value("+y_0").unwrap_or(0.0)],
            offset,
        })
    }

    /// The projection that puts the middle of the ways on the middle of the map's roads.
    pub fn by_middle(ways: &[Way], map: &Map) -> Self {
        let middle = |points: &mut dyn Iterator<Item = [f64; 2]>| {
            let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
            for point in points {
                for axis in 0..2 {
                    low[axis] = low[axis].min(point[axis]);
                    high[axis] = high[axis].max(point[axis]);
                }
            }
            if low[0] > high[0] { [0.0; 2] } else { [0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1])] }
        };
        let [latitude, longitude] = middle(&mut ways.iter().flat_map(|way| way.nodes.iter().copied()));
        let ends = map.roads.iter().flat_map(|road| [road.pose(0.0), road.pose(road.length)]);
        let shift = middle(&mut ends.map(|pose| [pose.x, pose.y]));
        Self { latitude, longitude, scale: 1.0, shift, offset: [0.0; 3] }
    }

    /// The point of the map's frame in metres, of latitude and longitude in degrees.
    pub fn to_map(&self, [latitude, longitude]: [f64; 2]) -> [f64; 2] {
        let [east, north] =
            transverse_mercator(latitude.to_radians(), (longitude - self.longitude).to_radians());
        let [_, base] = transverse_mercator(self.latitude.to_radians(), 0.0);
        let (x, y) = (self.scale * east + self.shift[0], self.scale * (north - base) + self.shift[1]);
        let (sin, cos) = self.offset[2].sin_cos();
        let (dx, dy) = (x - self.offset[0], y - self.offset[1]);
        [dx * cos + dy * sin, dy * cos - dx * sin]
    }
}

/// Easting and northing in metres with the scale 1 from the equator, by Krüger's series of the fourth order.
/// The error is below a millimetre within 3000 km of the central meridian.
fn transverse_mercator(latitude: f64, longitude: f64) -> [f64; 2] {
    let n = FLATTENING / (2.0 - FLATTENING);
    let (n2, n3, n4) = (n * n, n.powi(3), n.powi(4));
    let radius = AXIS / (1.0 + n) * (1.0 + n2 / 4.0 + n4 / 64.0);
    let alpha = [
        n / 2.0 - 2.0 / 3.0 * n2 + 5.0 / 16.0 * n3 + 41.0 / 180.0 * n4,
        13.0 / 48.0 * n2 - 3.0 / 5.0 * n3 + 557.0 / 1440.0 * n4,
        61.0 / 240.0 * n3 - 103.0 / 140.0 * n4,
        49561.0 / 161_280.0 * n4,
    ];
    let eccentricity = 2.0 * n.sqrt() / (1.0 + n);
    let sin = latitude.sin().clamp(-1.0 + 1e-12, 1.0 - 1e-12);
    let t = (sin.atanh() - eccentricity * (eccentricity * sin).atanh()).sinh();
    let xi = t.atan2(longitude.cos());
    let eta = (longitude.sin() / (1.0 + t * t).sqrt()).clamp(-1.0 + 1e-12, 1.0 - 1e-12).atanh();
    let (mut east, mut north) = (eta, xi);
    for (order, a) in (1..).zip(alpha) {
        let k = 2.0 * f64::from(order);
        east += a * (k * xi).cos() * (k * eta).sinh();
        north += a * (k * xi).sin() * (k * eta).cosh();
    }
    [radius * east, radius * north]
}
