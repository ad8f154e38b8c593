//! One stream per device, shared by burn and the kernels of this crate.
//!
//! burn 0.22.1 and cubecl 0.11.3 have no function that returns the stream: `cubecl-cuda` keeps it in a
//! private field of its server. The only public output that contains the stream is the server's `Debug` form,
//! which [`burn_stream`] parses. The form can change only with cubecl's version, which `Cargo.toml` pins
//! exactly. A test checks the parser.
//!
//! There are two alternatives. An accessor would need a patched copy of `cubecl-cuda` in this repository. The
//! copy's 4,000 lines would have to be merged at each release. A second stream, synchronised with burn's
//! stream by events, would cost four driver calls per launch. On an H100, the quick start takes 66 s with two
//! streams, and 40 s with one.

use std::ptr::with_exposed_provenance_mut;
use std::sync::Arc;

use burn_cubecl::CubeDevice;
use cubecl::cuda::{CudaDevice, CudaRuntime};
use cubecl_common::device::Device;
use cubecl_common::device_handle::DeviceHandle;
use cubecl_environment::stream::{StreamPolicy, set_policy};
use cubecl_runtime::runtime::Runtime;
use cudarc::driver::{CudaContext, CudaStream, sys::CUstream};

/// The text before the address of the first stream in the `Debug` form of cubecl's server.
const FIRST_STREAM: &str = "streams: [Some(StreamWrapper { stream: Stream { sys: 0x";

/// Makes burn use one stream per device for all threads. This function must be called before burn opens a
/// device.
pub(crate) fn use_single_stream() {
    set_policy(StreamPolicy::Single);
}

/// Runs `work` on the thread of burn's server for the device. On this thread, operations are submitted
/// without a switch of threads.
///
/// # Panics
/// Panics if `work` panics.
pub(crate) fn run_on_server_thread<R: Send>(device: &CubeDevice, work: impl FnOnce() -> R + Send) -> R {
    let CubeDevice::Cuda(device) = device else {
        unreachable!("CUDA is the only cubecl runtime of this build, but the device is {device:?}")
    };
    let mut result = None;
    if let Err(cause) = CudaRuntime::client(device).exclusive(|| result = Some(work())) {
        panic!("work on the CUDA device failed: {cause:?}");
    }
    result.expect("burn's server did not run the work")
}

/// Returns the stream that burn computes on.
pub(super) fn burn_stream(context: &Arc<CudaContext>, index: usize) -> Arc<CudaStream> {
    let device = CudaDevice::new(index);
    // The server opens its stream at the first allocation.
    let client = CudaRuntime::client(&device);
    let memory = client.get_resource::<<CudaRuntime as Runtime>::Server>(client.empty(1));
    let _memory =
        memory.unwrap_or_else(|cause| panic!("cannot allocate memory on the CUDA device: {cause:?}"));
    let server = DeviceHandle::<<CudaRuntime as Runtime>::Server>::new(device.to_id());
    let debug_form = server.submit_blocking(|server| format!("{server:?}"));
    let debug_form =
        debug_form.unwrap_or_else(|cause| panic!("cannot read the state of burn's CUDA server: {cause:?}"));
    let address = stream_address(&debug_form).expect("the `Debug` form holds no address of a stream");
    let stream: CUstream = with_exposed_provenance_mut(address);
    // SAFETY: the stream belongs to the device's primary context, which is `context`. burn's server keeps the
    // stream until the process ends. All work runs in order, because burn uses no other stream (see
    // `use_single_stream`).
    unsafe { context.wrap_borrowed_stream(stream) }
}

fn stream_address(debug_form: &str) -> Option<usize> {
    let (_, rest) = debug_form.split_once(FIRST_STREAM)?;
    let digits = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    usize::from_str_radix(digits, 16).ok().filter(|address| *address != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_first_stream_is_parsed() {
        let server = "CudaServer { streams: MultiStream { streams: StreamPool { streams: ";
        let other = "None, Some(StreamWrapper { stream: Stream { sys: 0x7f00, memory: {} } })] } } }";
        let first = "[Some(StreamWrapper { stream: Stream { sys: 0x55d0c8a0, memory: {} } }), ";
        assert_eq!(stream_address(&format!("{server}{first}{other}")), Some(0x55d0_c8a0));
        assert_eq!(stream_address(&format!("{server}[{other}")), None);
        assert_eq!(stream_address(&format!("{server}{}{other}", first.replace("55d0c8a0", "0"))), None);
    }
}
