// SPDX-License-Identifier: MIT
//! What this crate uses of toytimer.h and toytimer-queue.h. The headers describe it.
use std::os::raw::{c_char, c_int, c_short, c_uint, c_ulong, c_void};

pub enum Handle {}

pub const RELATIVE: c_uint = 1 << 0;
pub const WAKE_SYSTEM: c_uint = 1 << 1;
pub const TELL_CLOCK_SET: c_uint = 1 << 2;
pub const MATCH_USER: c_uint = 1 << 0;
pub const MATCH_EVERYBODY: c_uint = 1 << 1;
pub const KEEP: c_uint = 1 << 4;
pub const WOKEN: c_int = 1;
pub const CANCELLED: c_int = 2;
pub const CLOCK_SET: c_int = 4;
pub const POLLIN: c_short = 1;

#[repr(C)]
pub struct Event {
    pub kind: c_int,
    pub error: c_int,
    pub timer: u64,
    pub id: u64,
    pub due: u64,
    pub late: u64,
    pub overruns: u64,
    pub last: c_int,
}

pub type Handler = extern "C" fn(*mut Handle, *const Event, *mut c_void) -> c_int;

#[repr(C)]
pub struct Registration {
    pub due: u64,
    pub slack: u64,
    pub every: u64,
    pub count: u32,
    pub clock: c_int,
    pub flags: c_uint,
    pub label: *const c_char,
    pub handler: Option<Handler>,
    pub userdata: *mut c_void,
    pub reserved: [u64; 2],
}

#[repr(C)]
pub struct Match {
    pub flags: c_uint,
    pub uid: u32,
    pub label: *const c_char,
    pub reserved: [u64; 2],
}

#[repr(C)]
pub struct Listed {
    pub id: u64,
    pub label: *const c_char,
    pub clock: c_int,
    pub flags: c_uint,
    pub due: u64,
    pub left: i64,
    pub slack: u64,
    pub every: u64,
    pub count: u32,
    pub fired: u32,
    pub uid: u32,
    pub pid: u32,
    pub comm: *const c_char,
}

pub type ListHandler = extern "C" fn(*const Listed, *mut c_void) -> c_int;

#[repr(C)]
pub struct QueueTimer {
    pub due: u64,
    pub slack: u64,
    pub every: u64,
    pub max_late: u64,
    pub count: u32,
    pub max_attempts: u32,
    pub clock: c_int,
    pub flags: c_uint,
    pub label: *const c_char,
    pub key: *const c_char,
    pub payload: *const c_void,
    pub payload_size: usize,
    pub reserved: [u64; 4],
}

#[repr(C)]
#[derive(Default)]
pub struct QueueStored {
    pub error: c_int,
    pub replaced: c_int,
    pub kept: c_int,
    pub id: u64,
    pub due: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct WakeRef {
    pub id: u64,
    pub term: u64,
    pub number: u32,
    pub queue: u32,
}

#[repr(C)]
pub struct QueueWake {
    pub wake: WakeRef,
    pub queue: *const c_char,
    pub due: u64,
    pub late: u64,
    pub overruns: u64,
    pub attempt: u32,
    pub last: c_int,
    pub clock: c_int,
    pub label: *const c_char,
    pub key: *const c_char,
    pub payload: *const c_void,
    pub payload_size: usize,
}

pub type WakeHandler = extern "C" fn(*mut Handle, *const QueueWake, *mut c_void) -> c_int;

#[repr(C)]
pub struct QueueConsumer {
    pub window: u32,
    pub max_attempts: u32,
    pub ack_within: u64,
    pub handler: Option<WakeHandler>,
    pub userdata: *mut c_void,
    pub reserved: [u64; 2],
}

#[repr(C)]
pub struct PollFd {
    pub fd: c_int,
    pub events: c_short,
    pub revents: c_short,
}

extern "C" {
    pub fn poll(fds: *mut PollFd, n: c_ulong, timeout: c_int) -> c_int;

    pub fn toytimer_open(ret: *mut *mut Handle, path: *const c_char) -> c_int;
    pub fn toytimer_unref(t: *mut Handle) -> *mut Handle;
    pub fn toytimer_get_fd(t: *mut Handle) -> c_int;
    pub fn toytimer_process(t: *mut Handle) -> c_int;
    pub fn toytimer_flush(t: *mut Handle) -> c_int;
    pub fn toytimer_register_async(
        t: *mut Handle,
        r: *const Registration,
        ret_timer: *mut u64,
    ) -> c_int;
    pub fn toytimer_cancel_async(t: *mut Handle, timer: u64) -> c_int;
    pub fn toytimer_rearm_async(t: *mut Handle, timer: u64, r: *const Registration) -> c_int;
    pub fn toytimer_get_timer(
        t: *mut Handle,
        timer: u64,
        ret_id: *mut u64,
        ret_due: *mut u64,
    ) -> c_int;
    pub fn toytimer_cancel_id(t: *mut Handle, id: u64) -> c_int;
    pub fn toytimer_cancel_matching(
        t: *mut Handle,
        matched: *const Match,
        ret_cancelled: *mut u64,
    ) -> c_int;
    pub fn toytimer_list_matching(
        t: *mut Handle,
        matched: *const Match,
        handler: ListHandler,
        userdata: *mut c_void,
    ) -> c_int;
    pub fn toytimer_count(t: *mut Handle) -> usize;
    pub fn toytimer_get_reconnects(t: *mut Handle) -> u64;
    pub fn toytimer_now(clock: c_int) -> u64;
    pub fn toytimer_strerror(error: c_int) -> *const c_char;
    pub fn toytimer_get_error() -> *const c_char;

    pub fn toytimer_queue_open(ret: *mut *mut Handle, path: *const c_char, flags: c_uint) -> c_int;
    pub fn toytimer_queue_unref(q: *mut Handle) -> *mut Handle;
    pub fn toytimer_queue_get_fd(q: *mut Handle) -> c_int;
    pub fn toytimer_queue_process(q: *mut Handle) -> c_int;
    pub fn toytimer_queue_put(
        q: *mut Handle,
        queue: *const c_char,
        timer: *const QueueTimer,
        ret: *mut QueueStored,
    ) -> c_int;
    pub fn toytimer_queue_cancel(
        q: *mut Handle,
        queue: *const c_char,
        id: u64,
        key: *const c_char,
    ) -> c_int;
    pub fn toytimer_queue_consume(
        q: *mut Handle,
        queue: *const c_char,
        consumer: *const QueueConsumer,
    ) -> c_int;
    pub fn toytimer_queue_detach(q: *mut Handle, queue: *const c_char) -> c_int;
    pub fn toytimer_queue_ack(q: *mut Handle, wake: *const WakeRef) -> c_int;
    pub fn toytimer_queue_retry(q: *mut Handle, wake: *const WakeRef, delay: u64) -> c_int;
    pub fn toytimer_queue_strerror(error: c_int) -> *const c_char;
}
