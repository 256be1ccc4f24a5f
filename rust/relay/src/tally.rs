//! What happened on a flow since somebody last asked: how often, how it ended, how long it took.

/// How relayed calls end. All other ends are told by the slow lane, which has taken the call over by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
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
    pub(crate) fn add(&mut self, bounds_s: &[f64], outcome: Outcome, duration_s: f64) {
        if self.counts.is_empty() {
            self.counts = vec![0; bounds_s.len() + 1];
        }
        self.counts[bounds_s.partition_point(|&bound| bound < duration_s)] += 1;
        self.sum_s += duration_s;
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
        let taken = std::mem::take(self);
        Some(Counted {
            tag,
            ok: taken.ok,
            tool_error: taken.tool_error,
            counts: taken.counts,
            sum_s: taken.sum_s,
        })
    }
}
