//! Turns a panic of a third-party library into an error. Some libraries panic when they read a damaged file.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The message of a panic that [`catch_panic`] caught.
#[derive(Debug)]
pub struct PanicError(String);

impl fmt::Display for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PanicError {}

/// The number of calls of [`catch_panic`] that are running. All threads share the number, because a library
/// may panic on a thread of its own.
static NUM_RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Runs `read` and returns its result. If `read` panics, nothing is printed, and the error holds the first
/// line of the panic's message.
///
/// Use this only around third-party code that reads an untrusted file. A panic in this workspace is a bug and
/// must stay visible.
///
/// # Errors
/// Fails when `read` panics.
pub fn catch_panic<T>(read: impl FnOnce() -> T) -> Result<T, PanicError> {
    static INSTALL_HOOK: Once = Once::new();
    INSTALL_HOOK.call_once(|| {
        let default_hook = take_hook();
        set_hook(Box::new(move |info| {
            if NUM_RUNNING.load(Ordering::Relaxed) == 0 {
                default_hook(info);
            }
        }));
    });
    NUM_RUNNING.fetch_add(1, Ordering::Relaxed);
    let result = catch_unwind(AssertUnwindSafe(read));
    NUM_RUNNING.fetch_sub(1, Ordering::Relaxed);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("the reader panicked");
        PanicError(text.lines().next().unwrap_or_default().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_the_first_line_of_its_message() {
        assert_eq!(catch_panic(|| 7).unwrap(), 7);
        let number = 3;
        assert_eq!(
            catch_panic(|| panic!("{number} is too many\nfor it")).unwrap_err().to_string(),
            "3 is too many"
        );
        assert_eq!(catch_panic(|| panic!("no")).unwrap_err().to_string(), "no");
    }
}
