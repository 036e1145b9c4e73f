// SPDX-License-Identifier: MIT
//! Queue beside real daemons.
mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{block_on, Daemons};
use toytimer::{ConsumeOptions, PutOptions, Queue};

const MS: Duration = Duration::from_millis(1);

fn keyed(key: &str) -> PutOptions {
    PutOptions { key: key.into(), ..PutOptions::default() }
}

#[test]
fn put_consume_acknowledge() {
    let daemons = Daemons::start(true, &[]);
    let queue = Queue::open_path("mail", daemons.queues()).unwrap();
    let stored = queue.put(20 * MS, b"hel\0lo", &keyed("greeting")).unwrap();
    let mut consumer = queue.consume(&ConsumeOptions::default()).unwrap();
    let wake = consumer.next().unwrap().unwrap();
    assert_eq!((wake.id(), wake.number(), wake.attempt), (stored.id, 1, 1));
    assert_eq!((wake.payload.as_slice(), wake.key.as_str()), (&b"hel\0lo"[..], "greeting"));
    wake.retry(10 * MS).unwrap();
    let wake = block_on(consumer.next_wake()).unwrap().unwrap();
    assert_eq!((wake.id(), wake.attempt), (stored.id, 2));
    assert!(wake.ack().unwrap());
    assert!(queue.cancel_id(stored.id).is_err());
}

#[test]
fn keys_replace_keep_and_cancel() {
    let daemons = Daemons::start(true, &[]);
    let queue = Queue::open_path("mail", daemons.queues()).unwrap();
    let hour = Duration::from_secs(3600);
    let first = queue.put(hour, b"", &keyed("k")).unwrap();
    let keep = PutOptions { keep: true, ..keyed("k") };
    let kept = queue.put(hour, b"", &keep).unwrap();
    assert!(kept.kept && kept.id == first.id);
    assert!(queue.put(hour, b"", &keyed("k")).unwrap().replaced);
    queue.cancel("k").unwrap();
    let error = queue.cancel("k").unwrap_err();
    assert!(error.to_string().contains("no such timer"), "{error}");
    let error = queue.put(hour, &[0; 16385], &PutOptions::default()).unwrap_err();
    assert!(error.to_string().contains("16384"), "{error}");
    assert!(Queue::open_path("a b", daemons.queues()).is_err());
    assert!(queue.consume(&ConsumeOptions { window: 10001, ..Default::default() }).is_err());
}

#[test]
fn a_dropped_consumer_gives_back() {
    let daemons = Daemons::start(true, &[]);
    let queue = Queue::open_path("mail", daemons.queues()).unwrap();
    for payload in [b"a", b"b", b"c"] {
        queue.put(Duration::ZERO, payload, &PutOptions::default()).unwrap();
    }
    let mut seen = HashSet::new();
    let options = ConsumeOptions { window: 2, ..Default::default() };
    for _ in 0..3 {
        let mut consumer = queue.consume(&options).unwrap();
        let wake = consumer.next().unwrap().unwrap();
        assert!(queue.consume(&options).is_err());
        seen.insert(wake.payload.clone());
        wake.ack().unwrap();
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_killed_timerqd_loses_nothing() {
    let mut daemons = Daemons::start(true, &[]);
    let queue = Queue::open_path("mail", daemons.queues()).unwrap();
    let put = |_| queue.put(Duration::ZERO, b"x", &PutOptions::default()).unwrap().id;
    let stored: HashSet<u64> = (0..10).map(put).collect();
    let mut seen = HashSet::new();
    for wake in queue.consume(&ConsumeOptions { window: 3, ..Default::default() }).unwrap() {
        let wake = wake.unwrap();
        seen.insert(wake.id());
        if seen.len() == 4 {
            daemons.restart_queues();
        }
        wake.ack().unwrap();
        if seen == stored {
            break;
        }
    }
}
