// SPDX-License-Identifier: MIT
//! Be woken by timerd, the timer service, and by timerqd, its durable queues. Uses libtoytimer.
//!
//! A [`ToyTimer`] is a session with timerd. It takes a [`Registration`], an instant and a waker, as a toy
//! event loop does; or it gives a future:
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
//! The futures work in every executor: a thread of the session wakes the tasks. A [`Queue`] keeps timers on
//! disk.
//!
//! After fork() the child opens its own session: the thread is the parent's alone.
#![warn(missing_docs)]

/// Has rustdoc compile the example.
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
