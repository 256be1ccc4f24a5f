//! The language of `query_json`: stages with `|` between them, each of which makes of every value some values.
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use json::{Reader, Value};

const MOST_BYTES: usize = 4096;
const MOST_STAGES: usize = 32;
const MOST_STEPS: usize = 128;
const DEEPEST: usize = 16;

#[derive(Debug, PartialEq)]
pub enum Step {
    Member(String),
    /// From the end where it is negative.
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    /// Every element, or every member's value.
    Each,
    /// The value and everything within it.
    Descend,
}

#[derive(Debug, PartialEq)]
pub enum Test {
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Compare(Operand, Relation, Operand),
    /// Neither null nor false.
    Holds(Operand),
}

#[derive(Debug, PartialEq)]
pub enum Operand {
    Path(Vec<Step>),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    Length,
    Keys,
    Values,
    Sum,
    Mean,
    Min,
    Max,
    First,
    Last,
    Sort,
    Reverse,
    Unique,
    Flatten,
}

#[derive(Debug, PartialEq)]
pub enum Stage {
    Path(Vec<Step>),
    Select(Test),
    Object(Vec<(String, Vec<Step>)>),
    Array(Vec<Vec<Step>>),
    Collect,
    SortBy(Vec<Step>),
    GroupBy(Vec<Step>),
    Limit(usize),
    Call(Function),
}

const FUNCTIONS: [(&str, Function); 13] = [
    ("length", Function::Length),
    ("keys", Function::Keys),
    ("values", Function::Values),
    ("sum", Function::Sum),
    ("mean", Function::Mean),
    ("min", Function::Min),
    ("max", Function::Max),
    ("first", Function::First),
    ("last", Function::Last),
    ("sort", Function::Sort),
    ("reverse", Function::Reverse),
    ("unique", Function::Unique),
    ("flatten", Function::Flatten),
];

const RELATIONS: [(&str, Relation); 7] = [
    ("==", Relation::Equal),
    ("!=", Relation::Unequal),
    ("<=", Relation::LessOrEqual),
    (">=", Relation::GreaterOrEqual),
    ("<", Relation::Less),
    (">", Relation::Greater),
    ("~", Relation::Contains),
];

pub fn parse(query: &str) -> Result<Vec<Stage>, String> {
    if query.len() > MOST_BYTES {
        return Err(format!("the query has more than {MOST_BYTES} bytes"));
    }
    let mut parser = Parser { text: query, at: 0 };
    let mut stages = Vec::new();
    loop {
        stages.push(parser.stage()?);
        if stages.len() > MOST_STAGES {
            return Err(format!("the query has more than {MOST_STAGES} stages"));
        }
        if !parser.take("|") {
            break;
        }
    }
    if parser.rest().is_empty() {
        Ok(stages)
    } else {
        parser.fault("`|` or the end")
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn fault<T>(&mut self, expected: &str) -> Result<T, String> {
        let found = match self.rest() {
            "" => "the query ends".to_string(),
            rest => format!("there is `{}`", rest.chars().take(20).collect::<String>()),
        };
        Err(format!(
            "in the query {expected} was expected at character {}, where {found}",
            self.text[..self.at].chars().count() + 1
        ))
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            Ok(())
        } else {
            self.fault(&format!("`{token}`"))
        }
    }

    /// A name: letters, digits and `_`, no digit first.
    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let bytes = rest
            .find(|char: char| !(char.is_alphanumeric() || char == '_'))
            .unwrap_or(rest.len());
        if bytes == 0 || rest.starts_with(|char: char| char.is_ascii_digit()) {
            return None;
        }
        self.at += bytes;
        Some(&rest[..bytes])
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let before = self.at;
        let found = self.word() == Some(keyword);
        if !found {
            self.at = before;
        }
        found
    }

    fn literal(&mut self) -> Option<Value> {
        let rest = self.rest();
        let mut reader = Reader::new(rest);
        let text = reader.skip().ok()?;
        // Of the literals, only those that nothing else starts like.
        if text.starts_with(['[', '{']) {
            return None;
        }
        self.at += text.len();
        Value::parse(text).ok()
    }

    fn string(&mut self) -> Option<String> {
        if !self.rest().starts_with('"') {
            return None;
        }
        match self.literal()? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    fn whole(&mut self) -> Option<i64> {
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let bytes = rest.len() - digits.len()
            + digits
                .find(|char: char| !char.is_ascii_digit())
                .unwrap_or(digits.len());
        let number = rest[..bytes].parse().ok()?;
        self.at += bytes;
        Some(number)
    }

    fn path(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        if !self.rest().starts_with('.') {
            return self.fault("a path, which starts with `.`,");
        }
        loop {
            if steps.len() > MOST_STEPS {
                return Err(format!("the path has more than {MOST_STEPS} steps"));
            }
            let here = &self.text[self.at..];
            if let Some(behind) = here.strip_prefix("..") {
                self.at += if behind.starts_with('.') { 1 } else { 2 };
                steps.push(Step::Descend);
                if let Some(name) = self.name_here() {
                    steps.push(Step::Member(name));
                }
            } else if here.starts_with('.') {
                self.at += 1;
                if let Some(name) = self.name_here() {
                    steps.push(Step::Member(name));
                } else if !steps.is_empty() && !self.text[self.at..].starts_with('[') {
                    return self.fault("a name");
                }
            } else if here.starts_with('[') {
                self.at += 1;
                steps.push(self.bracket()?);
            } else {
                return Ok(steps);
            }
        }
    }

    /// A name right behind the dot.
    fn name_here(&mut self) -> Option<String> {
        if self.text[self.at..].starts_with(char::is_whitespace) {
            return None;
        }
        self.string()
            .or_else(|| self.word().map(ToString::to_string))
    }

    fn bracket(&mut self) -> Result<Step, String> {
        let step = if self.rest().starts_with(']') {
            Step::Each
        } else if let Some(name) = self.string() {
            Step::Member(name)
        } else {
            let from = self.whole();
            if self.take(":") {
                Step::Slice(from, self.whole())
            } else if let Some(place) = from {
                Step::Index(place)
            } else {
                return self.fault("a whole number, a name in quotes or `]`");
            }
        };
        self.expect("]")?;
        Ok(step)
    }

    fn in_parentheses<T>(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        self.expect("(")?;
        let found = inside(self)?;
        self.expect(")")?;
        Ok(found)
    }

    fn stage(&mut self) -> Result<Stage, String> {
        if self.rest().starts_with('.') {
            return Ok(Stage::Path(self.path()?));
        }
        if self.take("{") {
            return self.construct("}", Self::member).map(Stage::Object);
        }
        if self.take("[") {
            return self.construct("]", Self::path).map(Stage::Array);
        }
        let before = self.at;
        let word = self.word().unwrap_or_default();
        match word {
            "select" => self
                .in_parentheses(|parser| parser.test(0))
                .map(Stage::Select),
            "collect" => Ok(Stage::Collect),
            "sort_by" => self.in_parentheses(Self::single).map(Stage::SortBy),
            "group_by" => self.in_parentheses(Self::single).map(Stage::GroupBy),
            "limit" => {
                let count = self.in_parentheses(|parser| match parser.whole() {
                    Some(count) if count >= 0 => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
                    _ => parser.fault("a number"),
                })?;
                Ok(Stage::Limit(count))
            }
            _ => {
                if let Some((_, function)) = FUNCTIONS.iter().find(|(name, _)| *name == word) {
                    return Ok(Stage::Call(*function));
                }
                self.at = before;
                self.fault("a path such as `.name[0]`, select(…), {…}, […], collect, sort_by(…), group_by(…), limit(…) or a function such as length, keys, sum, mean, min, max, sort or unique")
            }
        }
    }

    fn construct<T>(
        &mut self,
        close: &str,
        each: fn(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut parts = Vec::new();
        if self.take(close) {
            return Ok(parts);
        }
        loop {
            parts.push(each(self)?);
            if self.take(close) {
                return Ok(parts);
            }
            if !self.take(",") {
                return self.fault(&format!("`,` or `{close}`"));
            }
        }
    }

    /// `name`, which is short for `name: .name`, or `name: PATH`.
    fn member(&mut self) -> Result<(String, Vec<Step>), String> {
        let name = self
            .string()
            .or_else(|| self.word().map(ToString::to_string));
        let Some(name) = name else {
            return self.fault("a name");
        };
        let path = if self.take(":") {
            self.single()?
        } else {
            [Step::Member(name.clone())].into()
        };
        Ok((name, path))
    }

    /// A path that leads to one value at most.
    fn single(&mut self) -> Result<Vec<Step>, String> {
        let path = self.path()?;
        if path
            .iter()
            .any(|step| matches!(step, Step::Each | Step::Descend))
        {
            return Err(
                "a path with `[]` or `..` leads to several values: here it may lead to one only"
                    .to_string(),
            );
        }
        Ok(path)
    }

    fn test(&mut self, depth: usize) -> Result<Test, String> {
        let mut left = self.all_of(depth)?;
        while self.keyword("or") {
            left = Test::Or(Box::new(left), Box::new(self.all_of(depth)?));
        }
        Ok(left)
    }

    fn all_of(&mut self, depth: usize) -> Result<Test, String> {
        let mut left = self.one(depth)?;
        while self.keyword("and") {
            left = Test::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Test, String> {
        if depth >= DEEPEST {
            return Err(format!("the test is nested deeper than {DEEPEST}"));
        }
        if self.keyword("not") {
            return Ok(Test::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.rest().starts_with('(') {
            return self.in_parentheses(|parser| parser.test(depth + 1));
        }
        let left = self.operand()?;
        for (token, relation) in RELATIONS {
            if self.take(token) {
                return Ok(Test::Compare(left, relation, self.operand()?));
            }
        }
        Ok(Test::Holds(left))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.rest().starts_with('.') {
            return self.single().map(Operand::Path);
        }
        match self.literal() {
            Some(value) => Ok(Operand::Literal(value)),
            None => self.fault("a path, a text in quotes, a number, true, false or null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_query_is_told_by_its_place() {
        let fault = parse(".a | frobnicate").unwrap_err();
        assert!(
            fault.contains("at character 6") && fault.contains("`frobnicate`"),
            "{fault}"
        );
        for query in [
            "",
            "|",
            ".a |",
            ".a.",
            ".[",
            ".[x]",
            "select",
            "select(.a ==)",
            "select(.[] > 1)",
            "limit(-1)",
            "{",
            "[.a",
            "{a b}",
            ".a b",
            "select(.a",
            "a",
            ".\"x",
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_query_has_its_bounds() {
        assert!(parse(&".a | ".repeat(40)).unwrap_err().contains("stages"));
        assert!(parse(&".a".repeat(200)).unwrap_err().contains("steps"));
        assert!(parse(&"(".repeat(5000)).unwrap_err().contains("bytes"));
        assert!(
            parse(&alloc::format!(
                "select({}.a{})",
                "(".repeat(100),
                ")".repeat(100)
            ))
            .unwrap_err()
            .contains("deeper")
        );
        assert!(
            parse(&alloc::format!("select({}.a)", "not ".repeat(100)))
                .unwrap_err()
                .contains("deeper")
        );
        assert!(parse(&alloc::format!("select(.a{})", " or .b".repeat(500))).is_ok());
    }
}
