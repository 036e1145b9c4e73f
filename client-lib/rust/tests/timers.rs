// SPDX-License-Identifier: MIT
//! ToyTimer beside a real timerd.
mod common;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use common::{block_on, until, Daemons};
use toytimer::{Options, Registration, ToyTimer};

const MS: Duration = Duration::from_millis(1);

/// Sends its name when it is woken.
struct Named(u32, Mutex<mpsc::Sender<(u32, Instant)>>);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        let _ = self.1.lock().unwrap().send((self.0, Instant::now()));
    }
}

#[test]
fn registrations_wake_in_order() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let (sender, woken) = mpsc::channel();
    let at = Instant::now() + 500 * MS;
    // The first and the third have the same instant: they wake in the order of registration.
    for (name, after) in [(0, 20), (1, 10), (2, 20), (3, 0)] {
        let wake = Arc::new(Named(name, Mutex::new(sender.clone())));
        timer.register(Registration { at: at + after * MS, wake: wake.into() }).unwrap();
    }
    let woken: Vec<_> = woken.iter().take(4).collect();
    for (name, when) in &woken {
        assert!(*when >= at + [20, 10, 20, 0][*name as usize] * MS);
    }
    assert_eq!(woken.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [3, 1, 0, 2]);
    assert!(timer.is_empty());
}

#[test]
fn sleep_is_a_future_and_blocks() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let begin = Instant::now();
    let woken = block_on(timer.sleep(30 * MS)).unwrap();
    assert!(begin.elapsed() >= 30 * MS);
    assert!(woken.last && woken.overruns == 0);
    timer.sleep(Instant::now() + 10 * MS).wait().unwrap();
    timer.sleep(SystemTime::now() + 10 * MS).wait().unwrap();
    timer.sleep(Duration::ZERO).wait().unwrap();
    let sleeps: Vec<_> = (0..1000).map(|i| timer.sleep(i * MS / 10)).collect();
    for sleep in sleeps {
        block_on(sleep).unwrap();
    }
}

#[test]
fn dropping_cancels() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let sleep = timer.sleep(Duration::from_secs(3600));
    let periods = timer.every(MS, 0);
    assert_eq!(timer.len(), 2);
    drop(sleep);
    drop(periods);
    assert_eq!(timer.len(), 0);
}

#[test]
fn periods_are_an_iterator_and_for_tasks() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let wakes: Vec<_> = timer.every(5 * MS, 4).map(Result::unwrap).collect();
    assert_eq!(
        wakes.iter().map(|woken| woken.last).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    assert!(wakes.windows(2).all(|pair| pair[1].due >= pair[0].due + 5 * MS));
    block_on(async {
        let mut periods = timer.every(5 * MS, 3);
        let mut count = 0;
        while let Some(woken) = periods.next_wake().await {
            woken.unwrap();
            count += 1;
        }
        assert_eq!(count, 3);
    });
}

#[test]
fn errors_say_what_is_wrong() {
    let daemons = Daemons::start(false, &["--max-timers", "1"]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let held = timer.sleep(Duration::from_secs(3600));
    let refused = timer.sleep(MS).wait().unwrap_err();
    assert!(refused.to_string().contains("--max-timers"), "{refused}");
    let io: std::io::Error = refused.into();
    assert!(io.to_string().contains("--max-timers"));
    let long = Options { label: "x".repeat(25), ..Options::default() };
    let refused = block_on(timer.sleep_with(MS, &long)).unwrap_err();
    assert!(refused.to_string().contains("label"), "{refused}");
    assert_eq!(refused.errno(), 22);
    let mut refused = timer.every(MS, 0);
    assert!(refused.next().unwrap().is_err());
    assert!(refused.next().is_none());
    drop(held);
    assert!(ToyTimer::open_path("/nowhere").is_err());
    assert!(ToyTimer::open_path("a\0b").is_err());
}

#[test]
fn a_restarted_daemon_is_not_noticed() {
    let mut daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let sleep = timer.sleep(500 * MS);
    daemons.restart();
    sleep.wait().unwrap();
    assert_eq!(timer.reconnects(), 1);
}

#[test]
fn a_dropped_session_ends_what_waits() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let sleep = timer.sleep(Duration::from_secs(3600));
    let shared = timer.clone();
    drop(timer);
    assert_eq!(shared.len(), 1);
    let waiter = std::thread::spawn(move || sleep.wait());
    drop(shared);
    let error = waiter.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("closed"));
}

/// Panics when it is woken.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("a waker's panic"));
    }
}

#[test]
fn a_panic_of_a_waker_harms_nobody() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let at = Instant::now();
    timer.register(Registration { at, wake: Arc::new(Panicking).into() }).unwrap();
    timer.sleep(20 * MS).wait().unwrap();
}

/// Drops its content when it is woken.
struct Dropping(Mutex<Option<ToyTimer>>, AtomicU32);

impl Wake for Dropping {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().take();
        self.1.store(1, Ordering::SeqCst);
    }
}

#[test]
fn a_waker_may_drop_the_session() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let wake = Arc::new(Dropping(Mutex::new(Some(timer.clone())), AtomicU32::new(0)));
    timer
        .register(Registration { at: Instant::now() + 50 * MS, wake: wake.clone().into() })
        .unwrap();
    drop(timer);
    until(|| wake.1.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_future_may_move_between_tasks() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let mut sleep = Box::pin(timer.sleep(50 * MS));
    let (sender, woken) = mpsc::channel();
    for name in 0..2 {
        let waker = Waker::from(Arc::new(Named(name, Mutex::new(sender.clone()))));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(woken.recv().unwrap().0, 1); // the task that polled last
    block_on(sleep).unwrap();
}
