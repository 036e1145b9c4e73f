// SPDX-License-Identifier: MIT
use std::ffi::CStr;
use std::fmt;
use std::os::raw::{c_char, c_int};

use crate::ffi;

/// Why a call failed: the library's errno, and a sentence that names the limit or the argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    errno: i32,
    sentence: String,
}

/// The result of the calls of this crate.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) const ENOMEM: c_int = 12;
pub(crate) const EBADF: c_int = 9;
pub(crate) const ENOENT: c_int = 2;
pub(crate) const EACCES: c_int = 13;
pub(crate) const EINVAL: c_int = 22;
const ERANGE: c_int = 34;
const EMSGSIZE: c_int = 90;
pub(crate) const ENOTCONN: c_int = 107;
pub(crate) const ECONNRESET: c_int = 104;
pub(crate) const ECANCELED: c_int = 125;

/// The library's sentences are constant, and never NULL.
fn text(sentence: *const c_char) -> String {
    // SAFETY: see above.
    unsafe { CStr::from_ptr(sentence) }.to_string_lossy().into_owned()
}

impl Error {
    /// The errno, positive: libtoytimer(3) lists them.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// For a negative result of a call of this thread to toytimer.h.
    pub(crate) fn of_timer_call(result: c_int) -> Error {
        // SAFETY: the function has no argument.
        let detail = text(unsafe { ffi::toytimer_get_error() });
        if [-EINVAL, -ERANGE].contains(&result) && !detail.is_empty() {
            return Error { errno: -result, sentence: detail };
        }
        Error::of_event(result)
    }

    /// For the error of an event, which no call of this thread caused.
    pub(crate) fn of_event(result: c_int) -> Error {
        // SAFETY: every number has a sentence.
        Error { errno: -result, sentence: text(unsafe { ffi::toytimer_strerror(result) }) }
    }

    /// For a negative result of a call of this thread to toytimer-queue.h.
    pub(crate) fn of_queue_call(result: c_int) -> Error {
        // SAFETY: the function has no argument.
        let detail = text(unsafe { ffi::toytimer_get_error() });
        if [-EINVAL, -ERANGE, -EMSGSIZE, -EACCES].contains(&result) && !detail.is_empty() {
            return Error { errno: -result, sentence: detail };
        }
        // SAFETY: every number has a sentence.
        Error { errno: -result, sentence: text(unsafe { ffi::toytimer_queue_strerror(result) }) }
    }

    pub(crate) fn closed() -> Error {
        Error { errno: EBADF, sentence: "the handle is closed".into() }
    }

    pub(crate) fn invalid(sentence: &str) -> Error {
        Error { errno: EINVAL, sentence: sentence.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        let kind = std::io::Error::from_raw_os_error(error.errno).kind();
        std::io::Error::new(kind, error)
    }
}
