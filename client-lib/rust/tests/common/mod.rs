// SPDX-License-Identifier: MIT
//! Private daemons for a test, and the smallest executor.
#![allow(dead_code)]
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A timerd, and a timerqd if it is asked for, in a folder of their own.
pub struct Daemons {
    folder: PathBuf,
    timerd: Child,
    timerqd: Option<Child>,
}

fn start(variable: &str, socket: &PathBuf, options: &[&str]) -> Child {
    let _ = std::fs::remove_file(socket);
    let child = Command::new(std::env::var(variable).unwrap())
        .args(["--log-level", "err", "--socket"])
        .arg(socket)
        .args(options)
        .spawn()
        .unwrap();
    for _ in 0..3000 {
        // Whoever listens is in /proc/net/unix with the flag of a listening socket.
        let listening = std::fs::read_to_string("/proc/net/unix").unwrap();
        let path = socket.to_str().unwrap();
        if listening.lines().any(|line| line.ends_with(path) && line.contains(" 00010000 ")) {
            return child;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{variable} does not start");
}

impl Daemons {
    pub fn start(queues: bool, options: &[&str]) -> Daemons {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("timerd-rust-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let timerd = start("TIMERD_BINARY", &folder.join("timerd"), options);
        let mut daemons = Daemons { folder, timerd, timerqd: None };
        if queues {
            std::fs::create_dir(daemons.folder.join("state")).unwrap();
            daemons.start_queues();
        }
        daemons
    }

    fn start_queues(&mut self) {
        let state = self.folder.join("state");
        let options =
            ["--state", state.to_str().unwrap(), "--timerd", self.socket_text()].map(String::from);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        self.timerqd = Some(start("TIMERQD_BINARY", &self.queues(), &options));
    }

    fn socket_text(&self) -> &str {
        // The folder's name is plain text.
        Box::leak(self.socket().to_str().unwrap().to_string().into_boxed_str())
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("timerd")
    }

    pub fn queues(&self) -> PathBuf {
        self.folder.join("queues")
    }

    pub fn restart(&mut self) {
        self.timerd.kill().unwrap();
        self.timerd.wait().unwrap();
        self.timerd = start("TIMERD_BINARY", &self.socket(), &[]);
    }

    pub fn restart_queues(&mut self) {
        let mut timerqd = self.timerqd.take().unwrap();
        timerqd.kill().unwrap();
        timerqd.wait().unwrap();
        self.start_queues();
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in self.timerqd.iter_mut().chain([&mut self.timerd]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future: Pin<Box<F>> = Box::pin(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Waits until something becomes true that no event tells of.
pub fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not come true");
}
