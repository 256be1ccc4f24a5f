//! Walks a JSON text and puts replacements into its strings; all other bytes are copied.
use alloc::format;
use alloc::string::String;

use json::{Invalid, Kind, Reader};

use crate::find::find;
use crate::settings::Settings;

/// Members of a result that are no text for people, outside `structuredContent`. Changed, they would no longer work.
const LEFT_ALONE: [&str; 9] = [
    "_meta",
    "type",
    "mimeType",
    "data",
    "blob",
    "uri",
    "resultType",
    "requestState",
    "method",
];

/// The result with every text masked, or nothing where there is nothing to mask.
pub fn masked_result(result: &str, settings: &Settings) -> Result<Option<String>, String> {
    Edits::new(result, settings).run(false)
}

/// The arguments of a call, `{"arguments":{…},…}`, in the same way; nothing as well where requests stay as they are.
pub fn masked_arguments(call: &str, settings: &Settings) -> Result<Option<String>, String> {
    if !settings.requests {
        return Ok(None);
    }
    let mut arguments = None;
    let mut reader = Reader::new(call);
    reader
        .object(|reader, key| {
            let value = reader.skip()?;
            if key == "arguments" {
                arguments = Some(value);
            }
            Ok(())
        })
        .map_err(|fault: Invalid| unreadable(fault))?;
    arguments.map_or(Ok(None), |arguments| {
        Edits::new(arguments, settings).run(true)
    })
}

fn unreadable(Invalid(at): Invalid) -> String {
    format!("mask: this is no JSON, or nested too deeply, at byte {at}")
}

struct Edits<'a> {
    text: &'a str,
    settings: &'a Settings,
    out: String,
    /// Up to where `text` is in `out`.
    copied: usize,
}

impl<'a> Edits<'a> {
    fn new(text: &'a str, settings: &'a Settings) -> Self {
        Edits {
            text,
            settings,
            out: String::new(),
            copied: 0,
        }
    }

    fn run(mut self, everywhere: bool) -> Result<Option<String>, String> {
        let mut reader = Reader::new(self.text);
        self.value(&mut reader, everywhere)
            .and_then(|()| reader.end())
            .map_err(unreadable)?;
        if self.copied == 0 {
            return Ok(None);
        }
        self.out.push_str(&self.text[self.copied..]);
        Ok(Some(self.out))
    }

    fn value(&mut self, reader: &mut Reader<'a>, everywhere: bool) -> Result<(), Invalid> {
        match reader.kind()? {
            Kind::String => {
                let span = reader.string_span()?;
                self.string(span.start, &self.text[span.clone()]);
                Ok(())
            }
            Kind::Array => reader.array(|reader| self.value(reader, everywhere)),
            Kind::Object => reader.object(|reader, key| {
                if !everywhere && LEFT_ALONE.contains(&key.as_ref()) {
                    reader.skip().map(|_| ())
                } else {
                    self.value(reader, everywhere || key == "structuredContent")
                }
            }),
            _ => reader.skip().map(|_| ()),
        }
    }

    fn string(&mut self, start: usize, raw: &str) {
        if raw.contains('\\') {
            let (meant, places) = Reader::mapped(raw);
            self.replace(start, &meant, |place| places[place]);
        } else {
            self.replace(start, raw, |place| place);
        }
    }

    fn replace(&mut self, start: usize, meant: &str, place: impl Fn(usize) -> usize) {
        for found in find(meant, self.settings) {
            self.out
                .push_str(&self.text[self.copied..start + place(found.start)]);
            self.out.push_str(&self.settings.replacement(found.kind));
            self.copied = start + place(found.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::parse(text).unwrap()
    }

    #[test]
    fn only_the_texts_in_question_change() {
        let result = r#"{ "content":[ {"text":"a\u0040b.io \u00e9\n <x@y.org>","type":"text"}, {"type":"image","data":"YUBiLmlv","mimeType":"image/png"},
            {"type":"resource","resource":{"uri":"mailto:a@b.io","text":"call +49 30 1234567"}} ],
            "structuredContent":{"n":1.50,"type":"a@b.io","deep":[{"x":"4111 1111 1111 1111"}],"x@y.org":4111111111111111}, "_meta":{"k":"a@b.io"}, "isError":false }"#;
        let expected = r#"{ "content":[ {"text":"[email] \u00e9\n <[email]>","type":"text"}, {"type":"image","data":"YUBiLmlv","mimeType":"image/png"},
            {"type":"resource","resource":{"uri":"mailto:a@b.io","text":"call [phone]"}} ],
            "structuredContent":{"n":1.50,"type":"[email]","deep":[{"x":"[card]"}],"x@y.org":4111111111111111}, "_meta":{"k":"a@b.io"}, "isError":false }"#;
        assert_eq!(
            masked_result(result, &settings("{}")).unwrap().unwrap(),
            expected
        );
    }

    #[test]
    fn what_has_nothing_personal_passes() {
        assert_eq!(
            masked_result(
                r#"{"content":[{"type":"text","text":"21.5 °C"}]}"#,
                &settings("{}")
            ),
            Ok(None)
        );
    }

    #[test]
    fn the_operator_chooses_kinds_and_replacement() {
        let result = r#"{"content":[{"type":"text","text":"a@b.io 10.0.0.1"}]}"#;
        let masked = masked_result(
            result,
            &settings(r#"{"kinds":["ip"],"replacement":"\"{kind}\"\n"}"#),
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            masked,
            r#"{"content":[{"type":"text","text":"a@b.io \"ip\"\n"}]}"#
        );
        assert_eq!(
            masked_result(result, &settings(r#"{"kinds":[]}"#)),
            Ok(None)
        );
    }

    #[test]
    fn requests_change_only_where_that_is_set() {
        let call = r#"{"tool":"t","arguments":{"to":"a@b.io","n":1},"caller":"c@d.io"}"#;
        assert_eq!(masked_arguments(call, &settings("{}")), Ok(None));
        assert_eq!(
            masked_arguments(call, &settings(r#"{"requests":true}"#))
                .unwrap()
                .unwrap(),
            r#"{"to":"[email]","n":1}"#
        );
    }

    #[test]
    fn what_is_no_json_goes_no_further() {
        assert!(masked_result("{", &settings("{}")).is_err());
        assert!(masked_result(&"[".repeat(100), &settings("{}")).is_err());
    }
}
