//! The dead man's switch: commands that must be renewed in time, or the tool is stopped and stays so until it is armed again.
//!
//! A command counts from when it was let through, but for certain only once its server had it. One that is let through while
//! another is under way counts when one of them has an answer; one that was not sent, or may not have been, does not count.
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use json::Value;

use crate::Surroundings;
use crate::history::{self, Writes};
use crate::interval::{Moment, Outcome};
use crate::settings::{Rule, Settings, Switch};

/// Commands under way of which it is known when they were let through; more than that do not count.
const MOST: usize = 32;

const TRIPPED: &str = "{\"tripped\":true}";

fn key(switch: &Switch) -> String {
    format!("switch:{}", switch.group)
}

#[derive(Debug, PartialEq)]
pub enum State {
    /// Nothing is under way.
    Idle,
    /// The last command was renewed in time.
    Renewed(Renewals),
    /// It was not; commands are refused.
    Tripped,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Renewals {
    /// The last one that counts for certain.
    sure: Option<Moment>,
    /// When those under way were let through, the oldest first.
    open: Vec<Moment>,
}

impl Renewals {
    fn read(entry: &Value) -> Option<Renewals> {
        Some(Renewals {
            sure: match entry.get("sure") {
                None => None,
                Some(moment) => Some(Moment::read(moment)?),
            },
            open: entry
                .get("open")?
                .items()?
                .iter()
                .map(Moment::read)
                .collect::<Option<_>>()?,
        })
    }

    fn text(&self) -> String {
        let mut text = String::from("{\"tripped\":false");
        if let Some(sure) = self.sure {
            let _ = write!(text, ",\"sure\":\"{}\"", sure.text());
        }
        text.push_str(",\"open\":[");
        for (place, moment) in self.open.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let _ = write!(text, "{comma}\"{}\"", moment.text());
        }
        text.push_str("]}");
        text
    }

    /// The last one that counts.
    fn last(&self) -> Option<Moment> {
        self.open.first().copied().or(self.sure)
    }

    fn pass(&mut self, now: Moment) {
        if self.open.len() < MOST {
            self.open.push(now);
        }
    }

    /// Which of those under way it was, nobody knows: of two guesses, the one that trips earlier.
    fn end(&mut self, reached: bool) {
        let Some(oldest) = self.open.first().copied() else {
            return;
        };
        if reached {
            self.open.remove(0);
            self.sure = Some(oldest);
        } else {
            self.open.pop();
            // The first one of all armed the switch, and may have started something.
            self.sure = self.sure.or(Some(oldest));
        }
    }

    /// How long until the next one must have come; 0 when it is too late. A clock that started anew was stopped in
    /// between, and the wall clock knows for how long. Either can only trip too early.
    fn left_ms(&self, switch: &Switch, now: Moment) -> u32 {
        let Some(last) = self.last() else { return 0 };
        let Some(passed) = now.monotonic.checked_sub(last.monotonic) else {
            return 0;
        };
        let passed = passed.max(now.wall.saturating_sub(last.wall));
        switch
            .renew_ms
            .saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }
}

pub fn state(switch: &Switch, around: &dyn Surroundings) -> Result<State, String> {
    let Some(entry) = history::read(around, &key(switch))? else {
        return Ok(State::Idle);
    };
    if entry.get("tripped").and_then(Value::bool) != Some(false) {
        return Ok(State::Tripped);
    }
    Ok(match Renewals::read(&entry) {
        Some(renewals) if renewals.left_ms(switch, history::now(around)) > 0 => {
            State::Renewed(renewals)
        }
        _ => State::Tripped,
    })
}

/// The command counts once the writes are done. Gives back how long the next one may take.
pub fn renew(
    switch: &Switch,
    state: State,
    around: &dyn Surroundings,
    writes: &mut Writes,
) -> Result<u32, String> {
    let now = history::now(around);
    let mut renewals = match state {
        State::Renewed(renewals) => renewals,
        State::Idle | State::Tripped => Renewals::default(),
    };
    renewals.pass(now);
    writes.0.push((key(switch), renewals.text()));
    match renewals.left_ms(switch, now) {
        0 => Err(String::from("a command was not renewed in time")),
        left => Ok(left),
    }
}

pub fn arm(switch: &Switch, after_ms: u32, around: &dyn Surroundings) -> Result<(), String> {
    around
        .arm(&key(switch), after_ms, &switch.stop, &switch.stop_arguments)
        .map_err(|why| format!("the dead man's switch cannot be armed: {why}"))
}

/// A command that was let through has ended.
pub fn ended(switch: &Switch, outcome: Outcome, around: &dyn Surroundings) -> Result<(), String> {
    let entry = history::read(around, &key(switch))?;
    let Some(mut renewals) = entry
        .filter(|entry| entry.get("tripped").and_then(Value::bool) == Some(false))
        .and_then(|entry| Renewals::read(&entry))
    else {
        return Ok(());
    };
    let before = renewals.last();
    renewals.end(outcome.reached());
    around.set(&key(switch), &renewals.text())?;
    if renewals.last() == before {
        return Ok(());
    }
    // Late or not, the stop comes from the gateway.
    let left = renewals.left_ms(switch, history::now(around));
    arm(switch, left.max(1), around)
}

/// Commands are refused from now on.
pub fn trip(switch: &Switch, around: &dyn Surroundings) -> Result<(), String> {
    around.set(&key(switch), TRIPPED)
}

/// Commands are accepted again. While there is nothing to arm again, what runs goes on, and so does its switch.
pub fn reset(switch: &Switch, around: &dyn Surroundings) -> Result<(), String> {
    if state(switch, around)? == State::Tripped {
        around.delete(&key(switch))?;
        around.disarm(&key(switch));
    }
    Ok(())
}

fn rules_of(settings: &Settings, which: impl Fn(&Switch) -> bool) -> impl Iterator<Item = &Rule> {
    settings
        .rules
        .iter()
        .filter(move |rule| rule.switch.as_ref().is_some_and(&which))
}

fn groups<'s>(settings: &'s Settings, stop: &str) -> BTreeSet<&'s str> {
    rules_of(settings, |switch| switch.stop == stop)
        .filter_map(|rule| rule.switch.as_ref())
        .map(|switch| switch.group.as_str())
        .collect()
}

/// A stop tool is called: by a caller or, when a command was not renewed, by the gateway. Only time tells which.
/// As much of it as can be done is done.
pub fn stop(tool: &str, settings: &Settings, around: &dyn Surroundings) {
    for rule in rules_of(settings, |switch| switch.stop == tool) {
        let Some(switch) = &rule.switch else { continue };
        let _ = match state(switch, around) {
            Ok(State::Tripped) => trip(switch, around),
            Ok(State::Idle | State::Renewed(_)) => around.delete(&key(switch)),
            Err(_) => continue,
        };
        around.disarm(&key(switch));
    }
    let groups = groups(settings, tool);
    let of_these = |switch: &Switch| groups.contains(switch.group.as_str());
    let _ = history::stopping(rules_of(settings, of_these), around);
}

pub fn stop_ended(tool: &str, outcome: Outcome, settings: &Settings, around: &dyn Surroundings) {
    let groups = groups(settings, tool);
    let of_these = |switch: &Switch| groups.contains(switch.group.as_str());
    let _ = history::stop_ended(rules_of(settings, of_these), outcome, around);
}
