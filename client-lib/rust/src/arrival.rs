// SPDX-License-Identifier: MIT
//! Copies of the events that the library passes to its handlers.
use std::os::raw::c_int;

use crate::ffi;

pub(crate) enum Arrival {
    Timer { kind: c_int, error: c_int, due: u64, late: u64, overruns: u64, last: bool },
    Wake(Box<ArrivedWake>),
}

/// A wake of a queue.
pub(crate) struct ArrivedWake {
    pub wake: ffi::WakeRef,
    pub due: u64,
    pub late: u64,
    pub overruns: u64,
    pub attempt: u32,
    pub last: bool,
    pub label: String,
    pub key: String,
    pub payload: Vec<u8>,
}
