use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::{Value, quote_inner};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Email,
    Phone,
    Card,
    Iban,
    Token,
    Ip,
    /// Long hexadecimal or base64 text: keys as well as harmless checksums.
    Secret,
}

const KINDS: [(&str, Kind); 7] = [
    ("email", Kind::Email),
    ("phone", Kind::Phone),
    ("card", Kind::Card),
    ("iban", Kind::Iban),
    ("token", Kind::Token),
    ("ip", Kind::Ip),
    ("secret", Kind::Secret),
];
const USUAL: [Kind; 5] = [
    Kind::Email,
    Kind::Phone,
    Kind::Card,
    Kind::Iban,
    Kind::Token,
];

/// What the operator wrote under `settings`.
pub struct Settings {
    kinds: Vec<Kind>,
    replacement: String,
    pub requests: bool,
}

impl Settings {
    pub fn parse(text: &str) -> Result<Settings, String> {
        let given = Value::parse(text).map_err(|_| "mask: the settings are no JSON")?;
        let mut settings = Settings {
            kinds: USUAL.to_vec(),
            replacement: "[{kind}]".to_string(),
            requests: false,
        };
        for (name, value) in given.members().ok_or("mask: the settings are no table")? {
            match (name.as_str(), value) {
                ("kinds", Value::Array(kinds)) => {
                    settings.kinds = kinds.iter().map(kind).collect::<Result<_, _>>()?;
                }
                ("replacement", Value::String(replacement)) => {
                    settings.replacement.clone_from(replacement);
                }
                ("requests", Value::Bool(requests)) => settings.requests = *requests,
                ("kinds" | "replacement" | "requests", _) => {
                    return Err(format!(
                        "mask: the setting `{name}` has a value of the wrong kind"
                    ));
                }
                _ => {
                    return Err(format!(
                        "mask: there is no setting `{name}`: there are kinds, replacement and requests"
                    ));
                }
            }
        }
        Ok(settings)
    }

    #[must_use]
    pub fn masks(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// What stands in the place of such a text, as it is spelt within a JSON string.
    #[must_use]
    pub fn replacement(&self, kind: Kind) -> String {
        let name = KINDS
            .iter()
            .find(|(_, known)| *known == kind)
            .map_or("", |(name, _)| name);
        let mut spelt = String::new();
        quote_inner(&self.replacement.replace("{kind}", name), &mut spelt);
        spelt
    }
}

fn kind(value: &Value) -> Result<Kind, String> {
    let name = value.text().ok_or("mask: `kinds` is an array of names")?;
    let found = KINDS.iter().find(|(known, _)| *known == name);
    found.map(|(_, kind)| *kind).ok_or_else(|| format!("mask: there is no kind `{name}`: there are email, phone, card, iban, token, ip and secret"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_setting_is_not_passed_over() {
        for settings in [
            r#"{"kind":[]}"#,
            r#"{"kinds":["mail"]}"#,
            r#"{"kinds":"email"}"#,
            r#"{"requests":1}"#,
            "[]",
            "{",
        ] {
            assert!(Settings::parse(settings).is_err(), "{settings}");
        }
        assert!(
            Settings::parse("{}").unwrap().masks(Kind::Card)
                && !Settings::parse("{}").unwrap().masks(Kind::Ip)
        );
    }
}
