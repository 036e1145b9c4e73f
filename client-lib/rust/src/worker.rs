// SPDX-License-Identifier: MIT
//! The worker: a thread that sleeps on a C handle's descriptor and hands out what arrives.
//!
//! The library calls a handler with a token, a number, as its userdata. The handler notes the event in a
//! list of the thread, and no more: code of the user runs later, when no frame of C is on the stack. A
//! token whose receiver is gone finds nobody, so nothing dangles.
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;
use std::os::raw::{c_int, c_void};
use std::os::unix::io::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use crate::error::{Error, ENOMEM};
use crate::ffi;

/// An event, copied.
pub(crate) enum Arrival {
    Timer { kind: c_int, error: c_int, due: u64, late: u64, overruns: u64, last: bool },
    Wake(Box<crate::queue::Arrived>),
}

/// Whom events are for.
pub(crate) trait Receiver: Send + Sync {
    /// Called in the worker's thread. Returns whether it was the last event.
    fn arrived(&self, arrival: Arrival) -> bool;
    /// No event follows.
    fn failed(&self, error: Error);
}

thread_local! {
    static ARRIVED: RefCell<Vec<(u64, Arrival)>> = RefCell::new(Vec::new());
}

/// For the handlers: notes what has arrived.
pub(crate) fn note(token: *mut c_void, arrival: Arrival) -> c_int {
    ARRIVED.with(|list| list.borrow_mut().push((token as u64, arrival)));
    0
}

/// What differs between timers and queues.
pub(crate) struct Kind {
    pub process: unsafe extern "C" fn(*mut ffi::Handle) -> c_int,
    pub get_fd: unsafe extern "C" fn(*mut ffi::Handle) -> c_int,
    pub unref: unsafe extern "C" fn(*mut ffi::Handle) -> *mut ffi::Handle,
    pub error: fn(c_int) -> Error,
}

/// A C handle, and who waits for its events. The library may be called from every thread.
pub(crate) struct Session {
    handle: *mut ffi::Handle,
    kind: &'static Kind,
    receivers: Mutex<HashMap<u64, Arc<dyn Receiver>>>,
    tokens: AtomicU64,
}

// SAFETY: the library's handles are for all threads (toytimer.h).
unsafe impl Send for Session {}
unsafe impl Sync for Session {}

impl Session {
    pub fn handle(&self) -> *mut ffi::Handle {
        self.handle
    }

    fn receivers(&self) -> MutexGuard<'_, HashMap<u64, Arc<dyn Receiver>>> {
        self.receivers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds a receiver. Its token goes into the registration as userdata.
    pub fn add(&self, receiver: Arc<dyn Receiver>) -> u64 {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        self.receivers().insert(token, receiver);
        token
    }

    /// Returns whether the receiver was still there.
    pub fn remove(&self, token: u64) -> bool {
        let removed = self.receivers().remove(&token);
        removed.is_some()
    }

    fn deliver(&self) {
        for (token, arrival) in ARRIVED.with(RefCell::take) {
            let receiver = self.receivers().get(&token).cloned();
            // A panic of a waker must not end the thread, which serves others too.
            let last = receiver.map(|receiver| {
                catch_unwind(AssertUnwindSafe(|| receiver.arrived(arrival))).unwrap_or(false)
            });
            if last == Some(true) {
                self.remove(token);
            }
        }
    }

    fn work(&self, ended: &UnixStream) {
        // SAFETY: the handle lives as long as self.
        let fd = unsafe { (self.kind.get_fd)(self.handle) };
        loop {
            let watch = |fd| ffi::PollFd { fd, events: ffi::POLLIN, revents: 0 };
            let mut fds = [watch(fd), watch(ended.as_raw_fd())];
            // SAFETY: the array has two members.
            unsafe { ffi::poll(fds.as_mut_ptr(), 2, -1) };
            if fds[1].revents != 0 {
                return;
            }
            let mut result = 1;
            while result > 0 {
                // SAFETY: as above. Only this thread processes.
                result = unsafe { (self.kind.process)(self.handle) };
                self.deliver();
            }
            if result < 0 && result != -ENOMEM {
                return self.fail_all(&(self.kind.error)(result));
            }
        }
    }

    fn fail_all(&self, error: &Error) {
        let receivers = std::mem::take(&mut *self.receivers());
        for receiver in receivers.values() {
            let _ = catch_unwind(AssertUnwindSafe(|| receiver.failed(error.clone())));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: this is the only reference.
        unsafe { (self.kind.unref)(self.handle) };
    }
}

/// Owns the thread. When it is dropped, the thread ends, and whoever waits gets an error.
pub(crate) struct Worker {
    pub session: Arc<Session>,
    end: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Takes the handle over.
    pub fn start(handle: *mut ffi::Handle, kind: &'static Kind) -> std::io::Result<Worker> {
        let session = Arc::new(Session {
            handle,
            kind,
            receivers: Mutex::new(HashMap::new()),
            tokens: AtomicU64::new(1),
        });
        let (end, ended) = UnixStream::pair()?;
        let works = session.clone();
        let thread = std::thread::Builder::new()
            .name("toytimer".into())
            .spawn(move || works.work(&ended))?;
        Ok(Worker { session, end, thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.end.write(&[0]);
        let _ = self.end.shutdown(std::net::Shutdown::Write);
        // A waker may drop the last handle, in the worker's own thread.
        if let Some(thread) = self.thread.take() {
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        self.session.fail_all(&Error::closed());
    }
}
