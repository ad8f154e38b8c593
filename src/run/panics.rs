//! A panic as an error that says where: a fault of this program or of a library ends a cell, not the sweep.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};

use crate::error::{Error, Result};

/// Where the last panic of any thread was; the threads of a cell panic into the one that waits for them.
static LAST_PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Does `work`; a panic in it, or in threads that it waits for, is an error with its message and place.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T> {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(listen);
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let message = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        let place = LAST_PLACE.lock().unwrap_or_else(PoisonError::into_inner).take();
        let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
        Error::failed(format!("panicked{place}: {message}"))
    })
}

fn listen() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string);
        *LAST_PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
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
