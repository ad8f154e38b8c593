//! A panic as an error that says where: a fault of this program or of a library ends a cell, not the sweep.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};

use dtr_core::error::{Error, Result};

/// Messages and places of the latest panics of all threads: those of a cell panic into the one that waits for them.
static PLACES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Panics that are kept; of threads side by side several may panic before one is asked for.
const NUM_KEPT: usize = 64;

/// Does `work`; a panic in it, or in threads that it waits for, is an error with its message and place.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T> {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(listen);
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let message = message(payload.as_ref());
        let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let place =
            places.iter().rev().find(|(said, _)| *said == message).map(|(_, place)| format!(" at {place}"));
        Error::failed(format!("panicked{}: {message}", place.unwrap_or_default()))
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

fn listen() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let said = info.payload_as_str().unwrap_or("no message").to_owned();
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        places.push((said, place));
        let surplus = places.len().saturating_sub(NUM_KEPT);
        places.drain(..surplus);
        drop(places);
        before(info);
    }));
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn a_panic_of_this_thread_or_of_another_says_what_and_where() {
        assert_eq!(caught(|| 1).unwrap(), 1);
        let here = caught(|| panic!("no {}", "room")).unwrap_err().to_string();
        assert!(here.starts_with("panicked at src/run/panics.rs:") && here.ends_with(": no room"), "{here}");
        let there = caught(|| (0..64).into_par_iter().for_each(|n| assert!(n < 63, "at {n}"))).unwrap_err();
        assert!(there.to_string().ends_with(": at 63"), "{there:?}");
    }
}
