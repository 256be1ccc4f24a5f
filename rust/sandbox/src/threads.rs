//! The threads that guests run on: as many as there is work for, up to a bound, and gone when there is none.
//!
//! They give way to the event loop (a higher nice value), and share what is left by the kernel's own fairness. A plugin
//! that has all of them compute for long holds up its own callers only: whichever has least of them comes next, and one
//! that has none gets one at once, beyond the bound if need be.

use std::collections::{HashMap, HashSet, VecDeque};
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
    /// With the number of whose it is.
    ready: VecDeque<(u64, Job)>,
    /// Threads that compute, of each plugin that has some.
    computing: HashMap<u64, usize>,
    threads: usize,
    /// Those that have not looked for a job yet.
    starting: usize,
    idle: usize,
    /// Idle ones that were woken up, and do not know it yet.
    woken: usize,
    closed: bool,
}

impl State {
    fn computing(&self, plugin: u64) -> usize {
        self.computing.get(&plugin).copied().unwrap_or(0)
    }

    /// Which job is next, if one may begin: of the plugin that has the fewest threads, the oldest.
    fn next(&self, most: usize) -> Option<usize> {
        let of = |at: &usize| self.computing(self.ready[*at].0);
        let next = (0..self.ready.len()).min_by_key(of)?;
        let room = self.computing.values().sum::<usize>() < most;
        (room || of(&next) == 0).then_some(next)
    }

    /// How many jobs might begin at once, had they all a thread.
    fn may_begin(&self, most: usize) -> usize {
        let without: HashSet<u64> = (self.ready.iter().map(|(plugin, _)| *plugin))
            .filter(|plugin| self.computing(*plugin) == 0)
            .collect();
        let first = without.len();
        let room = most.saturating_sub(self.computing.values().sum::<usize>() + first);
        first + room.min(self.ready.len() - first)
    }

    fn began(&mut self, plugin: u64) {
        *self.computing.entry(plugin).or_default() += 1;
    }

    fn ended(&mut self, plugin: u64) {
        let left = self.computing(plugin).saturating_sub(1);
        if left == 0 {
            self.computing.remove(&plugin);
        } else {
            self.computing.insert(plugin, left);
        }
    }
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

    /// `plugin`: the number of whose job it is.
    pub(crate) fn submit(self: &Arc<Self>, plugin: u64, job: Job) {
        let mut state = self.state();
        state.ready.push_back((plugin, job));
        self.staff(&mut state);
    }

    /// Wakes up or starts a thread, where more jobs may begin than threads are about to look for one.
    fn staff(self: &Arc<Self>, state: &mut State) {
        if state.may_begin(self.most) <= state.starting + state.woken {
            return;
        }
        if state.idle > state.woken {
            state.woken += 1;
            self.some.notify_one();
        } else if state.threads < MOST {
            let threads = Arc::clone(self);
            let started = thread::Builder::new()
                .name("tidegate-plugin".into())
                .stack_size(STACK)
                .spawn(move || threads.work());
            // Where no thread can be started, those there are do it.
            state.threads += usize::from(started.is_ok());
            state.starting += usize::from(started.is_ok());
        }
    }

    /// The calling thread, which has a job of `plugin`, waits until what is returned is dropped.
    pub(crate) fn waiting(self: &Arc<Self>, plugin: u64) -> Waiting {
        let mut state = self.state();
        state.ended(plugin);
        self.staff(&mut state);
        Waiting(Arc::clone(self), plugin)
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
        state.starting -= 1;
        loop {
            if let Some((plugin, job)) =
                (state.next(self.most)).and_then(|next| state.ready.remove(next))
            {
                state.began(plugin);
                drop(state);
                // A panic is the host's own fault; the thread that had it is not used again, and counts no more.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.state();
                state.ended(plugin);
                if done.is_err() {
                    state.threads -= 1;
                    self.staff(&mut state);
                    return;
                }
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
            state.woken = state.woken.saturating_sub(1);
            if waited.timed_out() && state.next(self.most).is_none() {
                break;
            }
        }
        state.threads -= 1;
    }
}

pub(crate) struct Waiting(Arc<Threads>, u64);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state().began(self.1);
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
        threads.submit(1, Box::new(move || first.send(()).unwrap()));
        told.recv_timeout(WAIT).unwrap();
        while threads.state().idle == 0 {
            thread::yield_now();
        }
        let both = Arc::new(Barrier::new(2));
        let mut state = threads.state();
        // As two callers would, before the idle thread has woken up.
        for _ in 0..2 {
            let (both, tell) = (Arc::clone(&both), tell.clone());
            let job: Job = Box::new(move || {
                both.wait();
                tell.send(()).unwrap();
            });
            state.ready.push_back((1, job));
            threads.staff(&mut state);
        }
        drop(state);
        for _ in 0..2 {
            told.recv_timeout(WAIT).unwrap();
        }
        threads.close();
    }

    #[test]
    fn a_plugin_that_takes_every_thread_holds_up_nobody_else() {
        const OTHERS: u64 = 2;
        let threads = Threads::new(2);
        let (tell, told) = mpsc::channel();
        let gate = Arc::new(Mutex::new(()));
        let shut = gate.lock().unwrap();
        for _ in 0..6 {
            let (gate, tell) = (Arc::clone(&gate), tell.clone());
            let job = Box::new(move || {
                tell.send("began").unwrap();
                drop(gate.lock());
            });
            threads.submit(1, job);
        }
        for _ in 0..2 {
            assert_eq!(told.recv_timeout(WAIT), Ok("began"));
        }
        // One has a thread at once, the other has it next: neither waits behind the four that are left.
        for _ in 0..OTHERS {
            let tell = tell.clone();
            threads.submit(2, Box::new(move || tell.send("other").unwrap()));
        }
        for _ in 0..OTHERS {
            assert_eq!(told.recv_timeout(WAIT), Ok("other"));
        }
        assert_eq!(threads.state().computing(1), 2);
        drop(shut);
        threads.close();
    }
}
