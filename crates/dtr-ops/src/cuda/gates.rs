//! What surrounds a recurrence: the decay gate of GLA, and the gated norm that reads the heads out.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, dims, pointer, unwritten, unwritten_by_time, view, with_dense_rows};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source};

static GATES: Source = Source { name: "gates", text: include_str!("kernels/gates.cu") };

fn kernel(name: &'static str, dtype: DType, value_width: usize) -> Kernel {
    let real = if dtype == DType::F32 { " -DREAL_F32" } else { "" };
    Kernel { source: &GATES, defines: format!("-DVALUE_WIDTH={value_width}{real}"), name }
}

/// A width of heads for kernels that have none.
const ANY: usize = 128;

fn ints<const N: usize>(numbers: [usize; N]) -> Vec<Argument> {
    numbers.map(|number| Argument::Int(number as i32)).to_vec()
}

/// The sum of rows in f32 that blocks left, in their order, as a tensor of this shape.
pub(super) fn sum_rows(rows: CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    let [count, columns] = dims(&rows);
    let sum = unwritten(&rows, shape, DType::F32);
    let extent = Extent { grid: (columns.div_ceil(32) as u32, 1, 1), block: (128, 1), shared: 0 };
    let arguments = [vec![pointer(&rows), pointer(&sum)], ints([count, columns])];
    // SAFETY: both are alive and dense; the sum has as many numbers as a row.
    card(&rows).run(|lane| unsafe {
        lane.launch(&kernel("sum_rows_f32", DType::F32, ANY), extent, &arguments.concat());
    });
    sum
}

fn gate_extent(rows: usize, columns: usize) -> Extent {
    Extent { grid: (columns.div_ceil(512) as u32, rows.min(512) as u32, 1), block: (128, 1), shared: 0 }
}

/// See [`Lessons::decay_gate`](crate::native::autodiff::Lessons::decay_gate).
pub(super) fn decay_gate(x: CubeTensor, normalizer: f64) -> CubeTensor {
    let x = contiguous(x);
    let [batch, time, columns] = dims(&x);
    let gate = unwritten(&x, x.shape(), DType::F32);
    let rows = batch * time;
    let arguments = [
        vec![pointer(&x), Argument::Long(columns as i64), Argument::Pointer(0), pointer(&gate)],
        vec![Argument::Float(normalizer as f32)],
        ints([rows, columns]),
    ];
    // SAFETY: both are alive, dense and of one shape.
    card(&x).run(|lane| unsafe {
        lane.launch(&kernel("decay_gate", x.dtype(), ANY), gate_extent(rows, columns), &arguments.concat());
    });
    gate
}

/// See [`Blocks::decay_gate_gradient`](crate::native::blocks::Blocks::decay_gate_gradient).
pub(super) fn decay_gate_gradient(x: CubeTensor, normalizer: f64, gradient: CubeTensor) -> CubeTensor {
    let (x, gradient) = (contiguous(x), contiguous(gradient));
    let [batch, time, columns] = dims(&x);
    let of_x = unwritten(&x, x.shape(), x.dtype());
    let (rows, stride, none) = (batch * time, Argument::Long(columns as i64), Argument::Pointer(0));
    let arguments = [
        vec![pointer(&x), stride, none, pointer(&gradient), pointer(&of_x), stride, none],
        vec![Argument::Float(normalizer as f32)],
        ints([rows, columns]),
    ];
    // SAFETY: as above.
    card(&x).run(|lane| unsafe {
        let kernel = kernel("decay_gate_backward", x.dtype(), ANY);
        lane.launch(&kernel, gate_extent(rows, columns), &arguments.concat());
    });
    of_x
}

/// See [`Lessons::readout`](crate::native::autodiff::Lessons::readout).
pub(super) fn readout(o: CubeTensor, gate: CubeTensor, weight: CubeTensor, epsilon: f64) -> CubeTensor {
    let [o, gate, weight] = [o, gate, weight].map(with_dense_rows);
    let [batch, heads, time, value] = dims(&o);
    let y = unwritten(&o, [batch, time, heads * value], o.dtype());
    let card = card(&o);
    let blocks = (batch * heads * time).div_ceil(8).min(6 * card.processors as usize);
    let extent = Extent { grid: (blocks as u32, 1, 1), block: (256, 1), shared: 0 };
    let arguments = [
        view(&o),
        view(&gate),
        vec![pointer(&weight)],
        view(&y),
        vec![Argument::Float(epsilon as f32)],
        ints([batch, heads, time]),
    ];
    // SAFETY: all are alive, of these sizes, with dense rows.
    card.run(|lane| unsafe {
        lane.launch(&kernel("readout", o.dtype(), value), extent, &arguments.concat());
    });
    y
}

/// See [`Blocks::readout_gradients`](crate::native::blocks::Blocks::readout_gradients).
pub(super) fn readout_gradients(
    [o, gate, weight]: [CubeTensor; 3],
    epsilon: f64,
    gradient: CubeTensor,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [o, gate, weight, gradient] = [o, gate, weight, gradient].map(with_dense_rows);
    let [batch, heads, time, value] = dims(&o);
    let of_o = unwritten_by_time(&o, [batch, heads, time, value], o.dtype());
    let of_gate = unwritten(&o, [batch, time, heads * value], o.dtype());
    let card = card(&o);
    let blocks = (batch * heads * time).div_ceil(8).min(4 * card.processors as usize);
    let shares = unwritten(&o, [blocks, value], DType::F32);
    let extent = Extent { grid: (blocks as u32, 1, 1), block: (256, 1), shared: 0 };
    let arguments = [
        view(&o),
        view(&gate),
        vec![pointer(&weight)],
        view(&gradient),
        view(&of_o),
        view(&of_gate),
        vec![pointer(&shares), Argument::Float(epsilon as f32)],
        ints([batch, heads, time]),
    ];
    // SAFETY: as above.
    card.run(|lane| unsafe {
        lane.launch(&kernel("readout_backward", o.dtype(), value), extent, &arguments.concat());
    });
    (of_o, of_gate, sum_rows(shares, [value]))
}
