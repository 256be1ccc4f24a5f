//! Looks at one call.
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::Value;

use crate::history::{self, Writes};
use crate::interval::Outcome;
use crate::settings::{Rule, Settings, Switch, stop_tools};
use crate::switch::{self, State};
use crate::{Answer, Surroundings, range};

/// `call`: `{"tool":"arm__move","arguments":{…},"caller":"alice","approved":false}`.
pub fn inspect(call: &str, settings: &str, around: &dyn Surroundings) -> Answer {
    let refuse = |why: String| Answer::Refuse(format!("safety envelope: {why}"));
    let Ok(call) = Value::parse(call) else {
        return refuse("the call is no JSON, or nested too deeply".to_string());
    };
    let Some(tool) = call.get("tool").and_then(Value::text) else {
        return refuse("the call names no tool".to_string());
    };
    let Ok(settings) = Value::parse(settings) else {
        return refuse("the settings are no JSON".to_string());
    };
    let stops = stop_tools(&settings).contains(&tool);
    let read = Settings::read(&settings);
    if stops {
        // Whatever else is wrong, a stop goes through.
        if let Ok(settings) = &read {
            switch::stop(tool, settings, around);
        }
        return Answer::Pass;
    }
    let settings = match read {
        Ok(settings) => settings,
        Err(why) => return refuse(format!("the settings are invalid: {why}")),
    };
    decide(tool, &call, &settings, around).unwrap_or_else(refuse)
}

/// A call that went through has ended: each is told, once. `outcome`: a result as MCP has it, or what the gateway says in its
/// place. What cannot be noted leaves the call under way: that is the safe side.
pub fn ended(call: &str, outcome: &str, settings: &str, around: &dyn Surroundings) {
    let (Ok(call), Ok(settings)) = (Value::parse(call), Value::parse(settings)) else {
        return;
    };
    let (Some(tool), Ok(read)) = (
        call.get("tool").and_then(Value::text),
        Settings::read(&settings),
    ) else {
        return;
    };
    let outcome = Outcome::read(outcome);
    if stop_tools(&settings).contains(&tool) {
        switch::stop_ended(tool, outcome, &read, around);
        return;
    }
    let nothing = Value::Object(Vec::new());
    let arguments = call.get("arguments").unwrap_or(&nothing);
    let mut values = BTreeMap::new();
    let mut groups = BTreeSet::new();
    for rule in rules_for(tool, &read) {
        for bounds in &rule.arguments {
            for (pointer, value) in range::resolve(arguments, &bounds.steps) {
                if let Ok(Some(number)) = range::check(bounds, &pointer, value)
                    && let Some(key) = history::kept(bounds, &pointer, arguments)
                {
                    values.insert(key, number);
                }
            }
        }
        if let Some(switch) = rule
            .switch
            .as_ref()
            .filter(|switch| groups.insert(&switch.group))
        {
            let _ = switch::ended(switch, outcome, around);
        }
    }
    let _ = history::ended(values, outcome, around);
}

/// What arms again is no command, so rules for many tools do not mean it; one for it alone does.
fn rules_for<'s>(tool: &str, settings: &'s Settings) -> Vec<&'s Rule> {
    let rearms = switches(settings).any(|switch| switch.rearm.as_deref() == Some(tool));
    let named = |rule: &&Rule| {
        if rearms {
            rule.tool == tool
        } else {
            matches(&rule.tool, tool)
        }
    };
    settings.rules.iter().filter(named).collect()
}

fn switches(settings: &Settings) -> impl Iterator<Item = &Switch> {
    settings
        .rules
        .iter()
        .filter_map(|rule| rule.switch.as_ref())
}

/// An error refuses.
fn decide(
    tool: &str,
    call: &Value,
    settings: &Settings,
    around: &dyn Surroundings,
) -> Result<Answer, String> {
    let rearms: Vec<&Switch> = switches(settings)
        .filter(|switch| switch.rearm.as_deref() == Some(tool))
        .collect();
    let rules = rules_for(tool, settings);
    if rules.is_empty() && rearms.is_empty() && settings.refuse_unlisted {
        return Err(format!("there is no rule for `{tool}`"));
    }
    let approved = call.get("approved").and_then(Value::bool) == Some(true);
    let nothing = Value::Object(Vec::new());
    let arguments = call
        .get("arguments")
        .filter(|arguments| **arguments != Value::Null)
        .unwrap_or(&nothing);
    if !matches!(arguments, Value::Object(_)) {
        return Err("the arguments are no object".to_string());
    }
    if let Some(key) = range::repeated(arguments) {
        return Err(format!("the arguments have `{key}` twice"));
    }
    if !rules.is_empty()
        && rules.iter().all(|rule| rule.refuse_others)
        && let Some(pointer) = range::unknown(arguments, &rules)
    {
        return Err(format!("no rule says what `{pointer}` may be"));
    }
    let mut questions = Vec::new();
    let mut writes = Writes::default();
    let mut renewed = Vec::new();
    let mut groups = BTreeSet::new();
    for rule in &rules {
        if let Some(switch) = rule
            .switch
            .as_ref()
            .filter(|switch| groups.insert(&switch.group))
        {
            let state = switch::state(switch, around)?;
            if state == State::Tripped {
                switch::trip(switch, around)?;
                match &switch.rearm {
                    Some(rearm) if rearm != tool => {
                        return Err(format!("a command was not renewed within {} ms, so this was stopped; call `{rearm}` to arm it again", switch.renew_ms));
                    }
                    Some(_) => {}
                    None => questions.push(format!("A command was not renewed within {} ms, so this was stopped. Arm it again?", switch.renew_ms)),
                }
            }
            let left_ms = switch::renew(switch, state, around, &mut writes)?;
            renewed.push((switch, left_ms));
        }
        if rule.approval {
            questions.push(format!("Call `{tool}`?"));
        }
        check_arguments(rule, arguments, around, &mut writes, &mut questions)?;
    }
    if !questions.is_empty() && !approved {
        questions.dedup();
        let mut question = questions.join(" ");
        question.push_str(" Arguments: ");
        arguments.write(&mut question);
        return Ok(Answer::Ask(question));
    }
    // Armed first: a stop too many does no harm, a value that counts as accepted and was not would.
    for (switch, left_ms) in &renewed {
        switch::arm(switch, *left_ms, around)?;
    }
    let written = writes.commit(around)?;
    for switch in rearms {
        if let Err(why) = switch::reset(switch, around) {
            written.undo(around);
            return Err(format!("it cannot be armed again: {why}"));
        }
    }
    Ok(Answer::Pass)
}

fn check_arguments(
    rule: &Rule,
    arguments: &Value,
    around: &dyn Surroundings,
    writes: &mut Writes,
    questions: &mut Vec<String>,
) -> Result<(), String> {
    for bounds in &rule.arguments {
        let found = range::resolve(arguments, &bounds.steps);
        if found.is_empty() && !bounds.optional {
            return Err(format!("`{}` is missing", bounds.pointer));
        }
        for (pointer, value) in found {
            let Some(number) = range::check(bounds, &pointer, value)? else {
                continue;
            };
            history::check(bounds, &pointer, number, arguments, around, writes)?;
            if bounds.approval_above.is_some_and(|above| number > above)
                || bounds.approval_below.is_some_and(|below| number < below)
            {
                questions.push(format!("`{pointer}` is {number}: go on?"));
            }
        }
    }
    Ok(())
}

/// Whether a name fits a pattern in which `*` stands for any letters and `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                p = at + 1;
                n = from + 1;
                star = Some((at, n));
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Bench, approved, call, refused};

    const RANGES: &str = r#"{"tools":[{"tool":"arm__*","arguments":[
        {"pointer":"/x","min":-1,"max":10},{"pointer":"/mode","allowed":["slow","fast",3],"optional":true},{"pointer":"/joints/*/deg","max":90,"integer":true,"optional":true}]}]}"#;

    #[test]
    fn only_what_is_within_its_range_goes_through() {
        let bench = Bench::default();
        for arguments in [
            r#"{"x":10}"#,
            r#"{"x":-1.0,"mode":"slow"}"#,
            r#"{"x":0,"mode":3.0,"joints":[{"deg":90},{"deg":-5}]}"#,
            r#"{"x":1e1}"#,
        ] {
            assert_eq!(
                call(&bench, RANGES, "arm__move", arguments),
                Answer::Pass,
                "{arguments}"
            );
        }
        for (arguments, because) in [
            (r#"{"x":10.000001}"#, "above"),
            (r#"{"x":-1.5}"#, "below"),
            (r#"{"x":1e400}"#, "must be a number"),
            (r#"{"x":"5"}"#, "must be a number"),
            (r#"{"x":null}"#, "must be a number"),
            (r#"{"x":true}"#, "must be a number"),
            (r#"{"x":[5]}"#, "must be a number"),
            (r#"{"x":10.000000000000000001}"#, "must be a number"),
            ("{}", "`/x` is missing"),
            ("null", "`/x` is missing"),
            ("[5]", "no object"),
            (r#"{"x":5,"x":500}"#, "twice"),
            (r#"{"x":5,"joints":[{"deg":1,"deg":500}]}"#, "twice"),
            (r#"{"x":5,"mode":"FAST"}"#, "none of the allowed"),
            (
                r#"{"x":5,"joints":[{"deg":1},{"deg":91}]}"#,
                "`/joints/1/deg` is 91",
            ),
            (r#"{"x":5,"joints":[{"deg":1.5}]}"#, "whole"),
            (r#"{"x":5,"force":9}"#, "no rule says what `/force` may be"),
            (
                r#"{"x":5,"joints":[{"deg":1,"force":9}]}"#,
                "no rule says what `/joints/0/force` may be",
            ),
            (r#"{"x":5,"joints":7}"#, "`/joints`"),
        ] {
            refused(call(&bench, RANGES, "arm__move", arguments), because);
        }
        refused(call(&bench, RANGES, "pump__run", "{}"), "no rule");
        for broken in ["{", r#"{"arguments":{}}"#] {
            refused(inspect(broken, RANGES, &bench), "the call");
        }
    }

    const RATE: &str = r#"{"tools":[{"tool":"set","others":"pass","arguments":[{"pointer":"/v","max_rate":2,"max_step":5,"initial":0,"per":"/axis"}]}]}"#;

    #[test]
    fn a_value_changes_no_faster_than_it_may() {
        let bench = Bench::default();
        bench.later(1000);
        refused(
            call(&bench, RATE, "set", r#"{"axis":"a","v":6}"#),
            "at once",
        );
        assert_eq!(
            call(&bench, RATE, "set", r#"{"axis":"a","v":4}"#),
            Answer::Pass
        );
        refused(
            call(&bench, RATE, "set", r#"{"axis":"a","v":4.5}"#),
            "faster",
        );
        bench.later(1000);
        refused(
            call(&bench, RATE, "set", r#"{"axis":"a","v":6.5}"#),
            "faster",
        );
        assert_eq!(
            call(&bench, RATE, "set", r#"{"axis":"a","v":6}"#),
            Answer::Pass,
            "what was refused did not become the last value"
        );
        assert_eq!(
            call(&bench, RATE, "set", r#"{"axis":"b","v":-5}"#),
            Answer::Pass
        );
        bench.later(3_600_000);
        refused(
            call(&bench, RATE, "set", r#"{"axis":"a","v":12}"#),
            "at once",
        );
        refused(call(&bench, RATE, "set", r#"{"v":6}"#), "belongs to");
        refused(
            call(&bench, RATE, "set", r#"{"axis":{},"v":6}"#),
            "belongs to",
        );
        refused(
            call(
                &bench,
                RATE,
                "set",
                &format!(r#"{{"axis":"{}","v":6}}"#, "x".repeat(300)),
            ),
            "too long",
        );
    }

    #[test]
    fn a_clock_that_starts_anew_allows_no_jump() {
        let bench = Bench::default();
        bench.later(1_000_000);
        assert_eq!(
            call(&bench, RATE, "set", r#"{"axis":1,"v":0}"#),
            Answer::Pass
        );
        bench.ms.set(500);
        refused(call(&bench, RATE, "set", r#"{"axis":1,"v":2}"#), "faster");
        assert_eq!(
            call(&bench, RATE, "set", r#"{"axis":1,"v":1}"#),
            Answer::Pass
        );
    }

    #[test]
    fn without_a_store_nothing_goes_through_and_nothing_stays_half_written() {
        let bench = Bench::default();
        let settings = r#"{"tools":[{"tool":"set","arguments":[{"pointer":"/a","max_step":1},{"pointer":"/b","max_step":1}]}]}"#;
        bench.room.set(Some(1));
        refused(
            call(&bench, settings, "set", r#"{"a":1,"b":1}"#),
            "cannot be written: full",
        );
        assert!(bench.kept.borrow().is_empty());
        bench.room.set(None);
        assert_eq!(
            call(&bench, settings, "set", r#"{"a":1,"b":1}"#),
            Answer::Pass
        );
        for damaged in ["", "{}", r#"{"value":"1"}"#] {
            bench
                .kept
                .borrow_mut()
                .values_mut()
                .for_each(|kept| *kept = damaged.to_string());
            refused(call(&bench, settings, "set", r#"{"a":1,"b":1}"#), "damaged");
        }
    }

    #[test]
    fn a_person_is_asked_and_then_all_is_checked_again() {
        let bench = Bench::default();
        let settings = r#"{"tools":[{"tool":"open","approval":"always"},{"tool":"heat","arguments":[{"pointer":"/c","max":90,"max_step":50,"initial":20,"approval_above":60}]}]}"#;
        assert_eq!(
            call(&bench, settings, "open", "{}"),
            Answer::Ask("Call `open`? Arguments: {}".to_string())
        );
        assert_eq!(approved(&bench, settings, "open", "{}"), Answer::Pass);
        assert_eq!(call(&bench, settings, "heat", r#"{"c":60}"#), Answer::Pass);
        assert!(matches!(
            call(&bench, settings, "heat", r#"{"c":80}"#),
            Answer::Ask(_)
        ));
        refused(approved(&bench, settings, "heat", r#"{"c":91}"#), "above");
        assert_eq!(
            call(&bench, settings, "heat", r#"{"c":20}"#),
            Answer::Pass,
            "what was asked about did not become the last value"
        );
        refused(approved(&bench, settings, "heat", r#"{"c":80}"#), "at once");
    }

    const SWITCH: &str = r#"{"tools":[{"tool":"drive","arguments":[{"pointer":"/v","max":9,"max_step":3,"initial":0,"at_stop":0}],
        "dead_man":{"renew_ms":500,"stop":"halt","stop_arguments":{"hard":true},"rearm":"rearm"}}]}"#;

    #[test]
    fn what_is_not_renewed_in_time_is_refused_until_it_is_armed_again() {
        let bench = Bench::default();
        bench.later(10_000);
        assert_eq!(call(&bench, SWITCH, "drive", r#"{"v":3}"#), Answer::Pass);
        assert_eq!(
            *bench.armed.borrow(),
            [r#"switch:halt 500 halt {"hard":true}"#]
        );
        bench.later(499);
        assert_eq!(call(&bench, SWITCH, "drive", r#"{"v":6}"#), Answer::Pass);
        bench.later(500);
        refused(call(&bench, SWITCH, "drive", r#"{"v":6}"#), "call `rearm`");
        refused(
            approved(&bench, SWITCH, "drive", r#"{"v":6}"#),
            "call `rearm`",
        );
        assert_eq!(call(&bench, SWITCH, "halt", "{}"), Answer::Pass);
        refused(call(&bench, SWITCH, "drive", r#"{"v":1}"#), "call `rearm`");
        assert_eq!(call(&bench, SWITCH, "rearm", "{}"), Answer::Pass);
        refused(call(&bench, SWITCH, "drive", r#"{"v":6}"#), "from 0 to 6");
        assert_eq!(call(&bench, SWITCH, "drive", r#"{"v":2}"#), Answer::Pass);
    }

    #[test]
    fn the_stop_that_comes_from_the_gateway_trips_and_one_in_time_does_not() {
        let bench = Bench::default();
        assert_eq!(call(&bench, SWITCH, "drive", r#"{"v":3}"#), Answer::Pass);
        bench.later(100);
        assert_eq!(call(&bench, SWITCH, "halt", "{}"), Answer::Pass);
        bench.later(5000);
        refused(call(&bench, SWITCH, "drive", r#"{"v":5}"#), "from 0 to 5");
        assert_eq!(call(&bench, SWITCH, "drive", r#"{"v":3}"#), Answer::Pass);
        bench.later(500);
        assert_eq!(call(&bench, SWITCH, "halt", "{}"), Answer::Pass);
        refused(call(&bench, SWITCH, "drive", r#"{"v":1}"#), "call `rearm`");
    }

    #[test]
    fn a_restart_of_the_gateway_while_driving_trips() {
        let bench = Bench::default();
        bench.later(10_000);
        assert_eq!(call(&bench, SWITCH, "drive", r#"{"v":3}"#), Answer::Pass);
        bench.ms.set(10_100);
        bench.wall.set(bench.wall.get() + 60_000);
        refused(call(&bench, SWITCH, "drive", r#"{"v":3}"#), "call `rearm`");
    }

    #[test]
    fn without_a_rearm_tool_a_person_arms_again() {
        let bench = Bench::default();
        let settings = r#"{"tools":[{"tool":"drive","others":"pass","dead_man":{"renew_ms":500,"stop":"halt"}}]}"#;
        assert_eq!(call(&bench, settings, "drive", "{}"), Answer::Pass);
        bench.later(500);
        assert!(matches!(
            call(&bench, settings, "drive", "{}"),
            Answer::Ask(_)
        ));
        assert_eq!(approved(&bench, settings, "drive", "{}"), Answer::Pass);
        assert_eq!(call(&bench, settings, "drive", "{}"), Answer::Pass);
    }

    #[test]
    fn what_cannot_be_armed_does_not_start() {
        let bench = Bench::default();
        bench.no_arming.set(true);
        refused(
            call(&bench, SWITCH, "drive", r#"{"v":3}"#),
            "cannot be armed",
        );
        assert!(bench.kept.borrow().is_empty());
    }

    #[test]
    fn a_stop_goes_through_whatever_else_is_wrong() {
        let bench = Bench::default();
        bench.room.set(Some(0));
        bench.no_arming.set(true);
        let broken = r#"{"tools":[{"tool":"drive","dead_man":{"stop":"halt"},"oops":1}]}"#;
        assert_eq!(
            call(&bench, broken, "halt", r#"{"any":"thing"}"#),
            Answer::Pass
        );
        refused(call(&bench, broken, "drive", "{}"), "settings are invalid");
        assert_eq!(call(&bench, SWITCH, "halt", "[]"), Answer::Pass);
    }

    #[test]
    fn arming_again_is_no_command_of_those_that_a_pattern_names() {
        let bench = Bench::default();
        let rule = r#"{"tool":"arm__*","arguments":[{"pointer":"/v","max":1}],"dead_man":{"renew_ms":500,"stop":"arm__halt","rearm":"arm__rearm"}}"#;
        assert_eq!(
            call(
                &bench,
                &format!(r#"{{"tools":[{rule}]}}"#),
                "arm__rearm",
                "{}"
            ),
            Answer::Pass
        );
        let approving =
            format!(r#"{{"tools":[{rule},{{"tool":"arm__rearm","approval":"always"}}]}}"#);
        assert!(matches!(
            call(&bench, &approving, "arm__rearm", "{}"),
            Answer::Ask(_)
        ));
    }

    #[test]
    fn patterns_match_names() {
        for (pattern, name, fits) in [
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a", "ab", false),
            ("*b*b*", "abab", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
