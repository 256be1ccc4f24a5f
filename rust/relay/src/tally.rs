//! What happened on a flow: how often, how it ended, how long it took. Since somebody last asked, and in all.

use crate::flow::Flow;
use std::rc::Rc;

/// How relayed calls end. All other ends are told by the slow lane, which has taken the call over by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a result.
    Ok,
    /// The result says that the tool itself failed.
    ToolError,
}

/// Counts by outcome, and durations by bucket.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ok: u64,
    tool_error: u64,
    /// One more than there are bounds.
    counts: Vec<u64>,
    sum_s: f64,
    last_s: f64,
    /// What was taken so far.
    taken: Total,
}

/// All that a flow has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Total {
    /// Calls that ended well.
    pub ok: u64,
    /// Calls whose result says that the tool failed.
    pub tool_error: u64,
    /// All durations, in seconds.
    pub sum_s: f64,
    /// When the last one ended; 0 before the first.
    pub last_s: f64,
    /// Calls by duration: the number of the bucket, and how many, without those that are empty.
    pub durations: Vec<(usize, u64)>,
}

impl Total {
    fn add(&mut self, tally: &Tally) {
        self.ok += tally.ok;
        self.tool_error += tally.tool_error;
        self.sum_s += tally.sum_s;
        self.last_s = tally.last_s;
        for (bucket, &count) in tally
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            match self
                .durations
                .binary_search_by_key(&bucket, |&(bucket, _)| bucket)
            {
                Ok(at) => self.durations[at].1 += count,
                Err(at) => self.durations.insert(at, (bucket, count)),
            }
        }
    }
}

/// A tally that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The flow's tag.
    pub tag: usize,
    /// Calls that ended well.
    pub ok: u64,
    /// Calls whose result says that the tool failed.
    pub tool_error: u64,
    /// Calls by duration: at or below each bound and above the one before, the last above all.
    pub counts: Vec<u64>,
    /// All durations, in seconds.
    pub sum_s: f64,
}

impl Tally {
    pub(crate) fn add(&mut self, bounds_s: &[f64], outcome: Outcome, began_s: f64, now_s: f64) {
        let duration_s = now_s - began_s;
        if self.counts.is_empty() {
            self.counts = vec![0; bounds_s.len() + 1];
        }
        self.counts[bounds_s.partition_point(|&bound| bound < duration_s)] += 1;
        self.sum_s += duration_s;
        self.last_s = now_s;
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::ToolError => self.tool_error += 1,
        }
    }

    /// What was counted, and back to nothing. `None` if that is what it was.
    pub(crate) fn take(&mut self, tag: usize) -> Option<Counted> {
        if self.counts.is_empty() {
            return None;
        }
        let mut total = std::mem::take(&mut self.taken);
        total.add(self);
        let taken = std::mem::take(self);
        self.last_s = taken.last_s;
        self.taken = total;
        Some(Counted {
            tag,
            ok: taken.ok,
            tool_error: taken.tool_error,
            counts: taken.counts,
            sum_s: taken.sum_s,
        })
    }

    /// All of it, taken or not.
    pub(crate) fn total(&self) -> Total {
        let mut total = self.taken.clone();
        if !self.counts.is_empty() {
            total.add(self);
        }
        total
    }
}

/// One call that ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// The flow's tag.
    pub tag: usize,
    /// How.
    pub outcome: Outcome,
    /// When it came, and when it was answered.
    pub began_s: f64,
    /// As above.
    pub ended_s: f64,
}

/// Every call by itself, for whoever wants that.
#[derive(Debug, Default)]
pub struct Journal {
    /// Whether anybody does.
    pub kept: bool,
    ended: Vec<(Rc<Flow>, Ended)>,
    lost: u64,
}

impl Journal {
    /// So many are kept until they are asked for; further ones are lost, and counted.
    pub const MOST: usize = 16384;
    /// With so many it is time to ask.
    pub const MANY: usize = 1024;

    pub(crate) fn add(&mut self, flow: &Rc<Flow>, ended: Ended) {
        if self.ended.len() < Self::MOST {
            self.ended.push((flow.clone(), ended));
        } else {
            self.lost += 1;
        }
    }

    /// Whether it is time to ask.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.ended.len() >= Self::MANY
    }

    /// Whose calls are in it.
    pub(crate) fn tags(&self) -> impl Iterator<Item = usize> {
        self.ended.iter().map(|(_, ended)| ended.tag)
    }

    /// The calls since the last time, in the order in which they ended, and how many more there were.
    pub fn take(&mut self) -> (Vec<Ended>, u64) {
        let ended = std::mem::take(&mut self.ended);
        (
            ended.into_iter().map(|(_, ended)| ended).collect(),
            std::mem::take(&mut self.lost),
        )
    }
}
