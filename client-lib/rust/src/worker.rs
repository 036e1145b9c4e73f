// SPDX-License-Identifier: MIT
//! The worker: a thread that sleeps on a C handle's descriptor and hands out the events.
//!
//! The library calls a handler with a token, a number, as its userdata. The handler only adds the event to a
//! list of the thread. Code of the user runs later, when no C function is on the stack. A token is not a
//! pointer: if its receiver was dropped, the event is dropped, too.
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::raw::{c_int, c_void};
use std::os::unix::io::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use crate::arrival::Arrival;
use crate::error::{Error, Result, ECANCELED, ENOENT, ENOMEM};
use crate::ffi;

/// The receiver of the events of one token.
pub(crate) trait Receiver: Send + Sync {
    /// Receives an event, in the worker's thread. Returns whether it was the last one.
    fn arrived(&self, arrival: Arrival) -> bool;
    /// The session has failed, or the timer was cancelled: no more events come.
    fn failed(&self, error: Error);
}

thread_local! {
    static ARRIVED: RefCell<Vec<(u64, Arrival)>> = RefCell::new(Vec::new());
}

/// The handlers call it to add an event to the list.
pub(crate) fn note(token: *mut c_void, arrival: Arrival) -> c_int {
    ARRIVED.with(|list| list.borrow_mut().push((token as u64, arrival)));
    0
}

/// The functions that differ between timers and queues.
pub(crate) struct Kind {
    pub process: unsafe extern "C" fn(*mut ffi::Handle) -> c_int,
    pub get_fd: unsafe extern "C" fn(*mut ffi::Handle) -> c_int,
    pub unref: unsafe extern "C" fn(*mut ffi::Handle) -> *mut ffi::Handle,
    pub error: fn(c_int) -> Error,
}

/// Receivers by token, each with the name of its timer at the handle; 0: no timer.
type Receivers = HashMap<u64, (Arc<dyn Receiver>, u64)>;

/// A C handle, and the receivers of its events. Any thread may call the library.
pub(crate) struct Session {
    handle: *mut ffi::Handle,
    kind: &'static Kind,
    receivers: Mutex<Receivers>,
    tokens: AtomicU64,
}

// SAFETY: several threads may use a handle of the library (toytimer.h).
unsafe impl Send for Session {}
unsafe impl Sync for Session {}

impl Session {
    pub fn handle(&self) -> *mut ffi::Handle {
        self.handle
    }

    fn receivers(&self) -> MutexGuard<'_, Receivers> {
        self.receivers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds a receiver. Its token goes into the registration as userdata.
    pub fn add(&self, receiver: Arc<dyn Receiver>) -> u64 {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        self.receivers().insert(token, (receiver, 0));
        token
    }

    /// The same for a timer. `register` gets the token and returns the timer's name. The lock is held
    /// meanwhile, so no event is handed out before the name is known.
    pub fn add_timer(
        &self,
        receiver: Arc<dyn Receiver>,
        register: impl FnOnce(u64) -> Result<u64>,
    ) -> Result<(u64, u64)> {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        let mut receivers = self.receivers();
        let name = register(token)?;
        receivers.insert(token, (receiver, name));
        Ok((token, name))
    }

    /// Returns whether the receiver was still there.
    pub fn remove(&self, token: u64) -> bool {
        let removed = self.receivers().remove(&token);
        removed.is_some()
    }

    fn deliver(&self) {
        for (token, arrival) in ARRIVED.with(RefCell::take) {
            let receiver = self.receivers().get(&token).map(|(receiver, _)| receiver.clone());
            // A panic of a waker must not end the thread, since it serves other receivers, too.
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
                let mut word = [END];
                if !matches!(Read::read(&mut &*ended, &mut word), Ok(1)) || word[0] == END {
                    return;
                }
                self.end_cancelled();
            }
            let mut result = 1;
            while result > 0 {
                // SAFETY: see above. Only this thread calls process().
                result = unsafe { (self.kind.process)(self.handle) };
                self.deliver();
            }
            if result < 0 && result != -ENOMEM {
                return self.fail_all(&(self.kind.error)(result));
            }
        }
    }

    /// After a call that cancels timers: ends the cancelled timers of this session, for which no event comes.
    /// It runs in the worker's thread, so earlier events have been delivered.
    fn end_cancelled(&self) {
        let mut gone = Vec::new();
        self.receivers().retain(|_, (receiver, name)| {
            let nothing = std::ptr::null_mut();
            // SAFETY: the session holds the handle; both results may be NULL.
            let found = *name == 0
                || unsafe { ffi::toytimer_get_timer(self.handle, *name, nothing, nothing) }
                    != -ENOENT;
            if !found {
                gone.push(receiver.clone());
            }
            found
        });
        for receiver in gone {
            let error = Error::of_event(-ECANCELED);
            let _ = catch_unwind(AssertUnwindSafe(|| receiver.failed(error)));
        }
    }

    fn fail_all(&self, error: &Error) {
        let receivers = std::mem::take(&mut *self.receivers());
        for (receiver, _) in receivers.values() {
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

/// The bytes that the worker's thread reads from its socket.
const END: u8 = 0;
const LOOK: u8 = 1;

/// Owns the thread. Dropping it ends the thread, and all receivers get an error.
pub(crate) struct Worker {
    pub session: Arc<Session>,
    end: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Takes ownership of the handle, and starts the thread.
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

impl Worker {
    /// Makes the worker look for timers that a call has cancelled.
    pub fn look_for_cancelled(&self) {
        let _ = (&self.end).write(&[LOOK]);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.end.write(&[END]);
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
