//! What the operator wrote under `settings`. A word that is not known makes all of it invalid: a misspelt bound is none.
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::{Value, pointer_steps};

pub struct Settings {
    pub rules: Vec<Rule>,
    pub refuse_unlisted: bool,
}

/// What holds for the tools that a pattern names.
pub struct Rule {
    pub tool: String,
    pub approval: bool,
    pub refuse_others: bool,
    pub arguments: Vec<Bounds>,
    pub switch: Option<Switch>,
}

/// What holds for an argument. `None` bounds nothing.
pub struct Bounds {
    pub pointer: String,
    pub steps: Vec<String>,
    pub optional: bool,
    pub integer: bool,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub allowed: Option<Vec<Value>>,
    /// Between a value and the last one that was accepted, however long ago.
    pub max_step: Option<f64>,
    /// In units a second.
    pub max_rate: Option<f64>,
    /// What the last value counts as before there is one.
    pub initial: Option<f64>,
    /// What the last value becomes when the tool was stopped.
    pub at_stop: Option<f64>,
    pub approval_above: Option<f64>,
    pub approval_below: Option<f64>,
    /// Points at the argument that says whose value this is: a joint, a valve.
    pub per: Option<Vec<String>>,
    /// Where the last value is kept; rules with the same name share it.
    pub history: String,
}

/// A dead man's switch.
pub struct Switch {
    pub group: String,
    pub renew_ms: u32,
    pub stop: String,
    pub stop_arguments: String,
    /// Without it, a person's approval arms again.
    pub rearm: Option<String>,
}

impl Bounds {
    /// Whether it says anything that only a number can meet.
    pub fn numeric(&self) -> bool {
        self.integer
            || self.changes()
            || [self.min, self.max, self.approval_above, self.approval_below]
                .iter()
                .any(Option::is_some)
    }

    pub fn changes(&self) -> bool {
        self.max_step.is_some() || self.max_rate.is_some()
    }
}

/// Every stop tool that the settings name, even where the rest of them is invalid.
pub fn stop_tools(settings: &Value) -> Vec<&str> {
    let rules = settings
        .get("tools")
        .and_then(Value::items)
        .unwrap_or_default();
    rules
        .iter()
        .filter_map(|rule| rule.get("dead_man")?.get("stop")?.text())
        .collect()
}

impl Settings {
    pub fn read(value: &Value) -> Result<Settings, String> {
        let table = Table::new(value, "settings", &["tools", "unlisted"])?;
        let rules = table
            .value
            .get("tools")
            .and_then(Value::items)
            .ok_or("`tools` is missing: an array of rules")?;
        Ok(Settings {
            rules: rules.iter().map(Rule::read).collect::<Result<_, _>>()?,
            refuse_unlisted: table.choice("unlisted", "refuse", "pass")?,
        })
    }
}

impl Rule {
    fn read(value: &Value) -> Result<Rule, String> {
        let table = Table::new(
            value,
            "a rule",
            &["tool", "approval", "others", "arguments", "dead_man"],
        )?;
        let tool = table.text("tool")?.ok_or("a rule has no `tool`")?;
        let arguments = match table.value.get("arguments") {
            None => &[][..],
            Some(value) => value.items().ok_or("`arguments` of a rule is an array")?,
        };
        Ok(Rule {
            approval: !table.choice("approval", "never", "always")?,
            refuse_others: table.choice("others", "refuse", "pass")?,
            arguments: arguments
                .iter()
                .map(|value| Bounds::read(value, &tool))
                .collect::<Result<_, _>>()?,
            switch: table.value.get("dead_man").map(Switch::read).transpose()?,
            tool,
        })
    }
}

const BOUNDS: [&str; 15] = [
    "pointer",
    "optional",
    "integer",
    "min",
    "max",
    "allowed",
    "max_step",
    "max_rate",
    "initial",
    "at_stop",
    "approval_above",
    "approval_below",
    "per",
    "history",
    "unit",
];

impl Bounds {
    fn read(value: &Value, tool: &str) -> Result<Bounds, String> {
        let table = Table::new(value, "an argument's rule", &BOUNDS)?;
        let pointer = table
            .text("pointer")?
            .ok_or("an argument's rule has no `pointer`")?;
        let steps = |pointer: &str| {
            pointer_steps(pointer)
                .ok_or_else(|| format!("`{pointer}` is no JSON pointer: it starts with `/`"))
        };
        let allowed = match table.value.get("allowed") {
            None => None,
            Some(value) => Some(value.items().ok_or("`allowed` is an array")?.to_vec()),
        };
        let bounds = Bounds {
            steps: steps(&pointer)?,
            optional: table.flag("optional")?,
            integer: table.flag("integer")?,
            min: table.number("min")?,
            max: table.number("max")?,
            allowed,
            max_step: table.number("max_step")?,
            max_rate: table.number("max_rate")?,
            initial: table.number("initial")?,
            at_stop: table.number("at_stop")?,
            approval_above: table.number("approval_above")?,
            approval_below: table.number("approval_below")?,
            per: table.text("per")?.map(|per| steps(&per)).transpose()?,
            history: table
                .text("history")?
                .unwrap_or_else(|| format!("{tool}{pointer}")),
            pointer,
        };
        let negative = |bound: Option<f64>| bound.is_some_and(|bound| bound < 0.0);
        if bounds
            .min
            .zip(bounds.max)
            .is_some_and(|(min, max)| min > max)
            || negative(bounds.max_step)
            || negative(bounds.max_rate)
        {
            return Err(format!("the bounds of `{}` leave nothing", bounds.pointer));
        }
        Ok(bounds)
    }
}

impl Switch {
    fn read(value: &Value) -> Result<Switch, String> {
        let table = Table::new(
            value,
            "dead_man",
            &["group", "renew_ms", "stop", "stop_arguments", "rearm"],
        )?;
        let stop = table
            .text("stop")?
            .ok_or("`dead_man` has no `stop`, the tool that stops")?;
        let renew_ms = match table.value.get("renew_ms") {
            Some(Value::Number(number)) => number.parse().ok().filter(|ms| *ms > 0),
            _ => None,
        };
        let stop_arguments = match table.value.get("stop_arguments") {
            None => "{}".to_string(),
            Some(value @ Value::Object(_)) => value.to_text(),
            Some(_) => return Err("`stop_arguments` is a table".to_string()),
        };
        Ok(Switch {
            group: table.text("group")?.unwrap_or_else(|| stop.clone()),
            renew_ms: renew_ms
                .ok_or("`dead_man` has no `renew_ms`, a whole number of milliseconds")?,
            stop,
            stop_arguments,
            rearm: table.text("rearm")?,
        })
    }
}

struct Table<'v> {
    value: &'v Value,
    name: &'static str,
}

impl<'v> Table<'v> {
    fn new(value: &'v Value, name: &'static str, known: &[&str]) -> Result<Self, String> {
        let members = value
            .members()
            .ok_or_else(|| format!("{name} is no table"))?;
        for (place, (key, _)) in members.iter().enumerate() {
            if !known.contains(&key.as_str()) {
                return Err(format!(
                    "{name} has no `{key}`: there are {}",
                    known.join(", ")
                ));
            }
            if members[..place].iter().any(|(other, _)| other == key) {
                return Err(format!("{name} has `{key}` twice"));
            }
        }
        Ok(Table { value, name })
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        self.value
            .get(key)
            .map(|value| {
                value
                    .text()
                    .map(ToString::to_string)
                    .ok_or_else(|| format!("`{key}` of {} is a text", self.name))
            })
            .transpose()
    }

    fn number(&self, key: &str) -> Result<Option<f64>, String> {
        self.value
            .get(key)
            .map(|value| {
                value
                    .number()
                    .ok_or_else(|| format!("`{key}` of {} is a number", self.name))
            })
            .transpose()
    }

    fn flag(&self, key: &str) -> Result<bool, String> {
        self.value.get(key).map_or(Ok(false), |value| {
            value
                .bool()
                .ok_or_else(|| format!("`{key}` of {} is true or false", self.name))
        })
    }

    /// Whether it is the first of the two words, as it is where nothing is said.
    fn choice(&self, key: &str, usual: &str, other: &str) -> Result<bool, String> {
        match self.text(key)? {
            None => Ok(true),
            Some(word) if word == usual => Ok(true),
            Some(word) if word == other => Ok(false),
            Some(word) => Err(format!(
                "`{key}` of {} is `{usual}` or `{other}`, not `{word}`",
                self.name
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_bound_makes_the_settings_invalid() {
        for settings in [
            "[]",
            "{}",
            r#"{"tools":{}}"#,
            r#"{"tools":[{}]}"#,
            r#"{"tools":[{"tool":"a","argument":[]}]}"#,
            r#"{"tools":[{"tool":"a","arguments":[{"pointer":"/x","maximum":1}]}]}"#,
            r#"{"tools":[{"tool":"a","arguments":[{"pointer":"x"}]}]}"#,
            r#"{"tools":[{"tool":"a","arguments":[{"pointer":"/x","max":"1"}]}]}"#,
            r#"{"tools":[{"tool":"a","arguments":[{"pointer":"/x","min":2,"max":1}]}]}"#,
            r#"{"tools":[{"tool":"a","approval":"sometimes"}]}"#,
            r#"{"tools":[{"tool":"a","dead_man":{"renew_ms":0,"stop":"b"}}]}"#,
            r#"{"tools":[{"tool":"a","dead_man":{"renew_ms":10}}]}"#,
            r#"{"tools":[{"tool":"a","arguments":[{"pointer":"/x","max":1,"max":9}]}]}"#,
            r#"{"tools":[],"unlisted":"maybe"}"#,
        ] {
            assert!(
                Settings::read(&Value::parse(settings).unwrap()).is_err(),
                "{settings}"
            );
        }
    }
}
