//! Functions that process the items of a list in parallel, in one thread per item or in rayon's thread pool.

use std::panic::resume_unwind;
use std::thread;

use rayon::prelude::*;

use dtr_core::error::Result;

/// Applies `work` to each item in a thread of its own. Returns the results in the items' order. If there
/// is only one item, the calling thread processes it.
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

/// Applies `work` to each item. Returns the results in the items' order. On a CPU, rayon's threads process
/// the items in parallel. On any other device, the items are processed one after another.
///
/// # Errors
/// Fails if `work` fails for an item. If `is_cpu` is false, returns the error of the first item that fails.
pub fn map_in_parallel_on_cpu<I: Send, T: Send>(
    is_cpu: bool,
    items: Vec<I>,
    work: impl Fn(I) -> Result<T> + Send + Sync,
) -> Result<Vec<T>> {
    match is_cpu {
        true => items.into_par_iter().map(work).collect(),
        false => items.into_iter().map(work).collect(),
    }
}
