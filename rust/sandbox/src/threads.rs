//! The threads that guests run on: as many as there is work for, up to a bound, and gone when there is none.
//!
//! They give way to the event loop (a higher nice value), and share what is left by the kernel's own fairness.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Of a thread; the guest has its half megabyte of it.
const STACK: usize = 2 << 20;
/// A thread without work ends after so long.
const IDLE: Duration = Duration::from_secs(10);
/// However many of them wait for answers.
const MOST: usize = 64;
const NICE: i32 = 5;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Threads {
    state: Mutex<State>,
    some: Condvar,
    /// Threads that compute at once.
    most: usize,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Job>,
    threads: usize,
    idle: usize,
    waiting: usize,
    closed: bool,
}

impl Threads {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            some: Condvar::new(),
            most: most.clamp(1, MOST),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.state();
        state.ready.push_back(job);
        self.staff(&mut state);
    }

    /// Wakes up or starts a thread, where there is more work than threads for it.
    fn staff(self: &Arc<Self>, state: &mut State) {
        if state.idle >= state.ready.len() {
            self.some.notify_one();
        } else if state.threads - state.waiting < self.most && state.threads < MOST {
            let threads = Arc::clone(self);
            let started = thread::Builder::new()
                .name("tidegate-plugin".into())
                .stack_size(STACK)
                .spawn(move || threads.work());
            // Where no thread can be started, those there are do it.
            state.threads += usize::from(started.is_ok());
        }
    }

    /// The calling thread waits until what is returned is dropped.
    pub(crate) fn waiting(self: &Arc<Self>) -> Waiting {
        let mut state = self.state();
        state.waiting += 1;
        if !state.ready.is_empty() {
            self.staff(&mut state);
        }
        Waiting(Arc::clone(self))
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.some.notify_all();
    }

    pub(crate) fn count(&self) -> usize {
        self.state().threads
    }

    fn work(self: Arc<Self>) {
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
        let mut state = self.state();
        loop {
            if let Some(job) = state.ready.pop_front() {
                drop(state);
                // A panic is the host's own fault; the thread that had it is not used again, and counts no more.
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                    self.state().threads -= 1;
                    return;
                }
                state = self.state();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (woken, waited) = self
                .some
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.ready.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

pub(crate) struct Waiting(Arc<Threads>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, mpsc};

    const WAIT: Duration = Duration::from_secs(20);

    #[test]
    fn two_jobs_at_once_have_a_thread_each_though_one_is_idle() {
        let threads = Threads::new(4);
        let (tell, told) = mpsc::channel();
        let first = tell.clone();
        threads.submit(Box::new(move || first.send(()).unwrap()));
        told.recv_timeout(WAIT).unwrap();
        while threads.state().idle == 0 {
            thread::yield_now();
        }
        let both = Arc::new(Barrier::new(2));
        let mut state = threads.state();
        // As two callers would, before the idle thread has woken up.
        for _ in 0..2 {
            let (both, tell) = (Arc::clone(&both), tell.clone());
            state.ready.push_back(Box::new(move || {
                both.wait();
                tell.send(()).unwrap();
            }));
            threads.staff(&mut state);
        }
        drop(state);
        for _ in 0..2 {
            told.recv_timeout(WAIT).unwrap();
        }
        threads.close();
    }
}
