//! Converts burn's tensors on CUDA devices to addresses and strides for kernels, and allocates tensors that
//! kernels write to.

use std::ops::Range;

use burn::backend::{Cube, TensorMetadata};
use burn::tensor::kind::Basic;
use burn::tensor::{BackendPrimitive, DType, Float, Shape, Tensor};
use burn_cubecl::CubeDevice;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::CudaRuntime;
use cubecl::zspace::metadata::Metadata;
use cubecl_runtime::runtime::Runtime;

use super::context::GpuContext;
use super::launch::KernelArg;

/// Returns the primitive (the tensor type of burn's backend) of a tensor. The tensor must be on a CUDA
/// device, and on no autodiff graph.
pub(crate) fn into_cube<const D: usize, K>(tensor: Tensor<D, K>) -> CubeTensor
where
    K: Basic + BackendPrimitive<Cube, Primitive = CubeTensor>,
{
    tensor.try_into_primitive::<Cube>().expect("the tensor must be on a CUDA device, without autodiff")
}

/// Returns the tensor that holds a primitive.
pub(crate) fn from_cube<const D: usize, K>(primitive: CubeTensor) -> Tensor<D, K>
where
    K: Basic + BackendPrimitive<Cube, Primitive = CubeTensor>,
{
    Tensor::from_primitive::<Cube>(primitive)
}

/// Returns the context of the device that holds `tensor`.
pub(crate) fn gpu_context(tensor: &CubeTensor) -> &'static GpuContext {
    match &tensor.device {
        CubeDevice::Cuda(device) => GpuContext::for_device(device.index),
        other => unreachable!("CUDA kernels compute on CUDA devices, not on {other:?}"),
    }
}

/// Returns the address of the first element. The address is valid while the tensor is alive.
pub(crate) fn device_address(tensor: &CubeTensor) -> u64 {
    let found = tensor.client.get_resource::<<CudaRuntime as Runtime>::Server>(tensor.handle.clone());
    found.unwrap_or_else(|cause| panic!("the CUDA device does not hold the tensor: {cause:?}")).resource().ptr
}

/// Returns the address of the first element as a kernel argument.
pub(crate) fn pointer(tensor: &CubeTensor) -> KernelArg {
    KernelArg::Pointer(device_address(tensor))
}

/// Returns the address of the first element as a kernel argument, or null if there is no tensor.
pub(crate) fn pointer_or_null(tensor: Option<&CubeTensor>) -> KernelArg {
    tensor.map_or(KernelArg::Pointer(0), pointer)
}

/// Returns the distance between the positions of two neighbouring batch rows in `positions`. The distance is
/// 1 for `[b]`. It is 0 for `[1]`, because all rows then share one position.
pub(crate) fn position_stride(positions: &CubeTensor) -> usize {
    let [count] = dims(positions);
    usize::from(count > 1)
}

/// Returns the kernel arguments of a tensor with contiguous rows: its address, and the strides of all axes
/// but the last.
pub(crate) fn pointer_and_strides(tensor: &CubeTensor) -> Vec<KernelArg> {
    let strides = tensor.meta.strides();
    let strides = strides[..strides.len() - 1].iter().map(|&stride| KernelArg::Long(stride as i64));
    std::iter::once(pointer(tensor)).chain(strides).collect()
}

/// Returns the tensor with a contiguous last axis. Copies only if the axis is not contiguous.
pub(crate) fn with_contiguous_rows(tensor: CubeTensor) -> CubeTensor {
    let has_contiguous_rows = tensor.meta.strides().last().is_none_or(|&stride| stride == 1);
    if has_contiguous_rows { tensor } else { copy_contiguous(tensor) }
}

/// Returns the tensor in row-major order. Copies only if the order is different.
pub(crate) fn contiguous(mut tensor: CubeTensor) -> CubeTensor {
    let shape = tensor.shape();
    let mut strides = vec![1; shape.num_dims()];
    for axis in (1..strides.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    // The stride of an axis of length 1 does not matter.
    let mut axes = shape.iter().zip(&strides).zip(tensor.meta.strides().iter());
    if !axes.all(|((&length, expected), actual)| length == 1 || expected == actual) {
        return copy_contiguous(tensor);
    }
    tensor.meta.strides_mut().copy_from_slice(&strides);
    tensor
}

fn copy_contiguous(tensor: CubeTensor) -> CubeTensor {
    assert!(!gpu_context(&tensor).is_capturing(), "copies by burn cannot be captured into a CUDA graph");
    into_contiguous(tensor)
}

/// Returns the tensor in row-major order, in memory that a kernel may overwrite. Copies the tensor if another
/// tensor shares its memory.
pub(crate) fn copy_if_shared(tensor: CubeTensor) -> CubeTensor {
    let tensor = contiguous(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// Returns a tensor with the same memory, but other axis lengths and strides.
pub(crate) fn with_layout<const D: usize>(
    mut tensor: CubeTensor,
    lengths: [usize; D],
    strides: [usize; D],
) -> CubeTensor {
    *tensor.meta = Metadata::new(lengths, strides);
    tensor
}

/// Writes `values` into the part `ranges` of `tensor`, in place.
///
/// # Panics
/// Panics if another tensor shares the memory of `tensor`.
pub(crate) fn overwrite<const D: usize>(
    tensor: Tensor<D>,
    ranges: [Range<usize>; D],
    values: Tensor<D>,
) -> Tensor<D> {
    let tensor = into_cube(tensor);
    let address = device_address(&tensor);
    // burn's Cube backend writes in place if no other tensor shares the memory.
    let tensor = into_cube(from_cube::<D, Float>(tensor).slice_assign(ranges, values));
    assert!(address == device_address(&tensor), "another tensor shares the memory of an overwritten tensor");
    from_cube(tensor)
}

/// Returns the lengths of a tensor's axes.
pub(crate) fn dims<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    let shape = tensor.shape();
    std::array::from_fn(|axis| shape[axis])
}

/// Returns a tensor with uninitialised elements on the device of `like`.
pub(crate) fn empty(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let shape = shape.into();
    let handle = like.client.empty(shape.num_elements() * dtype.size());
    gpu_context(like).retain_if_capturing(&handle);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}

/// Returns an uninitialised tensor `[b, h, t, w]` whose memory is in the order `[b, t, h, w]`. In this order,
/// heads can be merged without a copy.
pub(crate) fn empty_time_major(like: &CubeTensor, [b, h, t, w]: [usize; 4], dtype: DType) -> CubeTensor {
    let mut tensor = empty(like, [b, t, h, w], dtype);
    tensor.meta.swap(1, 2);
    tensor
}
