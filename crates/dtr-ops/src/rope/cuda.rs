//! Rotary position embedding on CUDA devices. The kernel that rotates keys can also write the rotated keys
//! and the values into the KV cache.

#![allow(unsafe_code)]

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Cube, TensorMetadata};
use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use crate::autodiff::{BackwardArgs, DifferentiableOp, apply};
use crate::cuda::{
    CudaKernel, CudaSource, KernelArg, LaunchDims, dims, empty_time_major, from_cube, gpu_context, int_args,
    into_cube, pointer, pointer_and_strides, pointer_or_null, position_stride, with_contiguous_rows,
};

static ROTARY: CudaSource = CudaSource { name: "rotary", text: include_str!("rotary.cu") };

/// Rotates `x_bhtk` by cosines and sines, `[b or 1, 1, t, k/2]` each.
pub(super) fn rotate(x_bhtk: Tensor<4>, [cos, sin]: [Tensor<4>; 2]) -> Tensor<4> {
    apply(Rotate, [x_bhtk, cos, sin].map(Tensor::into_dispatch))
}

/// A rotation as a differentiable operation. Its inputs are x, the cosines and the sines.
#[derive(Clone, Debug)]
struct Rotate;

impl DifferentiableOp<3> for Rotate {
    type Backend = Cube;

    fn forward(&self, [x, cos, sin]: [CubeTensor; 3]) -> (CubeTensor, Vec<CubeTensor>) {
        (rotate_primitive(x, [cos, sin], None), Vec::new())
    }

    /// Rotates the gradient back by the same angles. The angles get no gradient.
    fn backward(&self, pass: BackwardArgs<Cube, 3>) -> [Option<CubeTensor>; 3] {
        let [_, cos, sin] = pass.inputs;
        let d_x = rotate_primitive(pass.output_gradient, [cos, Cube::float_neg(sin)], None);
        [Some(d_x), None, None]
    }
}

/// Rotates the tokens of `x_bhtk`. `positions` holds the position of each batch row's first token, `[b]`, or
/// one position for all rows, `[1]`. `tables` holds the cosines and sines of all positions.
pub(crate) fn rotate_from_counter(
    x_bhtk: Tensor<4>,
    tables: [Tensor<4>; 2],
    positions: CubeTensor,
) -> Tensor<4> {
    from_cube(rotate_primitive(into_cube(x_bhtk), tables.map(into_cube), Some(&positions)))
}

/// Rotates the queries and keys of `[q, k, v]`. Writes the rotated keys and the values in place into the
/// cache buffers, `[b, g, capacity, k]`. `positions` holds the position of each batch row's first token,
/// `[b]`, or one position for all rows, `[1]`. Returns the rotated queries and the buffers.
///
/// # Panics
/// Panics if a cache buffer is shared with another tensor.
pub(crate) fn rotate_and_append(
    tokens: [Tensor<4>; 3],
    cache: [Tensor<4>; 2],
    tables: [Tensor<4>; 2],
    positions: CubeTensor,
) -> (Tensor<4>, [Tensor<4>; 2]) {
    let cache = cache.map(into_cube);
    assert!(cache.iter().all(CubeTensor::can_mut), "another tensor shares a cache buffer");
    let [q, k, v] = tokens.map(|tensor| with_contiguous_rows(into_cube(tensor)));
    let rotated = empty_time_major(&q, dims(&q), q.dtype());
    let rotation = Rotation {
        queries: Some(TokenCopy { from: &q, to: &rotated }),
        keys: TokenCopy { from: &k, to: &cache[0] },
        values: Some(TokenCopy { from: &v, to: &cache[1] }),
        tables: tables.map(into_cube),
        first_positions: Some(&positions),
        cache_positions: Some(&positions),
    };
    rotation.launch();
    (from_cube(rotated), cache.map(from_cube))
}

fn rotate_primitive(x: CubeTensor, tables: [CubeTensor; 2], positions: Option<&CubeTensor>) -> CubeTensor {
    let x = with_contiguous_rows(x);
    let rotated = empty_time_major(&x, dims(&x), x.dtype());
    let keys = TokenCopy { from: &x, to: &rotated };
    Rotation { queries: None, keys, values: None, tables, first_positions: positions, cache_positions: None }
        .launch();
    rotated
}

/// Tokens `[b, h, t, k]` and the tensor that the kernel writes them to.
#[derive(Clone, Copy)]
struct TokenCopy<'a> {
    from: &'a CubeTensor,
    to: &'a CubeTensor,
}

/// The arguments of one launch of the kernel. The kernel rotates queries and keys, and copies values.
struct Rotation<'a> {
    queries: Option<TokenCopy<'a>>,
    keys: TokenCopy<'a>,
    values: Option<TokenCopy<'a>>,
    /// The tables of cosines and sines, in f32. If `first_positions` is set, the tables have a row for each
    /// position. Otherwise, they have a row for each token.
    tables: [CubeTensor; 2],
    /// The position of each batch row's first token, `[b]`, or one position for all rows, `[1]`. `None` if no
    /// counters on the device hold the positions.
    first_positions: Option<&'a CubeTensor>,
    /// The position in the cache to which each batch row's first key and value are written, in the shape of
    /// `first_positions`. `None` means position 0 for all rows.
    cache_positions: Option<&'a CubeTensor>,
}

impl Rotation<'_> {
    fn launch(self) {
        let Self { queries, keys, values, .. } = self;
        let tables = self.tables.map(with_contiguous_rows);
        let table_strides = tables[0].meta.strides();
        let table_batch = if dims::<4>(&tables[0])[0] == 1 { 0 } else { table_strides[0] };
        let [batch, groups, time, width] = dims(keys.from);
        let heads = queries.map_or(0, |queries| dims::<4>(queries.from)[1]);
        let all_heads = heads + if values.is_some() { 2 * groups } else { groups };
        let (name, vector) =
            if keys.from.dtype() == DType::BF16 { ("rotary_bf16", 8) } else { ("rotary_f32", 4) };
        let threads = all_heads * time * (width / 2 / vector);
        let grid = (threads.div_ceil(128) as u32, batch as u32, 1);
        let launch = LaunchDims { grid, block: (128, 1), shared_bytes: 0 };
        let null = || vec![KernelArg::Pointer(0), KernelArg::Long(0), KernelArg::Long(0), KernelArg::Long(0)];
        let views: Vec<Vec<KernelArg>> = [queries, Some(keys), values]
            .iter()
            .flat_map(|copy| {
                copy.map_or([null(), null()], |copy| [copy.from, copy.to].map(pointer_and_strides))
            })
            .collect();
        let arguments = [
            views.iter().map(|view| view[0]).collect(),
            tables.each_ref().map(pointer).to_vec(),
            vec![pointer_or_null(self.cache_positions), pointer_or_null(self.first_positions)],
            views.iter().flat_map(|view| view[1..].to_vec()).collect(),
            [table_batch, table_strides[2]].map(|stride| KernelArg::Long(stride as i64)).to_vec(),
            int_args([heads, groups, time, width, self.first_positions.map_or(0, position_stride)]),
        ];
        let kernel = CudaKernel { source: &ROTARY, defines: String::new(), name };
        // SAFETY: all tensors are alive, have these sizes, and have contiguous rows. For absent tensors, the
        // address is null or the number of heads is 0.
        gpu_context(keys.from).with_launcher(|launcher| unsafe {
            launcher.launch(&kernel, launch, &arguments.concat());
        });
    }
}
