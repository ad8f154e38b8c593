//! burn's tensors as addresses and strides, and new ones to write into.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeDevice;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::cuda::CudaRuntime;
use cubecl::zspace::metadata::Metadata;
use cubecl_runtime::runtime::Runtime;

use super::card::{Argument, Card};

/// Does `work` on the thread that burn keeps for the device: what it asks for there is asked at once.
pub(crate) fn exclusively<R: Send>(device: &CubeDevice, work: impl FnOnce() -> R + Send) -> R {
    let CubeDevice::Cuda(device) = device else {
        unreachable!("kernels are asked for on CUDA devices alone, not on {device:?}")
    };
    let mut result = None;
    if let Err(cause) = CudaRuntime::client(device).exclusive(|| result = Some(work())) {
        panic!("work on the CUDA device failed: {cause:?}");
    }
    result.expect("work that did not fail was done")
}

/// The card that holds `tensor`.
pub(super) fn card(tensor: &CubeTensor) -> &'static Card {
    match &tensor.device {
        CubeDevice::Cuda(device) => Card::of(device.index),
        other => unreachable!("kernels are asked for on CUDA devices alone, not on {other:?}"),
    }
}

/// Where `tensor` begins on its device. The address holds while the tensor is alive.
pub(super) fn address(tensor: &CubeTensor) -> u64 {
    let found = tensor.client.get_resource::<<CudaRuntime as Runtime>::Server>(tensor.handle.clone());
    found.unwrap_or_else(|cause| panic!("the CUDA device holds no such tensor: {cause:?}")).resource().ptr
}

/// The same as a kernel's argument.
pub(super) fn pointer(tensor: &CubeTensor) -> Argument {
    Argument::Pointer(address(tensor))
}

/// The address of a tensor that may be absent.
pub(super) fn pointer_or_null(tensor: Option<&CubeTensor>) -> Argument {
    tensor.map_or(Argument::Pointer(0), pointer)
}

/// Elements from one to the next along `axis`.
pub(super) fn stride(tensor: &CubeTensor, axis: usize) -> Argument {
    Argument::Long(tensor.meta.strides()[axis] as i64)
}

/// The tensor with the numbers of its last axis side by side; copied only where they are not.
pub(super) fn with_dense_rows(tensor: CubeTensor) -> CubeTensor {
    let is_dense = tensor.meta.strides().last().is_none_or(|&stride| stride == 1);
    if is_dense { tensor } else { copied(tensor) }
}

/// The tensor in one piece; copied only where it is not.
pub(super) fn contiguous(mut tensor: CubeTensor) -> CubeTensor {
    let shape = tensor.shape();
    let mut strides = vec![1; shape.num_dims()];
    for axis in (1..strides.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    // Where an axis has one member its stride leads nowhere.
    let mut axes = shape.iter().zip(&strides).zip(tensor.meta.strides().iter());
    if !axes.all(|((&length, stride), own)| length == 1 || stride == own) {
        return copied(tensor);
    }
    tensor.meta.strides_mut().copy_from_slice(&strides);
    tensor
}

fn copied(tensor: CubeTensor) -> CubeTensor {
    assert!(!card(&tensor).is_recording(), "burn's copies cannot be recorded");
    into_contiguous(tensor)
}

/// Address and strides of the first axes, all but the last, as kernels take a tensor with dense rows.
pub(super) fn view(tensor: &CubeTensor) -> Vec<Argument> {
    let strides = tensor.meta.strides();
    let axes = 0..strides.len() - 1;
    std::iter::once(pointer(tensor)).chain(axes.map(|axis| stride(tensor, axis))).collect()
}

/// The tensor for a kernel to write into: a copy where others hold its memory.
pub(super) fn owned(tensor: CubeTensor) -> CubeTensor {
    let tensor = contiguous(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// A tensor `[b, h, t, w]` that lies as `[b, t, h, w]`, yet to be written: heads are merged without a copy.
pub(super) fn unwritten_by_time(like: &CubeTensor, [b, h, t, w]: [usize; 4], dtype: DType) -> CubeTensor {
    let mut tensor = unwritten(like, [b, t, h, w], dtype);
    tensor.meta.swap(1, 2);
    tensor
}

/// The same tensor by other lengths and strides of its axes.
pub(super) fn restrided<const D: usize>(
    mut tensor: CubeTensor,
    lengths: [usize; D],
    strides: [usize; D],
) -> CubeTensor {
    *tensor.meta = Metadata::new(lengths, strides);
    tensor
}

/// Numbers from the host, on `like`'s device.
pub(super) fn from_numbers<N: bytemuck::NoUninit>(
    like: &CubeTensor,
    numbers: &[N],
    dtype: DType,
) -> CubeTensor {
    let handle = like.client.create_from_slice(bytemuck::cast_slice(numbers));
    let shape = Shape::from([numbers.len()]);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}

/// The lengths of a tensor's axes.
pub(super) fn dims<const D: usize>(tensor: &CubeTensor) -> [usize; D] {
    let shape = tensor.shape();
    std::array::from_fn(|axis| shape[axis])
}

/// A tensor on `like`'s device, whose numbers are yet to be written.
pub(super) fn unwritten(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let shape = shape.into();
    let handle = like.client.empty(shape.num_elements() * dtype.size());
    card(like).note(&handle);
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}
