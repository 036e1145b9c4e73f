// SPDX-License-Identifier: MIT
use std::future::Future;
use std::os::raw::{c_int, c_void};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::arrival::Arrival;
use crate::error::{Error, Result, ECANCELED, ENOENT, ENOMEM};
use crate::ffi;
use crate::inbox::Inbox;
use crate::listing::{self, Listed, Match};
use crate::values::{c_path, c_string, microseconds, microseconds_up, When, REALTIME};
use crate::worker::{note, Kind, Receiver, Session, Worker};

static TIMERS: Kind = Kind {
    process: ffi::toytimer_process,
    get_fd: ffi::toytimer_get_fd,
    unref: ffi::toytimer_unref,
    error: Error::of_event,
};

extern "C" fn on_event(_: *mut ffi::Handle, event: *const ffi::Event, token: *mut c_void) -> c_int {
    // SAFETY: the library passes an event that is valid during the call.
    let e = unsafe { &*event };
    note(
        token,
        Arrival::Timer {
            kind: e.kind,
            error: e.error,
            due: e.due,
            late: e.late,
            overruns: e.overruns,
            last: e.last != 0,
        },
    )
}

/// The options of a timer. `Options::default()` is a wake as soon as possible, without a label.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much later the wake may come. Timers with slack share wake-ups of the machine.
    pub slack: Duration,
    /// Up to 24 bytes of text, for `toytimerctl list`; empty: none.
    pub label: String,
    /// Wake the machine from suspend. Not for `When::At`.
    pub wake_system: bool,
    /// A waker that is called each time that the wall clock is set, until the timer ends. Only for
    /// `When::Wall`.
    pub on_clock_set: Option<Waker>,
}

/// A wake of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// The due that the wake is for, on the timer's clock.
    pub due: Duration,
    /// How much later than `due` the daemon sent the wake.
    pub late: Duration,
    /// Further periods that had passed when the wake was sent.
    pub overruns: u64,
    /// Whether the timer has no further wake.
    pub last: bool,
}

/// A request to be woken: an instant, and the waker that is called then.
///
/// ```no_run
/// # use std::{sync::Arc, task::Wake, time::{Duration, Instant}};
/// struct Bell;
/// impl Wake for Bell {
///     fn wake(self: Arc<Self>) {
///         println!("ding");
///     }
/// }
/// let timer = toytimer::ToyTimer::open()?;
/// timer.register(toytimer::Registration {
///     at: Instant::now() + Duration::from_secs(1),
///     wake: Arc::new(Bell).into(),
/// })?;
/// # Ok::<(), toytimer::Error>(())
/// ```
#[derive(Debug)]
pub struct Registration {
    /// The instant. If it has passed, the wake comes at once. Equal instants wake in the order of
    /// registration.
    pub at: Instant,
    /// The waker. `into()` makes one from an `Arc` of any `std::task::Wake`.
    pub wake: Waker,
}

/// A session with timerd. Clones share it. Dropping the last clone ends the session and its timers.
///
/// A thread of the session sleeps on the library's descriptor. It calls the wakers, so a waker must not
/// block. If timerd restarts, the library connects and registers the timers again.
#[derive(Clone)]
pub struct ToyTimer {
    worker: Arc<Worker>,
    // An instant, and the same instant on the library's clock, rounded up.
    base: (Instant, u64),
}

/// The receiver of a registration without a result. It calls the waker also if the daemon refuses the timer.
struct Bell(std::sync::Mutex<Option<Waker>>);

impl Receiver for Bell {
    fn arrived(&self, arrival: Arrival) -> bool {
        let last = matches!(arrival, Arrival::Timer { last: true, .. });
        let waker = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(waker) = waker {
            waker.wake();
        }
        last
    }

    fn failed(&self, _: Error) {}
}

struct Wakes {
    inbox: Inbox<Woken>,
    on_clock_set: Option<Waker>,
}

impl Receiver for Wakes {
    fn arrived(&self, arrival: Arrival) -> bool {
        if let Arrival::Timer { kind: ffi::CLOCK_SET, .. } = arrival {
            if let Some(waker) = &self.on_clock_set {
                waker.wake_by_ref();
            }
        } else if let Arrival::Timer { kind, error, due, late, overruns, last } = arrival {
            let item = match kind {
                ffi::WOKEN => Ok(Woken {
                    due: Duration::from_micros(due),
                    late: Duration::from_micros(late),
                    overruns,
                    last,
                }),
                ffi::CANCELLED => Err(Error::of_event(-ECANCELED)),
                _ => Err(Error::of_event(error)),
            };
            self.inbox.push(item, last);
        }
        self.inbox.has_ended()
    }

    fn failed(&self, error: Error) {
        self.inbox.fail(error);
    }
}

/// A timer at the daemon. Dropping it cancels the timer.
struct Held {
    session: Arc<Session>,
    token: u64,
    name: u64,
    clock: c_int,
    wakes: Arc<Wakes>,
}

impl Held {
    fn rearm(&self, when: When, every: Duration, count: u32, slack: Duration) -> Result<bool> {
        let (due, clock, flags) = when.to_c();
        if clock == REALTIME && self.clock != REALTIME {
            return Err(Error::invalid("when: the timer does not follow the wall clock"));
        }
        let registration = ffi::Registration {
            due,
            slack: microseconds(slack),
            every: microseconds(every),
            count,
            clock: self.clock,
            flags,
            label: std::ptr::null(),
            handler: None,
            userdata: std::ptr::null_mut(),
            reserved: [0; 2],
        };
        let handle = self.session.handle();
        // SAFETY: the session holds the handle, and the library copies the registration.
        let result = unsafe { ffi::toytimer_rearm_async(handle, self.name, &registration) };
        if result < 0 && result != -ENOENT {
            return Err(Error::of_timer_call(result));
        }
        // SAFETY: as above.
        unsafe { ffi::toytimer_flush(handle) };
        Ok(result >= 0)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.session.remove(self.token) {
            // SAFETY: the session holds the handle.
            unsafe {
                ffi::toytimer_cancel_async(self.session.handle(), self.name);
                ffi::toytimer_flush(self.session.handle());
            }
        }
    }
}

impl ToyTimer {
    /// Opens a session at `$TIMERD_SOCKET`, or at the system's timerd. Fails at once if it is absent.
    pub fn open() -> Result<ToyTimer> {
        ToyTimer::open_at(None)
    }

    /// Opens a session with the daemon at a socket.
    pub fn open_path(path: impl AsRef<Path>) -> Result<ToyTimer> {
        ToyTimer::open_at(Some(path.as_ref()))
    }

    fn open_at(path: Option<&Path>) -> Result<ToyTimer> {
        let path = c_path(path)?;
        let mut handle = std::ptr::null_mut();
        let address = path.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
        // SAFETY: the pointers are valid during the call.
        let result = unsafe { ffi::toytimer_open(&mut handle, address) };
        if result < 0 {
            return Err(Error::of_timer_call(result));
        }
        let worker = Worker::start(handle, &TIMERS).map_err(|_| Error::of_event(-ENOMEM))?;
        let now = Instant::now();
        // The clock rounds down, so 1 is added.
        // SAFETY: the clock exists.
        let base = (now, unsafe { ffi::toytimer_now(0) } + 1);
        Ok(ToyTimer { worker: Arc::new(worker), base })
    }

    /// Converts an instant for the library, rounded up. Equal instants have equal results.
    fn due_of(&self, at: Instant) -> u64 {
        let (instant, due) = self.base;
        match at.checked_duration_since(instant) {
            Some(after) => due.saturating_add(microseconds_up(after)),
            None => due.saturating_sub(microseconds(instant - at)),
        }
    }

    fn enroll(
        &self,
        when: When,
        every: Duration,
        count: u32,
        options: &Options,
        receiver: Arc<dyn Receiver>,
    ) -> Result<(u64, u64, c_int)> {
        let session = &self.worker.session;
        let label = c_string(options.label.as_bytes(), "label")?;
        let (due, clock, flags) = match when {
            When::At(at) => (self.due_of(at), 0, 0),
            span_or_wall => span_or_wall.to_c(),
        };
        let tell = if options.on_clock_set.is_some() { ffi::TELL_CLOCK_SET } else { 0 };
        let system = if options.wake_system { ffi::WAKE_SYSTEM } else { 0 };
        let mut registration = ffi::Registration {
            due,
            slack: microseconds(options.slack),
            every: microseconds(every),
            count,
            clock,
            flags: flags | system | tell,
            label: label.as_ptr(),
            handler: Some(on_event),
            userdata: std::ptr::null_mut(),
            reserved: [0; 2],
        };
        let (token, name) = session.add_timer(receiver, |token| {
            let mut name = 0;
            registration.userdata = token as *mut c_void;
            // SAFETY: the library copies what the registration points to.
            let result =
                unsafe { ffi::toytimer_register_async(session.handle(), &registration, &mut name) };
            if result < 0 {
                return Err(Error::of_timer_call(result));
            }
            Ok(name)
        })?;
        // SAFETY: the session holds the handle.
        unsafe { ffi::toytimer_flush(session.handle()) };
        Ok((token, name, clock))
    }

    /// Sends a registration, and does not wait for the daemon. The waker is also called if the daemon
    /// refuses the timer, or if another session cancels it. [`ToyTimer::sleep`] returns the reason.
    pub fn register(&self, registration: Registration) -> Result<()> {
        let bell = Arc::new(Bell(std::sync::Mutex::new(Some(registration.wake))));
        let when = When::At(registration.at);
        self.enroll(when, Duration::ZERO, 0, &Options::default(), bell).map(|_| ())
    }

    /// Registers a timer with one wake. The result is a future; [`Sleep::wait`] blocks instead.
    pub fn sleep(&self, when: impl Into<When>) -> Sleep {
        self.sleep_with(when, &Options::default())
    }

    /// The same with options.
    pub fn sleep_with(&self, when: impl Into<When>, options: &Options) -> Sleep {
        Sleep(self.hold(when.into(), Duration::ZERO, 0, options))
    }

    /// Registers a timer with a period. The n-th wake is due n periods from now: a late wake does not move
    /// the next ones. count: how many wakes; 0: without end.
    pub fn every(&self, period: Duration, count: u32) -> Periods {
        self.every_with(period, period, count, &Options::default())
    }

    /// The same with options, and with another first due.
    pub fn every_with(
        &self,
        first: impl Into<When>,
        period: Duration,
        count: u32,
        options: &Options,
    ) -> Periods {
        Periods(self.hold(first.into(), period, count, options))
    }

    /// If the registration fails, the error is the only item.
    fn hold(&self, when: When, every: Duration, count: u32, options: &Options) -> Held {
        let on_clock_set = options.on_clock_set.clone();
        let wakes = Arc::new(Wakes { inbox: Inbox::new(), on_clock_set });
        let session = self.worker.session.clone();
        match self.enroll(when, every, count, options, wakes.clone()) {
            Ok((token, name, clock)) => Held { session, token, name, clock, wakes },
            Err(error) => {
                wakes.inbox.fail(error);
                Held { session, token: 0, name: 0, clock: 0, wakes }
            }
        }
    }

    /// The timers that match, of all sessions of this user, in no order. Blocks.
    ///
    /// ```no_run
    /// let timer = toytimer::ToyTimer::open()?;
    /// for listed in timer.list(&toytimer::Match::label("backup"))? {
    ///     println!("{} is due in {} us", listed.id, listed.left_us);
    /// }
    /// # Ok::<(), toytimer::Error>(())
    /// ```
    pub fn list(&self, matched: &Match) -> Result<Vec<Listed>> {
        listing::list(self.worker.session.handle(), matched)
    }

    /// Cancels the timer with an id ([`Listed::id`]), of any session of this user. Blocks. A task or thread
    /// that waits for the timer gets an error.
    pub fn cancel_id(&self, id: u64) -> Result<()> {
        let result = listing::cancel_id(self.worker.session.handle(), id);
        self.worker.look_for_cancelled();
        result
    }

    /// Cancels the timers that match, of any session of this user. Blocks. Returns how many. A task or
    /// thread that waits for one of them gets an error.
    pub fn cancel_matching(&self, matched: &Match) -> Result<u64> {
        let result = listing::cancel_matching(self.worker.session.handle(), matched);
        self.worker.look_for_cancelled();
        result
    }

    /// How many timers the session holds.
    pub fn len(&self) -> usize {
        // SAFETY: the session holds the handle.
        unsafe { ffi::toytimer_count(self.worker.session.handle()) }
    }

    /// Whether the session holds no timer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many times the library has connected again.
    pub fn reconnects(&self) -> u64 {
        // SAFETY: the session holds the handle.
        unsafe { ffi::toytimer_get_reconnects(self.worker.session.handle()) }
    }
}

/// A timer with one wake: a future of this wake. Dropping it cancels the timer.
///
/// If the daemon refuses the timer, or if an argument is invalid, the future's result is the error.
#[must_use = "dropping it cancels the timer"]
pub struct Sleep(Held);

impl Sleep {
    /// Gives the timer a new instant and slack, without waiting for the daemon. `When::Wall` is for a timer
    /// that follows the wall clock. Returns false if the wake has arrived.
    ///
    /// If the daemon sends the wake before it reads this request, the future's result is that wake.
    pub fn rearm(&self, when: impl Into<When>, slack: Duration) -> Result<bool> {
        self.0.rearm(when.into(), Duration::ZERO, 0, slack)
    }

    /// Blocks until the wake comes.
    pub fn wait(self) -> Result<Woken> {
        self.0.wakes.inbox.receive().unwrap_or_else(|| Err(Error::closed()))
    }
}

impl Future for Sleep {
    type Output = Result<Woken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let next = self.0.wakes.inbox.poll(context);
        next.map(|item| item.unwrap_or_else(|| Err(Error::closed())))
    }
}

/// The wakes of a timer with a period. As an iterator it blocks; [`Periods::next_wake`] is for tasks.
/// Dropping it cancels the timer.
#[must_use = "dropping it cancels the timer"]
pub struct Periods(Held);

impl Periods {
    /// Gives the timer a new period, first due, count and slack, without waiting for the daemon. Returns
    /// false if the last wake has arrived. Wakes that have arrived stay.
    pub fn rearm(
        &self,
        first: impl Into<When>,
        period: Duration,
        count: u32,
        slack: Duration,
    ) -> Result<bool> {
        self.0.rearm(first.into(), period, count, slack)
    }

    /// The next wake, for a task. None: there are no more wakes.
    pub fn next_wake(&mut self) -> impl Future<Output = Option<Result<Woken>>> + '_ {
        self.0.wakes.inbox.next()
    }
}

impl Iterator for Periods {
    type Item = Result<Woken>;

    fn next(&mut self) -> Option<Result<Woken>> {
        self.0.wakes.inbox.receive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(std::sync::atomic::AtomicU32);

    impl std::task::Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn a_setting_of_the_clock_is_told_and_is_no_wake() {
        let counter = Arc::new(Counter(Default::default()));
        let on_clock_set = Some(Waker::from(counter.clone()));
        let wakes = Wakes { inbox: Inbox::new(), on_clock_set };
        let event =
            |kind, last| Arrival::Timer { kind, error: 0, due: 1, late: 0, overruns: 0, last };
        assert!(!wakes.arrived(event(ffi::CLOCK_SET, false)));
        assert!(wakes.arrived(event(ffi::WOKEN, true)));
        assert_eq!(counter.0.load(std::sync::atomic::Ordering::SeqCst), 1);
        assert!(wakes.inbox.receive().unwrap().is_ok());
        assert!(wakes.inbox.receive().is_none());
    }
}
