//! Libraries that panic over a damaged file: here that is an error like any other.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a library said before it gave up.
#[derive(Debug)]
pub struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Panicked {}

/// How much guarded work is under way. A library's own threads panic too, so the count is everyone's.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// The result of a library's `work` on a file, or what it said when it panicked, which nobody else is told.
///
/// Only for code of others that reads what may be damaged: a panic of this crate is a mistake to be seen.
///
/// # Errors
/// When `work` panics.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if UNDER_WAY.load(Ordering::Relaxed) == 0 {
                usual(info);
            }
        }));
    });
    UNDER_WAY.fetch_add(1, Ordering::Relaxed);
    let done = catch_unwind(AssertUnwindSafe(work));
    UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    done.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("it gave up");
        Panicked(text.lines().next().unwrap_or_default().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        assert_eq!(guarded(|| 7).unwrap(), 7);
        let number = 3;
        assert_eq!(
            guarded(|| panic!("{number} is too many\nfor it")).unwrap_err().to_string(),
            "3 is too many"
        );
        assert_eq!(guarded(|| panic!("no")).unwrap_err().to_string(), "no");
    }
}
