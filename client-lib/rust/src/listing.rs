// SPDX-License-Identifier: MIT
//! Lists and cancels timers of all sessions of a user.
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int, c_void};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ffi;
use crate::values::{c_string, Clock};

/// Selects timers. `Match::default()` is all timers of this user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Exactly this label; empty: timers without a label.
    pub label: Option<String>,
    /// Timers of this user. Only root may select another user.
    pub uid: Option<u32>,
    /// Timers of all users. Only for root.
    pub everybody: bool,
}

impl Match {
    /// The timers of this user with a label.
    pub fn label(label: &str) -> Match {
        Match { label: Some(label.into()), ..Match::default() }
    }
}

/// A timer as the daemon lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The id that the daemon gave it.
    pub id: u64,
    /// Empty: none.
    pub label: String,
    /// The clock that it follows.
    pub clock: Clock,
    /// Whether it wakes the machine from suspend.
    pub wake_system: bool,
    /// On its clock.
    pub due: Duration,
    /// Microseconds until the due; negative: it has passed.
    pub left_us: i64,
    /// How much later than `due` the wake may come.
    pub slack: Duration,
    /// The period; zero: none.
    pub every: Duration,
    /// How many wakes; 0: one wake without a period, wakes without end with a period.
    pub count: u32,
    /// Wakes so far.
    pub fired: u32,
    /// The user.
    pub uid: u32,
    /// The process that connected.
    pub pid: u32,
    /// Its name at that time; empty: the daemon cannot see it.
    pub comm: String,
}

fn check(result: c_int) -> Result<()> {
    if result < 0 {
        return Err(Error::of_timer_call(result));
    }
    Ok(())
}

/// Calls the library with a match. The label lives as long as the call.
fn with_match(matched: &Match, call: impl FnOnce(*const ffi::Match) -> c_int) -> Result<()> {
    let label: Option<CString> =
        matched.label.as_ref().map(|label| c_string(label.as_bytes(), "label")).transpose()?;
    let user = if matched.uid.is_some() { ffi::MATCH_USER } else { 0 };
    let everybody = if matched.everybody { ffi::MATCH_EVERYBODY } else { 0 };
    check(call(&ffi::Match {
        flags: user | everybody,
        uid: matched.uid.unwrap_or(0),
        label: label.as_ref().map_or(std::ptr::null(), |label| label.as_ptr()),
        reserved: [0; 2],
    }))
}

extern "C" fn on_listed(listed: *const ffi::Listed, list: *mut c_void) -> c_int {
    // SAFETY: the library passes a timer whose strings are valid during the call, and list() its vector.
    let (l, list) = unsafe { (&*listed, &mut *list.cast::<Vec<Listed>>()) };
    // SAFETY: see above.
    let text = |text: *const c_char| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    list.push(Listed {
        id: l.id,
        label: text(l.label),
        clock: match l.clock {
            0 => Clock::Monotonic,
            1 => Clock::Boottime,
            _ => Clock::Realtime,
        },
        wake_system: l.flags & ffi::WAKE_SYSTEM != 0,
        due: Duration::from_micros(l.due),
        left_us: l.left,
        slack: Duration::from_micros(l.slack),
        every: Duration::from_micros(l.every),
        count: l.count,
        fired: l.fired,
        uid: l.uid,
        pid: l.pid,
        comm: text(l.comm),
    });
    0
}

pub(crate) fn list(handle: *mut ffi::Handle, matched: &Match) -> Result<Vec<Listed>> {
    let mut list: Vec<Listed> = Vec::new();
    let userdata = std::ptr::addr_of_mut!(list).cast();
    with_match(matched, |matched| {
        // SAFETY: the caller holds the handle; on_listed() alone uses the vector during the call.
        unsafe { ffi::toytimer_list_matching(handle, matched, on_listed, userdata) }
    })?;
    Ok(list)
}

pub(crate) fn cancel_id(handle: *mut ffi::Handle, id: u64) -> Result<()> {
    // SAFETY: the caller holds the handle.
    check(unsafe { ffi::toytimer_cancel_id(handle, id) })
}

pub(crate) fn cancel_matching(handle: *mut ffi::Handle, matched: &Match) -> Result<u64> {
    let mut cancelled = 0;
    with_match(matched, |matched| {
        // SAFETY: the caller holds the handle.
        unsafe { ffi::toytimer_cancel_matching(handle, matched, &mut cancelled) }
    })?;
    Ok(cancelled)
}
