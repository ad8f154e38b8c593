//! Turns a panic into an error that has the panic's source location. A bug in a cell therefore ends only this
//! cell, and not the whole sweep.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};

use dtr_core::error::{Error, Result};

/// Messages and source locations of the latest panics of all threads. The payload of a panic reaches the
/// cell's thread without the source location. The cell's thread looks up the location here by the panic's
/// message.
static LATEST_PANICS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Maximum number of panics in [`LATEST_PANICS`]. Several threads may panic before one thread looks up a
/// location.
const MAX_PANICS: usize = 64;

/// Runs `work` and returns its result.
///
/// # Errors
/// Fails if `work` panics, or if a thread that `work` waits for panics.
pub fn catch_cell_panic<T>(work: impl FnOnce() -> T) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(install_hook);
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = message(payload.as_ref());
        let panics = LATEST_PANICS.lock().unwrap_or_else(PoisonError::into_inner);
        let place =
            panics.iter().rev().find(|(known, _)| *known == message).map(|(_, place)| format!(" at {place}"));
        Error::failed(format!("panicked{}: {message}", place.unwrap_or_default()))
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

fn install_hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or("no message").to_owned();
        let mut panics = LATEST_PANICS.lock().unwrap_or_else(PoisonError::into_inner);
        panics.push((message, place));
        let surplus = panics.len().saturating_sub(MAX_PANICS);
        panics.drain(..surplus);
        drop(panics);
        before(info);
    }));
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn a_panic_of_this_thread_or_of_another_becomes_an_error_with_message_and_location() {
        assert_eq!(catch_cell_panic(|| 1).unwrap(), 1);
        let here = catch_cell_panic(|| panic!("no {}", "room")).unwrap_err().to_string();
        assert!(
            here.starts_with("panicked at src/runner/panics.rs:") && here.ends_with(": no room"),
            "{here}"
        );
        let there =
            catch_cell_panic(|| (0..64).into_par_iter().for_each(|n| assert!(n < 63, "at {n}"))).unwrap_err();
        assert!(there.to_string().ends_with(": at 63"), "{there:?}");
    }
}
