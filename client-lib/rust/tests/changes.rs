// SPDX-License-Identifier: MIT
//! Re-arms, lists and cancels timers beside a real timerd.
mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use common::{block_on, Daemons};
use toytimer::{Clock, Match, Options, ToyTimer};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

fn labelled(label: &str) -> Options {
    Options { label: label.into(), ..Options::default() }
}

#[test]
fn a_timer_gets_another_instant() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let begin = Instant::now();
    let sleep = timer.sleep(HOUR);
    assert!(sleep.rearm(30 * MS, MS).unwrap());
    block_on(sleep).unwrap();
    assert!(begin.elapsed() >= 30 * MS);
    let wall = timer.sleep(SystemTime::now() + HOUR);
    assert!(wall.rearm(SystemTime::now() + 10 * MS, Duration::ZERO).unwrap());
    wall.wait().unwrap();
    let monotonic = timer.sleep(Instant::now() + HOUR);
    let wrong = monotonic.rearm(SystemTime::now(), Duration::ZERO).unwrap_err();
    assert!(wrong.to_string().contains("wall clock"), "{wrong}");
    assert!(monotonic.rearm(Instant::now() + 10 * MS, Duration::ZERO).unwrap());
    monotonic.wait().unwrap();
    assert!(timer.is_empty());
}

#[test]
fn a_period_gets_other_values() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let mut periods = timer.every(HOUR, 0);
    assert!(periods.rearm(5 * MS, 5 * MS, 3, Duration::ZERO).unwrap());
    let last: Vec<_> = periods.by_ref().map(|woken| woken.unwrap().last).collect();
    assert_eq!(last, [false, false, true]);
    assert!(!periods.rearm(MS, MS, 0, Duration::ZERO).unwrap());
}

#[test]
fn lists_what_the_daemon_holds() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let other = ToyTimer::open_path(daemons.socket()).unwrap();
    let options = Options { slack: 2 * MS, ..labelled("one") };
    let _one = timer.sleep_with(HOUR, &options);
    let _two = other.every_with(SystemTime::now() + HOUR, 60 * MS, 4, &labelled("two"));
    other.list(&Match::default()).unwrap(); // after the answer, the daemon has both timers
    let mut all = timer.list(&Match::default()).unwrap();
    all.sort_by(|a, b| a.label.cmp(&b.label));
    assert_eq!(all.iter().map(|l| l.label.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((all[0].clock, all[0].slack, all[0].count), (Clock::Boottime, 2 * MS, 0));
    assert_eq!((all[1].clock, all[1].every, all[1].count), (Clock::Realtime, 60 * MS, 4));
    assert!(all[0].left_us > 3_500_000_000 && all[0].left_us <= 3_600_000_000);
    assert_eq!(all[0].pid, std::process::id());
    assert_eq!(timer.list(&Match::label("one")).unwrap()[0].id, all[0].id);
    assert!(timer.list(&Match::label("")).unwrap().is_empty());
    let both = Match { uid: Some(all[0].uid), everybody: true, ..Match::default() };
    assert!(timer.list(&both).unwrap_err().to_string().contains("match.flags"));
    assert!(timer.list(&Match::label("a\0b")).is_err());
}

#[test]
fn cancels_by_label_and_id() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let other = ToyTimer::open_path(daemons.socket()).unwrap();
    let mine = timer.sleep_with(HOUR, &labelled("jobs"));
    let mut periods = timer.every_with(HOUR, HOUR, 0, &labelled("jobs"));
    let others = other.sleep_with(HOUR, &labelled("jobs"));
    let kept = timer.sleep_with(HOUR, &labelled("kept"));
    other.list(&Match::default()).unwrap();
    assert_eq!(timer.cancel_matching(&Match::label("jobs")).unwrap(), 3);
    for result in [mine.wait(), others.wait(), periods.next().unwrap()] {
        assert_eq!(result.unwrap_err().errno(), 125); // ECANCELED
    }
    assert!(periods.next().is_none());
    assert_eq!((timer.len(), other.len()), (1, 0));
    let listed = timer.list(&Match::default()).unwrap();
    other.cancel_id(listed[0].id).unwrap();
    assert_eq!(kept.wait().unwrap_err().errno(), 125);
    assert_eq!(other.cancel_id(listed[0].id).unwrap_err().errno(), 2); // ENOENT
    assert_eq!(timer.cancel_matching(&Match::default()).unwrap(), 0);
}

/// Counts how often it is woken.
struct Counter(AtomicU32);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn settings_of_the_clock_are_for_the_wall_clock_alone() {
    let daemons = Daemons::start(false, &[]);
    let timer = ToyTimer::open_path(daemons.socket()).unwrap();
    let counter = Arc::new(Counter(AtomicU32::new(0)));
    let waker = Waker::from(counter.clone());
    let options = Options { on_clock_set: Some(waker), ..Options::default() };
    assert_eq!(timer.sleep_with(HOUR, &options).wait().unwrap_err().errno(), 22);
    timer.sleep_with(SystemTime::now() + 10 * MS, &options).wait().unwrap();
    assert_eq!(counter.0.load(Ordering::SeqCst), 0);
}

#[test]
fn everything_is_for_all_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<ToyTimer>();
    check::<toytimer::Sleep>();
    check::<toytimer::Periods>();
    check::<toytimer::Registration>();
    check::<toytimer::Queue>();
    check::<toytimer::Consumer>();
    check::<toytimer::QueueWake>();
    check::<toytimer::Error>();
    fn unpin<T: Unpin>() {}
    unpin::<toytimer::Sleep>();
}
