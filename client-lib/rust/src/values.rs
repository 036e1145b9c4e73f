// SPDX-License-Identifier: MIT
//! Converts texts and times between Rust and the library.
use std::ffi::CString;
use std::os::raw::c_int;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Result};
use crate::ffi;

/// A path or a text for C.
pub(crate) fn c_string(bytes: &[u8], what: &str) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::invalid(&format!("{what}: contains a zero byte")))
}

pub(crate) fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX - 1)
}

/// The same, rounded up: a wake never comes before its time.
pub(crate) fn microseconds_up(span: Duration) -> u64 {
    microseconds(span.saturating_add(Duration::from_nanos(999)))
}

pub(crate) fn c_path(path: Option<&Path>) -> Result<Option<CString>> {
    path.map(|path| c_string(path.as_os_str().as_bytes(), "path")).transpose()
}

/// Which clock a timer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Stops in suspend.
    Monotonic,
    /// Counts in suspend, too.
    Boottime,
    /// The wall clock; it can be set.
    Realtime,
}

pub(crate) const REALTIME: c_int = 2;

/// When a wake is due.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// A span that starts at the call. It counts the time in suspend, too.
    In(Duration),
    /// An instant of the monotonic clock, which stops in suspend.
    At(Instant),
    /// An instant of the wall clock. The timer follows the clock when it is set.
    Wall(SystemTime),
}

impl From<Duration> for When {
    fn from(span: Duration) -> When {
        When::In(span)
    }
}

impl From<Instant> for When {
    fn from(at: Instant) -> When {
        When::At(at)
    }
}

impl From<SystemTime> for When {
    fn from(at: SystemTime) -> When {
        When::Wall(at)
    }
}

impl When {
    /// (due, clock, flags)
    pub(crate) fn to_c(self) -> (u64, c_int, u32) {
        match self {
            When::In(span) => (microseconds_up(span), 1, ffi::RELATIVE),
            When::At(at) => {
                (microseconds_up(at.saturating_duration_since(Instant::now())), 0, ffi::RELATIVE)
            }
            When::Wall(at) => {
                let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                (microseconds_up(since), REALTIME, 0)
            }
        }
    }
}
