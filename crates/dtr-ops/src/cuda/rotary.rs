//! Rotary positions, and the way of keys and values into their caches.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, dims, pointer, pointer_or_null, unwritten_by_time, view, with_dense_rows};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source};

static ROTARY: Source = Source { name: "rotary", text: include_str!("kernels/rotary.cu") };

/// Tokens by head, `[b, h, t, k]`, and where they go.
#[derive(Clone, Copy)]
struct Way<'a> {
    from: &'a CubeTensor,
    to: &'a CubeTensor,
}

/// Cosines and sines `[b or 1, 1, t, k/2]`, f32. Where the device counts positions they are of all of them, and it says
/// which is the first token's.
struct Angles<'a> {
    tables: [CubeTensor; 2],
    at: Option<&'a CubeTensor>,
}

/// Rotates pairs `(x[i], x[i + k/2])` of x `[b, h, t, k]`.
pub(super) fn rotate(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, at: Option<&CubeTensor>) -> CubeTensor {
    let x = with_dense_rows(x);
    let output = unwritten_by_time(&x, dims(&x), x.dtype());
    let way = Way { from: &x, to: &output };
    go(None, way, None, Angles { tables: [cos, sin], at }, None);
    output
}

/// Queries rotated, and the caches of keys and values with these in them from `at` on, keys rotated: in place, so that nobody
/// else may hold the caches.
pub(super) fn rotate_and_append(
    tokens: [CubeTensor; 3],
    caches: [CubeTensor; 2],
    tables: [CubeTensor; 2],
    at: &CubeTensor,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    assert!(caches.iter().all(CubeTensor::can_mut), "a cache that is written into is held once");
    let [q, k, v] = tokens.map(with_dense_rows);
    let [keys, values] = caches;
    let output = unwritten_by_time(&q, dims(&q), q.dtype());
    let queries = Way { from: &q, to: &output };
    let angles = Angles { tables, at: Some(at) };
    go(Some(queries), Way { from: &k, to: &keys }, Some(Way { from: &v, to: &values }), angles, Some(at));
    (output, keys, values)
}

/// Queries and keys rotated, values as they are; keys and values from the token `write` on.
fn go(
    queries: Option<Way<'_>>,
    keys: Way<'_>,
    values: Option<Way<'_>>,
    angles: Angles<'_>,
    write: Option<&CubeTensor>,
) {
    let tables = angles.tables.map(with_dense_rows);
    let of_table = tables[0].meta.strides();
    let by_row = if dims::<4>(&tables[0])[0] == 1 { 0 } else { of_table[0] };
    let [batch, groups, time, width] = dims(keys.from);
    let heads = queries.map_or(0, |queries| dims::<4>(queries.from)[1]);
    let all = heads + if values.is_some() { 2 * groups } else { groups };
    let (name, vector) =
        if keys.from.dtype() == DType::BF16 { ("rotary_bf16", 8) } else { ("rotary_f32", 4) };
    let threads = all * time * (width / 2 / vector);
    let extent = Extent { grid: (threads.div_ceil(128) as u32, batch as u32, 1), block: (128, 1), shared: 0 };
    let ways = [queries, Some(keys), values];
    let none = || vec![Argument::Pointer(0), Argument::Long(0), Argument::Long(0), Argument::Long(0)];
    let views = ways.iter().map(|way| way.map_or([none(), none()], |way| [view(way.from), view(way.to)]));
    let views: Vec<Vec<Argument>> = views.flatten().collect();
    let arguments = [
        views.iter().map(|view| view[0]).collect(),
        tables.each_ref().map(pointer).to_vec(),
        vec![pointer_or_null(write), pointer_or_null(angles.at)],
        views.iter().flat_map(|view| view[1..].to_vec()).collect(),
        [by_row, of_table[2]].map(|stride| Argument::Long(stride as i64)).to_vec(),
        [heads, groups, time, width].map(|count| Argument::Int(count as i32)).to_vec(),
    ];
    let kernel = Kernel { source: &ROTARY, defines: String::new(), name };
    // SAFETY: all tensors are alive and of these sizes, with dense rows; what is not there has no heads, or no address.
    card(keys.from).run(|lane| unsafe { lane.launch(&kernel, extent, &arguments.concat()) });
}

/// Adds to a counter, whoever else holds it.
pub(super) fn advance(at: CubeTensor, by: usize) -> CubeTensor {
    let kernel = Kernel { source: &ROTARY, defines: String::new(), name: "advance" };
    let extent = Extent { grid: (1, 1, 1), block: (1, 1), shared: 0 };
    let arguments = [pointer(&at), Argument::Int(by as i32)];
    // SAFETY: the counter is alive.
    card(&at).run(|lane| unsafe { lane.launch(&kernel, extent, &arguments) });
    at
}
