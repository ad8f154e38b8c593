//! One order for all that a device is asked to do: burn keeps to one stream, and the kernels of this crate go to the same.

use std::ptr::with_exposed_provenance_mut;
use std::sync::Arc;

use cubecl::cuda::{CudaDevice, CudaRuntime};
use cubecl_common::device::Device;
use cubecl_common::device_handle::DeviceHandle;
use cubecl_environment::stream::{StreamPolicy, set_policy};
use cubecl_runtime::runtime::Runtime;
use cudarc::driver::{CudaContext, CudaStream, sys::CUstream};

/// What stands before the address of a server's first stream where the server is printed.
const FIRST_STREAM: &str = "streams: [Some(StreamWrapper { stream: Stream { sys: 0x";

/// Makes burn ask all its work of a device on one stream, whichever thread asks. To be called before the first.
pub(crate) fn keep_order() {
    set_policy(StreamPolicy::Single);
}

/// The stream that burn computes on.
pub(super) fn stream_of_burn(context: &Arc<CudaContext>, index: usize) -> Arc<CudaStream> {
    let device = CudaDevice::new(index);
    // The stream is there once memory was asked of it.
    let client = CudaRuntime::client(&device);
    let memory = client.get_resource::<<CudaRuntime as Runtime>::Server>(client.empty(1));
    let _memory = memory.unwrap_or_else(|cause| panic!("the CUDA device gives no memory: {cause:?}"));
    // burn's server keeps its stream to itself, but shows the address where it is printed.
    let server = DeviceHandle::<<CudaRuntime as Runtime>::Server>::new(device.to_id());
    let printed = server.submit_blocking(|server| format!("{server:?}"));
    let printed = printed.unwrap_or_else(|cause| panic!("the CUDA device does not answer: {cause:?}"));
    let address = address(&printed).expect("burn's server shows its stream as it did in cubecl 0.11.3");
    let stream: CUstream = with_exposed_provenance_mut(address);
    // SAFETY: the stream belongs to the device's primary context, as `context` is, and burn's server keeps it for as long as
    // the process lives. Work is in order because burn asks on no other stream (`keep_order`).
    unsafe { context.wrap_borrowed_stream(stream) }
}

fn address(printed: &str) -> Option<usize> {
    let (_, rest) = printed.split_once(FIRST_STREAM)?;
    let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    usize::from_str_radix(digits, 16).ok().filter(|address| *address != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_first_stream_is_read() {
        let server = "CudaServer { streams: MultiStream { streams: StreamPool { streams: ";
        let other = "None, Some(StreamWrapper { stream: Stream { sys: 0x7f00, memory: {} } })] } } }";
        let first = "[Some(StreamWrapper { stream: Stream { sys: 0x55d0c8a0, memory: {} } }), ";
        assert_eq!(address(&format!("{server}{first}{other}")), Some(0x55d0_c8a0));
        assert_eq!(address(&format!("{server}[{other}")), None);
        assert_eq!(address(&format!("{server}{}{other}", first.replace("55d0c8a0", "0"))), None);
    }
}
