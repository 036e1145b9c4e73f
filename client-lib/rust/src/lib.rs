// SPDX-License-Identifier: MIT
//! Timers of timerd, the timer service, and durable queues of timerqd. Uses libtoytimer.
//!
//! A [`ToyTimer`] is a session with timerd. Its methods take a [`Registration`], which is an instant and a
//! waker, or return a future:
//!
//! ```no_run
//! # use std::time::Duration;
//! # async fn run() -> toytimer::Result<()> {
//! let timer = toytimer::ToyTimer::open()?;
//! let woken = timer.sleep(Duration::from_millis(500)).await?; // dropping the future cancels the timer
//! println!("{:?} late", woken.late);
//! for woken in timer.every(Duration::from_secs(1), 3) { // blocks
//!     println!("{} periods missed", woken?.overruns);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The futures work in every executor, since a thread of the session wakes the tasks. A [`Queue`] keeps
//! timers on disk.
//!
//! After fork() the child must open its own session: the thread exists only in the parent.
#![warn(missing_docs)]

/// Makes rustdoc compile the example in README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod arrival;
mod error;
mod ffi;
mod inbox;
mod listing;
mod queue;
mod timers;
mod values;
mod worker;

pub use error::{Error, Result};
pub use listing::{Listed, Match};
pub use queue::{ConsumeOptions, Consumer, PutOptions, Queue, QueueWake, Stored};
pub use std::task::Wake;
pub use timers::{Options, Periods, Registration, Sleep, ToyTimer, Woken};
pub use values::{Clock, When};
