// SPDX-License-Identifier: MIT
//! The items for one receiver: a thread that blocks, or a task.
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};

struct State<T> {
    items: VecDeque<Result<T>>,
    ended: bool,
    waker: Option<Waker>,
}

pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Inbox<T> {
    pub fn new() -> Inbox<T> {
        let state = State { items: VecDeque::new(), ended: false, waker: None };
        Inbox { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// No code of the user runs with the lock, so a panic cannot leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds an item. last: ends the inbox after this item.
    pub fn push(&self, item: Result<T>, last: bool) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.items.push_back(item);
        state.ended = last;
        self.notify(state);
    }

    /// Ends with an error.
    pub fn fail(&self, error: Error) {
        self.push(Err(error), true);
    }

    fn notify(&self, mut state: MutexGuard<'_, State<T>>) {
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the next item. None: the inbox has ended.
    pub fn receive(&self) -> Option<Result<T>> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        state.items.pop_front()
    }

    /// The same for a task.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let mut state = self.lock();
        if state.items.is_empty() && !state.ended {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(state.items.pop_front())
    }

    /// A future of the next item.
    pub fn next(&self) -> Next<'_, T> {
        Next(self)
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }
}

pub(crate) struct Next<'a, T>(&'a Inbox<T>);

impl<T> Future for Next<'_, T> {
    type Output = Option<Result<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}
