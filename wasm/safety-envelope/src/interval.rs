//! What is known of one value: where the machine may be, or may be told to go, while nobody knows which commands reach it and when.
//!
//! Every command that is let through is within a step of both ends. So those under way are within a step of each other and of
//! where the machine is: they are safe in any order, and any of them may get lost.
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use json::Value;

/// Of a gateway that was started anew nobody hears how the calls of the one before ended. This long after the last of them,
/// a wall clock that no longer fits says that it was.
const RESTARTED_MS: u64 = 120_000;
/// A wall clock and the other one go apart by less than this.
const APART_MS: u64 = 100;
/// When nothing has been let through for so long, what did not end before that will not: far longer than calls may take by default.
const LOST_MS: u64 = 900_000;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    Done,
    /// The tool says so; it may have done a part of it.
    Failed,
    /// It was sent, or may have been.
    Unknown,
    NotSent,
}

impl Outcome {
    /// `outcome`: a result as MCP has it. What cannot be read tells nothing.
    pub fn read(outcome: &str) -> Outcome {
        let Ok(outcome) = Value::parse(outcome) else {
            return Outcome::Unknown;
        };
        let end = outcome
            .get("_meta")
            .and_then(|meta| meta.get("dev.tidegate/end"));
        match (end, outcome.get("isError")) {
            (Some(end), _) if end.text() == Some("not_sent") => Outcome::NotSent,
            (Some(_), _) => Outcome::Unknown,
            (None, None | Some(Value::Bool(false))) => Outcome::Done,
            (None, Some(_)) => Outcome::Failed,
        }
    }

    /// Whether the server had it for certain.
    pub fn reached(self) -> bool {
        matches!(self, Outcome::Done | Outcome::Failed)
    }
}

/// By both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    pub monotonic: u64,
    pub wall: u64,
}

impl Moment {
    pub fn text(self) -> String {
        format!("{}/{}", self.monotonic, self.wall)
    }

    pub fn read(value: &Value) -> Option<Moment> {
        let (monotonic, wall) = value.text()?.split_once('/')?;
        Some(Moment {
            monotonic: monotonic.parse().ok()?,
            wall: wall.parse().ok()?,
        })
    }

    fn since_start(self) -> u64 {
        self.wall.saturating_sub(self.monotonic)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hull {
    pub lo: f64,
    pub hi: f64,
    /// Since when, by the clock that never goes back.
    pub ms: u64,
}

impl Hull {
    fn with(self, value: f64, ms: u64) -> Hull {
        Hull {
            lo: self.lo.min(value),
            hi: self.hi.max(value),
            ms,
        }
    }

    fn point(value: f64, ms: u64) -> Hull {
        Hull {
            lo: value,
            hi: value,
            ms,
        }
    }

    fn read(value: &Value) -> Option<Hull> {
        let number = |name| value.get(name).and_then(Value::number);
        Some(Hull {
            lo: number("lo")?,
            hi: number("hi")?,
            ms: value.get("ms")?.text()?.parse().ok()?,
        })
        .filter(|hull| hull.lo <= hull.hi)
    }

    fn text(self) -> String {
        format!(
            "{{\"lo\":{},\"hi\":{},\"ms\":\"{}\"}}",
            Value::from_number(self.lo).to_text(),
            Value::from_number(self.hi).to_text(),
            self.ms
        )
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// None before there is any value.
    pub hull: Option<Hull>,
    /// What it was before the only command that is under way.
    before: Option<Hull>,
    /// Commands let through whose end is not known yet.
    open: u64,
    /// More than one of them at once, since there was none.
    crowded: bool,
    /// Of the last command, and when it was let through.
    value: f64,
    passed: Moment,
    /// Since when there has been one under way.
    since: Moment,
}

impl Interval {
    /// None for what is damaged.
    pub fn read(entry: &Value) -> Option<Interval> {
        let hull = |name| match entry.get(name) {
            None => Some(None),
            Some(hull) => Hull::read(hull).map(Some),
        };
        let interval = Interval {
            hull: hull("hull")?,
            before: hull("before")?,
            open: entry.get("open")?.text()?.parse().ok()?,
            crowded: entry.get("crowded")?.bool()?,
            value: entry.get("value")?.number()?,
            passed: Moment::read(entry.get("passed")?)?,
            since: Moment::read(entry.get("since")?)?,
        };
        (interval.open == 0 || interval.hull.is_some()).then_some(interval)
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "{{\"open\":\"{}\",\"crowded\":{},\"value\":{},\"passed\":\"{}\",\"since\":\"{}\"",
            self.open,
            self.crowded,
            Value::from_number(self.value).to_text(),
            self.passed.text(),
            self.since.text()
        );
        for (name, hull) in [("hull", self.hull), ("before", self.before)] {
            if let Some(hull) = hull {
                let _ = write!(text, ",\"{name}\":{}", hull.text());
            }
        }
        text.push('}');
        text
    }

    /// A command is let through. `initial` is where the machine counts as being before there is any value.
    pub fn pass(&mut self, value: f64, initial: Option<f64>, now: Moment) {
        if self.open > 0 && self.nobody_tells(now) {
            self.open = 0;
        }
        self.crowded = self.open > 0;
        if self.open == 0 {
            self.since = now;
        }
        self.before = if self.crowded { None } else { self.hull };
        let from = self
            .hull
            .unwrap_or(Hull::point(initial.unwrap_or(value), now.monotonic));
        self.hull = Some(from.with(value, now.monotonic));
        self.open += 1;
        self.value = value;
        self.passed = now;
    }

    fn nobody_tells(&self, now: Moment) -> bool {
        let Some(quiet) = now.monotonic.checked_sub(self.passed.monotonic) else {
            return true;
        };
        let apart = now.since_start().abs_diff(self.since.since_start());
        quiet > LOST_MS || (quiet > RESTARTED_MS && apart > APART_MS)
    }

    /// A command that was let through has ended.
    pub fn end(&mut self, value: f64, outcome: Outcome, now: Moment) {
        let other = !self.crowded && self.value.to_bits() != value.to_bits();
        if self.open == 0 || other {
            // Of one that is forgotten.
            return;
        }
        self.open -= 1;
        if outcome != Outcome::NotSent
            && let Some(hull) = &mut self.hull
        {
            // Only now, for all that is known, did the machine get it.
            hull.ms = now.monotonic;
        }
        if self.open > 0 {
            return;
        }
        let before = self.before.take();
        if self.crowded {
            self.crowded = false;
            return;
        }
        match outcome {
            Outcome::Done => self.hull = Some(Hull::point(value, now.monotonic)),
            Outcome::Failed | Outcome::Unknown => {}
            Outcome::NotSent => self.hull = before,
        }
    }
}
