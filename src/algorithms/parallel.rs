//! Parallel maps, with one thread per device or with the threads of the CPU.

use std::panic::resume_unwind;
use std::thread;

use rayon::prelude::*;

use dtr_core::error::Result;

/// Applies `work` to every item, with a thread per item, and returns the results in the items' order. A
/// single item is processed on the calling thread.
///
/// # Errors
/// Fails with the first error in the items' order, after all threads have ended.
pub fn map_in_threads<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let mut items: Vec<I> = items.into_iter().collect();
    if items.len() == 1 {
        return Ok(vec![work(items.remove(0))?]);
    }
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Applies `work` to every item and returns the results in the items' order. On a CPU the items are processed
/// by rayon's threads, on any other device one after the other.
///
/// # Errors
/// Fails if `work` fails for an item. On a GPU, the error is that of the first item for which `work` fails.
pub fn map_on_device<I: Send, T: Send>(
    is_cpu: bool,
    items: Vec<I>,
    work: impl Fn(I) -> Result<T> + Send + Sync,
) -> Result<Vec<T>> {
    match is_cpu {
        true => items.into_par_iter().map(work).collect(),
        false => items.into_iter().map(work).collect(),
    }
}
