//! What stands in for the gateway in tests.
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::{Answer, Surroundings, ended, inspect};

pub const DONE: &str = r#"{"content":[]}"#;
pub const FAILED: &str = r#"{"content":[],"isError":true}"#;
pub const UNKNOWN: &str = r#"{"content":[],"isError":true,"_meta":{"dev.tidegate/end":"unknown"}}"#;
pub const NOT_SENT: &str =
    r#"{"content":[],"isError":true,"_meta":{"dev.tidegate/end":"not_sent"}}"#;

#[derive(Default)]
pub struct Bench {
    pub ms: Cell<u64>,
    pub wall: Cell<u64>,
    pub kept: RefCell<BTreeMap<String, String>>,
    pub room: Cell<Option<usize>>,
    pub armed: RefCell<Vec<String>>,
    pub no_arming: Cell<bool>,
}

impl Bench {
    pub fn later(&self, ms: u64) {
        self.ms.set(self.ms.get() + ms);
        self.wall.set(self.wall.get() + ms);
    }
}

impl Surroundings for Bench {
    fn monotonic_ms(&self) -> u64 {
        self.ms.get()
    }
    fn now_ms(&self) -> u64 {
        self.wall.get()
    }
    fn get(&self, key: &str) -> Result<Option<String>, String> {
        Ok(self.kept.borrow().get(key).cloned())
    }
    fn set(&self, key: &str, value: &str) -> Result<(), String> {
        let mut kept = self.kept.borrow_mut();
        if self
            .room
            .get()
            .is_some_and(|room| kept.len() >= room && !kept.contains_key(key))
        {
            return Err("full".to_string());
        }
        kept.insert(key.to_string(), value.to_string());
        Ok(())
    }
    fn delete(&self, key: &str) -> Result<(), String> {
        self.kept.borrow_mut().remove(key);
        Ok(())
    }
    fn keys(&self, prefix: &str) -> Result<Vec<String>, String> {
        Ok(self
            .kept
            .borrow()
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect())
    }
    fn arm(&self, key: &str, after_ms: u32, tool: &str, arguments: &str) -> Result<(), String> {
        if self.no_arming.get() {
            return Err("not granted".to_string());
        }
        self.armed
            .borrow_mut()
            .push(format!("{key} {after_ms} {tool} {arguments}"));
        Ok(())
    }
    fn disarm(&self, key: &str) {
        self.armed.borrow_mut().push(format!("{key} off"));
    }
}

fn text(tool: &str, arguments: &str, approved: bool) -> String {
    format!(r#"{{"tool":"{tool}","arguments":{arguments},"caller":"c","approved":{approved}}}"#)
}

/// The gateway asks, and says nothing more as yet.
pub fn ask(bench: &Bench, settings: &str, tool: &str, arguments: &str) -> Answer {
    inspect(&text(tool, arguments, false), settings, bench)
}

pub fn end(bench: &Bench, settings: &str, tool: &str, arguments: &str, outcome: &str) {
    ended(&text(tool, arguments, false), outcome, settings, bench);
}

/// A call that is done at once, where it goes through.
pub fn call(bench: &Bench, settings: &str, tool: &str, arguments: &str) -> Answer {
    let answer = ask(bench, settings, tool, arguments);
    if answer == Answer::Pass {
        end(bench, settings, tool, arguments, DONE);
    }
    answer
}

pub fn approved(bench: &Bench, settings: &str, tool: &str, arguments: &str) -> Answer {
    let answer = inspect(&text(tool, arguments, true), settings, bench);
    if answer == Answer::Pass {
        ended(&text(tool, arguments, true), DONE, settings, bench);
    }
    answer
}

#[track_caller]
pub fn refused(answer: Answer, because: &str) {
    match answer {
        Answer::Refuse(why) => assert!(why.contains(because), "{why}"),
        other => panic!("{other:?}"),
    }
}
