//! What is left of a decoding step besides products, attention and recurrences.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::buffer::{card, contiguous, dims, pointer, unwritten};
use super::card::{Argument, Extent};
use super::compile::{Kernel, Source, element};
use super::inference::train;

static STEP: Source = Source { name: "step", text: include_str!("kernels/step.cu") };

fn kernel(name: &'static str, like: &CubeTensor) -> Kernel {
    Kernel { source: &STEP, defines: format!("-DELEMENT={}", element(like.dtype())), name }
}

/// A thread for each of so many numbers.
fn each(count: usize) -> Extent {
    Extent { grid: (count.div_ceil(256) as u32, 1, 1), block: (256, 1), shared: 0 }
}

/// `a + b`.
pub(super) fn sum(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let [a, b] = [a, b].map(contiguous);
    let out = unwritten(&a, a.shape(), a.dtype());
    let count = a.shape().num_elements();
    let arguments = [pointer(&a), pointer(&b), pointer(&out), Argument::Long(count as i64)];
    // SAFETY: all three are alive, dense, and of one shape and dtype.
    card(&a).run(|lane| unsafe { lane.launch(&kernel("add", &a), each(count), &arguments) });
    out
}

/// `x + bias`, the bias for every row.
pub(super) fn with_bias(x: CubeTensor, bias: CubeTensor) -> CubeTensor {
    let [x, bias] = [x, bias].map(contiguous);
    let out = unwritten(&x, x.shape(), x.dtype());
    let (count, width) = (x.shape().num_elements(), bias.shape().num_elements());
    let counts = [Argument::Long(count as i64), Argument::Int(width as i32)];
    let arguments = [vec![pointer(&x), pointer(&bias), pointer(&out)], counts.to_vec()];
    // SAFETY: all three are alive, dense and of one dtype; rows are as wide as the bias.
    card(&x).run(|lane| unsafe { lane.launch(&kernel("add_bias", &x), each(count), &arguments.concat()) });
    out
}

/// See [`Blocks::delta_gates`](crate::native::blocks::Blocks::delta_gates).
pub(super) fn delta_gates(
    projections: [CubeTensor; 2],
    per_head: [CubeTensor; 2],
    scale: f64,
) -> (CubeTensor, CubeTensor) {
    let ([a, b], [a_log, dt_bias]) = (projections.map(contiguous), per_head.map(contiguous));
    let [beta, g] = [(); 2].map(|()| unwritten(&a, a.shape(), DType::F32));
    let [_, _, heads] = dims(&a);
    let count = a.shape().num_elements();
    let counts = [Argument::Float(scale as f32), Argument::Long(count as i64), Argument::Int(heads as i32)];
    let arguments = [[&a, &b, &a_log, &dt_bias, &beta, &g].map(pointer).to_vec(), counts.to_vec()];
    // SAFETY: all are alive and dense; a, b, beta and g are of one shape, and the others have a number for each head.
    card(&a).run(|lane| unsafe {
        lane.launch(&kernel("delta_gates", &a), each(count), &arguments.concat());
    });
    (beta, g)
}

/// Rows of a table by their numbers.
pub(super) fn rows(table: CubeTensor, numbers: &CubeTensor) -> CubeTensor {
    let table = contiguous(table);
    let ([_, width], [count]) = (dims(&table), dims(numbers));
    let out = unwritten(&table, [count, width], table.dtype());
    let bytes = width * table.dtype().size();
    assert!(bytes.is_multiple_of(16), "a row of a table is a multiple of 16 bytes");
    let vectors = bytes / 16;
    let arguments = [
        pointer(&table),
        pointer(numbers),
        pointer(&out),
        Argument::Long(count as i64),
        Argument::Int(vectors as i32),
    ];
    // SAFETY: all are alive and dense; numbers are of rows that the table has.
    card(&table).run(|lane| unsafe {
        lane.launch(&train("gather_rows", &table), each(count * vectors), &arguments);
    });
    out
}

/// The column of the largest number of each row, written into `numbers`, whoever else holds them.
pub(super) fn largest_into(x: CubeTensor, numbers: CubeTensor) -> CubeTensor {
    let x = contiguous(x);
    let [rows, columns] = dims(&x);
    let extent = Extent { grid: (rows as u32, 1, 1), block: (512, 1), shared: 0 };
    let width = [Argument::Long(columns as i64)];
    let arguments =
        [vec![pointer(&x)], width.to_vec(), vec![pointer(&numbers), Argument::Int(columns as i32)]];
    // SAFETY: both are alive and dense, with a number for each row.
    card(&x).run(|lane| unsafe { lane.launch(&train("argmax_rows", &x), extent, &arguments.concat()) });
    numbers
}
