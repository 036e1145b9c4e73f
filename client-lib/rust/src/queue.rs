// SPDX-License-Identifier: MIT
use std::ffi::{CStr, CString};
use std::future::Future;
use std::os::raw::{c_char, c_int, c_void};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::arrival::{Arrival, ArrivedWake};
use crate::error::{Error, Result, ECONNRESET, ENOMEM, ENOTCONN};
use crate::ffi;
use crate::inbox::Inbox;
use crate::values::{c_path, c_string, microseconds, When};
use crate::worker::{note, Kind, Receiver, Session, Worker};

static QUEUES: Kind = Kind {
    process: ffi::toytimer_queue_process,
    get_fd: ffi::toytimer_queue_get_fd,
    unref: ffi::toytimer_queue_unref,
    error: Error::of_queue_call,
};

fn check(result: c_int) -> Result<()> {
    if result < 0 {
        return Err(Error::of_queue_call(result));
    }
    Ok(())
}

extern "C" fn on_wake(
    _: *mut ffi::Handle,
    wake: *const ffi::QueueWake,
    token: *mut c_void,
) -> c_int {
    // SAFETY: the library passes a wake whose strings and payload are valid during the call.
    let (w, label, key, payload) = unsafe {
        let w = &*wake;
        let text = |text: *const c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
        let payload = match w.payload_size {
            0 => Vec::new(),
            size => std::slice::from_raw_parts(w.payload.cast::<u8>(), size).to_vec(),
        };
        (w, text(w.label), text(w.key), payload)
    };
    let arrived = ArrivedWake {
        wake: w.wake,
        due: w.due,
        late: w.late,
        overruns: w.overruns,
        attempt: w.attempt,
        last: w.last != 0,
        label,
        key,
        payload,
    };
    note(token, Arrival::Wake(Box::new(arrived)))
}

/// How to put a timer. `PutOptions::default()` is one wake, without a key.
#[derive(Clone, Debug, Default)]
pub struct PutOptions {
    /// Up to 64 bytes, unique in the queue: a timer that has the key is replaced in one step. Empty: none.
    pub key: String,
    /// If a timer has the key, keep that timer as it is.
    pub keep: bool,
    /// Up to 24 bytes of text, for `toytimerctl list`; empty: none.
    pub label: String,
    /// The period; zero: none.
    pub every: Duration,
    /// How many wakes; 0: one wake without a period, wakes without end with a period.
    pub count: u32,
    /// How much later the wake may come.
    pub slack: Duration,
    /// A first delivery that is later than this counts as missed.
    pub max_late: Option<Duration>,
    /// Deliveries until a wake is parked; 0: no limit.
    pub max_attempts: u32,
    /// Wake the machine from suspend.
    pub wake_system: bool,
}

/// The result of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The id that timerqd gave the timer.
    pub id: u64,
    /// Its due, on its clock.
    pub due: Duration,
    /// A timer of that key was replaced.
    pub replaced: bool,
    /// With `keep`: a timer had the key and stays. The id and the due are those of that timer.
    pub kept: bool,
}

/// The options of a consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumeOptions {
    /// How many unacknowledged wakes this consumer may have at a time, 1 to 10,000.
    pub window: u32,
    /// Deliveries until a wake is parked; 0: no limit.
    pub max_attempts: u32,
    /// timerqd takes back a wake that is not acknowledged within this span, and delivers it again.
    pub ack_within: Option<Duration>,
}

impl Default for ConsumeOptions {
    fn default() -> ConsumeOptions {
        ConsumeOptions { window: 1, max_attempts: 0, ack_within: None }
    }
}

struct Inner {
    name: CString,
    worker: Worker,
}

/// A durable queue of timerqd. Clones share the connection. Calls that store something block.
///
/// ```no_run
/// # use std::time::Duration;
/// let queue = toytimer::Queue::open("mail")?;
/// queue.put(Duration::from_secs(3600), b"hello", &Default::default())?; // on disk when it returns
/// for wake in queue.consume(&Default::default())? {
///     let wake = wake?;
///     println!("{:?}", wake.payload);
///     wake.ack()?; // never comes again
/// }
/// # Ok::<(), toytimer::Error>(())
/// ```
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

impl Queue {
    /// Opens a queue at `$TIMERD_QUEUE_SOCKET`, or at the system's timerqd.
    pub fn open(name: &str) -> Result<Queue> {
        Queue::open_at(name, None)
    }

    /// Opens a queue of the daemon at a socket.
    pub fn open_path(name: &str, path: impl AsRef<Path>) -> Result<Queue> {
        Queue::open_at(name, Some(path.as_ref()))
    }

    fn open_at(name: &str, path: Option<&Path>) -> Result<Queue> {
        let name = c_string(name.as_bytes(), "the name of a queue")?;
        let path = c_path(path)?;
        let mut handle = std::ptr::null_mut();
        let address = path.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
        // SAFETY: the pointers are valid during the call.
        check(unsafe { ffi::toytimer_queue_open(&mut handle, address, 0) })?;
        let worker = Worker::start(handle, &QUEUES).map_err(|_| Error::of_event(-ENOMEM))?;
        let queue = Queue { inner: Arc::new(Inner { name, worker }) };
        queue.detach()?; // fails if the name is invalid
        Ok(queue)
    }

    fn session(&self) -> &Session {
        &self.inner.worker.session
    }

    /// Puts a timer into the queue, and waits until it is stored and synced to disk.
    pub fn put(
        &self,
        when: impl Into<When>,
        payload: &[u8],
        options: &PutOptions,
    ) -> Result<Stored> {
        let (due, clock, flags) = when.into().to_c();
        let label = c_string(options.label.as_bytes(), "label")?;
        let key = c_string(options.key.as_bytes(), "key")?;
        let flag = |set, flag| if set { flag } else { 0 };
        let timer = ffi::QueueTimer {
            due,
            slack: microseconds(options.slack),
            every: microseconds(options.every),
            max_late: options.max_late.map_or(0, |span| microseconds(span).max(1)),
            count: options.count,
            max_attempts: options.max_attempts,
            clock,
            flags: flags
                | flag(options.wake_system, ffi::WAKE_SYSTEM)
                | flag(options.keep, ffi::KEEP),
            label: label.as_ptr(),
            key: if options.key.is_empty() { std::ptr::null() } else { key.as_ptr() },
            payload: payload.as_ptr().cast(),
            payload_size: payload.len(),
            reserved: [0; 4],
        };
        let mut stored = ffi::QueueStored::default();
        let name = self.inner.name.as_ptr();
        // SAFETY: the pointers are valid during the call.
        check(unsafe {
            ffi::toytimer_queue_put(self.session().handle(), name, &timer, &mut stored)
        })?;
        Ok(Stored {
            id: stored.id,
            due: Duration::from_micros(stored.due),
            replaced: stored.replaced != 0,
            kept: stored.kept != 0,
        })
    }

    /// Cancels the timer with a key, and waits until that is stored.
    pub fn cancel(&self, key: &str) -> Result<()> {
        let key = c_string(key.as_bytes(), "key")?;
        self.cancel_at(0, key.as_ptr())
    }

    /// Cancels the timer with an id, and waits until that is stored.
    pub fn cancel_id(&self, id: u64) -> Result<()> {
        self.cancel_at(id, std::ptr::null())
    }

    fn cancel_at(&self, id: u64, key: *const c_char) -> Result<()> {
        let name = self.inner.name.as_ptr();
        // SAFETY: the pointers are valid during the call.
        check(unsafe { ffi::toytimer_queue_cancel(self.session().handle(), name, id, key) })
    }

    fn detach(&self) -> Result<()> {
        let name = self.inner.name.as_ptr();
        // SAFETY: the pointers are valid during the call.
        let result = unsafe { ffi::toytimer_queue_detach(self.session().handle(), name) };
        if result == -ENOTCONN {
            return Ok(());
        }
        check(result)
    }

    /// Attaches a consumer. A wake comes again until a consumer acknowledges it.
    pub fn consume(&self, options: &ConsumeOptions) -> Result<Consumer> {
        let inbox = Arc::new(Wakes(Inbox::new()));
        let token = self.session().add(inbox.clone());
        let consumer = ffi::QueueConsumer {
            window: options.window,
            max_attempts: options.max_attempts,
            ack_within: options.ack_within.map_or(0, |span| microseconds(span).max(1)),
            handler: Some(on_wake),
            userdata: token as *mut c_void,
            reserved: [0; 2],
        };
        let name = self.inner.name.as_ptr();
        // SAFETY: the pointers are valid during the call.
        let result =
            unsafe { ffi::toytimer_queue_consume(self.session().handle(), name, &consumer) };
        if result < 0 {
            self.session().remove(token);
            return Err(Error::of_queue_call(result));
        }
        Ok(Consumer { queue: self.clone(), token, inbox })
    }
}

struct Wakes(Inbox<Box<ArrivedWake>>);

impl Receiver for Wakes {
    fn arrived(&self, arrival: Arrival) -> bool {
        if let Arrival::Wake(arrived) = arrival {
            self.0.push(Ok(arrived), false);
        }
        false
    }

    fn failed(&self, error: Error) {
        self.0.fail(error);
    }
}

/// A consumer of a queue. As an iterator it blocks; [`Consumer::next_wake`] is for tasks. Dropping it returns
/// unacknowledged wakes to the queue, and waits for timerqd.
pub struct Consumer {
    queue: Queue,
    token: u64,
    inbox: Arc<Wakes>,
}

impl Consumer {
    fn wake(&self, item: Option<Result<Box<ArrivedWake>>>) -> Option<Result<QueueWake>> {
        item.map(|item| item.map(|arrived| QueueWake::new(self.queue.clone(), *arrived)))
    }

    /// The next wake, for a task. None: the queue is closed.
    pub fn next_wake(&mut self) -> impl Future<Output = Option<Result<QueueWake>>> + '_ {
        async move {
            let item = self.inbox.0.next().await;
            self.wake(item)
        }
    }
}

impl Iterator for Consumer {
    type Item = Result<QueueWake>;

    fn next(&mut self) -> Option<Result<QueueWake>> {
        let item = self.inbox.0.receive();
        self.wake(item)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.queue.session().remove(self.token) {
            let _ = self.queue.detach(); // if it fails, the connection is lost, and the consumer with it
        }
    }
}

/// A wake of a queue. If the wake comes again, the pair (id, number) is the same: use it to detect
/// duplicates.
pub struct QueueWake {
    queue: Queue,
    wake: ffi::WakeRef,
    /// The due that the wake is for, on the timer's clock.
    pub due: Duration,
    /// How much later than `due` timerqd sent the wake.
    pub late: Duration,
    /// Further periods that had passed when the wake was sent.
    pub overruns: u64,
    /// 1 for the first delivery.
    pub attempt: u32,
    /// The acknowledgement of this wake ends the timer.
    pub last: bool,
    /// Empty: none.
    pub label: String,
    /// Empty: none.
    pub key: String,
    /// The payload of the put.
    pub payload: Vec<u8>,
}

impl QueueWake {
    fn new(queue: Queue, arrived: ArrivedWake) -> QueueWake {
        QueueWake {
            queue,
            wake: arrived.wake,
            due: Duration::from_micros(arrived.due),
            late: Duration::from_micros(arrived.late),
            overruns: arrived.overruns,
            attempt: arrived.attempt,
            last: arrived.last,
            label: arrived.label,
            key: arrived.key,
            payload: arrived.payload,
        }
    }

    /// The timer's id at timerqd.
    pub fn id(&self) -> u64 {
        self.wake.id
    }

    /// Counts the timer's wakes.
    pub fn number(&self) -> u32 {
        self.wake.number
    }

    /// Acknowledges the wake, and waits until the acknowledgement is stored. The wake then never comes again.
    /// Returns false if the connection broke meanwhile. The program need not do anything: the library
    /// acknowledges the wake if it comes again.
    pub fn ack(&self) -> Result<bool> {
        // SAFETY: the queue holds the handle.
        let result = unsafe { ffi::toytimer_queue_ack(self.queue.session().handle(), &self.wake) };
        if result == -ECONNRESET {
            return Ok(false);
        }
        check(result).map(|()| true)
    }

    /// Makes the wake come again after a delay, as another attempt. Waits until that is stored.
    pub fn retry(&self, delay: Duration) -> Result<()> {
        let handle = self.queue.session().handle();
        // SAFETY: the queue holds the handle.
        check(unsafe { ffi::toytimer_queue_retry(handle, &self.wake, microseconds(delay)) })
    }
}

impl std::fmt::Debug for QueueWake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueWake")
            .field("id", &self.id())
            .field("number", &self.number())
            .field("attempt", &self.attempt)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
