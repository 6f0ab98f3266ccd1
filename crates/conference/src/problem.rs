//! What is wrong with something that was given to be kept: all of it at once, each with its field,
//! so that a form can show everything beside the place where it is mended.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

/// What kind of thing is wrong; its word is for programs and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// Nothing is given where something must be.
    Required,
    /// A text is longer than it may be.
    TooLong,
    /// A list has more entries than it may.
    TooMany,
    /// A number is below or above what it may be.
    Range,
    /// A text is not written as it has to be.
    Format,
    /// A list has the same twice.
    Duplicate,
    /// It names something that there is not.
    Unknown,
    /// It contradicts another field.
    Conflict,
}

impl ProblemCode {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::Range => "range",
            Self::Format => "format",
            Self::Duplicate => "duplicate",
            Self::Unknown => "unknown",
            Self::Conflict => "conflict",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which field, such as `schedule.rule` or `invited[3].email`.
    pub field: String,
    /// What kind of thing.
    pub code: ProblemCode,
    /// What is allowed, for people. It never repeats what was given.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// Collects what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The most that are told at once: a hostile list of a thousand entries gets no thousand answers.
    pub const MAX: usize = 50;

    /// Nothing is wrong yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn add(&mut self, field: impl Into<String>, code: ProblemCode, text: impl Into<String>) {
        if self.0.len() < Self::MAX {
            self.0.push(Problem { field: field.into(), code, text: text.into() });
        }
    }

    /// One more, unless `holds`.
    pub fn ensure(&mut self, holds: bool, field: &str, code: ProblemCode, text: &str) {
        if !holds {
            self.add(field, code, text);
        }
    }

    /// All of a part of the whole, whose fields stand below `field`.
    pub fn within(&mut self, field: &str, part: Self) {
        for Problem { field: inner, code, text } in part.0 {
            let whole =
                if inner.is_empty() { field.to_owned() } else { format!("{field}.{inner}") };
            self.add(whole, code, text);
        }
    }

    /// A text of one line: 1 to `most` characters, no control characters, no blanks around it.
    pub fn line(&mut self, field: &str, text: &str, most: usize) {
        if text.trim().is_empty() {
            self.add(field, ProblemCode::Required, format!("give 1 to {most} characters"));
            return;
        }
        self.optional_line(field, text, most);
    }

    /// A text of one line that may be empty.
    pub fn optional_line(&mut self, field: &str, text: &str, most: usize) {
        self.length(field, text, most);
        if text.chars().any(|c| breaks_line(c) || c == '\t') {
            let allowed = "give one line without control characters";
            self.add(field, ProblemCode::Format, allowed);
        } else if text.trim() != text {
            self.add(field, ProblemCode::Format, "take the blanks at its beginning and end away");
        }
    }

    /// A text of any number of lines, which may be empty.
    pub fn text(&mut self, field: &str, text: &str, most: usize) {
        self.length(field, text, most);
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            let allowed = "control characters other than line breaks and tabs are not allowed";
            self.add(field, ProblemCode::Format, allowed);
        }
    }

    fn length(&mut self, field: &str, text: &str, most: usize) {
        if text.chars().count() > most {
            self.add(field, ProblemCode::TooLong, format!("give at most {most} characters"));
        }
    }

    /// A number from `least` to `most`, with its unit for the text.
    pub fn range(&mut self, field: &str, value: u32, (least, most): (u32, u32), unit: &str) {
        if !(least..=most).contains(&value) {
            let text = format!("give {least} to {most} {unit}");
            self.add(field, ProblemCode::Range, text);
        }
    }

    /// A list of at most `most` entries; says whether it is worth looking at them.
    pub fn count(&mut self, field: &str, len: usize, most: usize) -> bool {
        if len > most {
            self.add(field, ProblemCode::TooMany, format!("give at most {most} entries"));
        }
        len <= most
    }

    /// A list in which nothing stands twice.
    pub fn distinct<T: Eq + std::hash::Hash>(
        &mut self,
        field: &str,
        entries: impl IntoIterator<Item = T>,
    ) {
        let mut seen = HashSet::new();
        for (index, entry) in entries.into_iter().enumerate() {
            if !seen.insert(entry) {
                let field = format!("{field}[{index}]");
                self.add(field, ProblemCode::Duplicate, "this stands in the list already");
            }
        }
    }

    /// All of them; empty: nothing is wrong.
    pub fn list(&self) -> &[Problem] {
        &self.0
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing is wrong, or all that is.
    ///
    /// # Errors
    /// Itself, where anything is wrong.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Whether somewhere this character begins a new line or does worse. Unicode's own line and
/// paragraph separators do in JavaScript and Python.
pub(crate) fn breaks_line(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Problems;

    /// Each problem as `field code`, for tables.
    pub(crate) fn brief(problems: &Problems) -> Vec<String> {
        problems.list().iter().map(|it| format!("{} {}", it.field, it.code.word())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::brief;
    use super::*;

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        let judge = |text: &str| {
            let mut problems = Problems::new();
            problems.line("name", text, 5);
            brief(&problems)
        };
        for good in ["a", "Совет", "a b", "1,2;3"] {
            assert_eq!(judge(good), [""; 0], "{good:?}");
        }
        for (bad, problem) in [
            ("", "name required"),
            ("  ", "name required"),
            ("Советы", "name too_long"),
            ("a\r\nb", "name format"),
            ("a\u{2028}b", "name format"),
            ("a\tb", "name format"),
            ("a\u{85}b", "name format"),
            (" ab", "name format"),
        ] {
            assert_eq!(judge(bad), [problem], "{bad:?}");
        }
    }

    #[test]
    fn everything_is_told_at_once_but_no_more_than_a_page_of_it() {
        let mut problems = Problems::new();
        problems.range("a", 7, (1, 5), "people");
        assert!(!problems.count("b", 4, 3));
        problems.distinct("c", ["x", "y", "x"]);
        let mut whole = Problems::new();
        whole.within("part", problems);
        assert_eq!(brief(&whole), ["part.a range", "part.b too_many", "part.c[2] duplicate"]);
        assert!(whole.to_string().starts_with("part.a: give 1 to 5 people; part.b:"));
        for _ in 0..1000 {
            whole.add("d", ProblemCode::Format, "wrong");
        }
        assert_eq!(whole.list().len(), Problems::MAX);
        assert_eq!(whole.into_result().unwrap_err().list().len(), Problems::MAX);
        assert_eq!(Problems::new().into_result(), Ok(()));
    }

    #[test]
    fn codes_read_alike_in_json_and_in_rust() {
        for code in [ProblemCode::TooLong, ProblemCode::Range, ProblemCode::Conflict] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.word());
        }
    }
}
