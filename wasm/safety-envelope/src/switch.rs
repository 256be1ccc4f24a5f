//! The dead man's switch: commands that must be renewed in time, or the tool is stopped and stays so until it is armed again.
use alloc::format;
use alloc::string::String;

use json::Value;

use crate::Surroundings;
use crate::history::{self, Writes};
use crate::settings::{Settings, Switch};

fn key(switch: &Switch) -> String {
    format!("switch:{}", switch.group)
}

#[derive(Debug, PartialEq)]
pub enum State {
    /// Nothing is under way.
    Idle,
    /// The last command was renewed in time.
    Renewed,
    /// It was not; commands are refused.
    Tripped,
}

pub fn state(switch: &Switch, around: &dyn Surroundings) -> Result<State, String> {
    let Some(entry) = history::read(around, &key(switch))? else {
        return Ok(State::Idle);
    };
    if entry.get("tripped").and_then(Value::bool) != Some(false) {
        return Ok(State::Tripped);
    }
    let time = |name| {
        entry
            .get(name)
            .and_then(Value::text)
            .and_then(|ms| ms.parse::<u64>().ok())
    };
    let (Some(monotonic), Some(wall)) = (time("monotonic_ms"), time("now_ms")) else {
        return Ok(State::Tripped);
    };
    let within = u64::from(switch.renew_ms);
    // A clock that started anew was stopped in between, and the wall clock knows for how long. Either can only trip too early.
    let now = around.monotonic_ms();
    let late = now < monotonic
        || now - monotonic >= within
        || around.now_ms() >= wall.saturating_add(within);
    Ok(if late { State::Tripped } else { State::Renewed })
}

fn entry(tripped: bool, around: &dyn Surroundings) -> String {
    format!(
        "{{\"tripped\":{tripped},\"monotonic_ms\":\"{}\",\"now_ms\":\"{}\"}}",
        around.monotonic_ms(),
        around.now_ms()
    )
}

/// The command counts from now on, once the writes are done.
pub fn renew(switch: &Switch, around: &dyn Surroundings, writes: &mut Writes) {
    writes.0.push((key(switch), entry(false, around)));
}

pub fn arm(switch: &Switch, around: &dyn Surroundings) -> Result<(), String> {
    around
        .arm(
            &key(switch),
            switch.renew_ms,
            &switch.stop,
            &switch.stop_arguments,
        )
        .map_err(|why| format!("the dead man's switch cannot be armed: {why}"))
}

/// Commands are refused from now on.
pub fn trip(switch: &Switch, settings: &Settings, around: &dyn Surroundings) -> Result<(), String> {
    around.set(&key(switch), &entry(true, around))?;
    all_stopped(switch, settings, around)
}

/// Commands are accepted again. What stopped stays stopped until the next one.
pub fn reset(
    switch: &Switch,
    settings: &Settings,
    around: &dyn Surroundings,
) -> Result<(), String> {
    all_stopped(switch, settings, around)?;
    around.delete(&key(switch))?;
    around.disarm(&key(switch));
    Ok(())
}

fn all_stopped(
    switch: &Switch,
    settings: &Settings,
    around: &dyn Surroundings,
) -> Result<(), String> {
    let same = |other: &Option<Switch>| {
        other
            .as_ref()
            .is_some_and(|other| other.group == switch.group)
    };
    settings
        .rules
        .iter()
        .filter(|rule| same(&rule.switch))
        .try_for_each(|rule| history::stopped(rule, around))
}

/// A stop tool is called: by a caller or, when a command was not renewed, by the gateway. Only time tells which.
pub fn stop(switch: &Switch, settings: &Settings, around: &dyn Surroundings) -> Result<(), String> {
    match state(switch, around)? {
        State::Tripped => {
            trip(switch, settings, around)?;
            around.disarm(&key(switch));
            Ok(())
        }
        State::Idle | State::Renewed => reset(switch, settings, around),
    }
}
