//! Reads the plan view of a road.

use crate::Result;
use crate::map::{Curve, Geometry};
use crate::xml::Node;

/// The largest turn of one record in radians. A record with a larger turn would take long to evaluate.
const LARGEST_TURN: f64 = 500.0;

pub(super) fn read_plan(node: Node<'_>) -> Result<Vec<Geometry>> {
    let plan: Vec<_> = node.all("geometry").map(read_geometry).collect::<Result<_>>()?;
    if plan.is_empty() {
        return Err(node.error("the reference line has no `geometry`"));
    }
    if plan.windows(2).any(|pair| pair[1].s < pair[0].s) {
        return Err(node.error("the records of `geometry` are not in ascending order of `s`"));
    }
    Ok(plan)
}

fn read_geometry(node: Node<'_>) -> Result<Geometry> {
    let length = node.length("length")?;
    let shape = node
        .children()
        .find(|child| matches!(child.name(), "line" | "arc" | "spiral" | "poly3" | "paramPoly3"))
        .ok_or_else(|| node.error("it has no `line`, `arc`, `spiral`, `poly3` or `paramPoly3`"))?;
    let curve = read_curve(shape)?;
    let bend = match curve {
        Curve::Arc { curvature } => curvature.abs(),
        Curve::Spiral { start, end } => start.abs().max(end.abs()),
        _ => 0.0,
    };
    if bend * length > LARGEST_TURN {
        return Err(shape.error(format!("the curve turns by more than {LARGEST_TURN} radians")));
    }
    Ok(Geometry {
        s: node.length("s")?,
        x: node.number("x")?,
        y: node.number("y")?,
        heading: node.number("hdg")?,
        length,
        curve,
    })
}

fn read_curve(node: Node<'_>) -> Result<Curve> {
    let four = |names: [&str; 4]| -> Result<[f64; 4]> {
        let [a, b, c, d] = names.map(|name| node.number(name));
        Ok([a?, b?, c?, d?])
    };
    Ok(match node.name() {
        "arc" => Curve::Arc { curvature: node.number("curvature")? },
        "spiral" => Curve::Spiral { start: node.number("curvStart")?, end: node.number("curvEnd")? },
        "poly3" => Curve::Poly3 { v: four(["a", "b", "c", "d"])? },
        "paramPoly3" => Curve::ParamPoly3 {
            u: four(["aU", "bU", "cU", "dU"])?,
            v: four(["aV", "bV", "cV", "dV"])?,
            // The default of the attribute is `normalized`, as in the older versions, which lack it.
            normalized: node.attribute("pRange") != Some("arcLength"),
        },
        _ => Curve::Line,
    })
}
