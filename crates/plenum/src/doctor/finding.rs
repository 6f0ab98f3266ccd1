//! What a check found, and how it is told.

use std::fmt;

use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing is wrong.
    Well,
    /// It works, and may not for long or not for everybody.
    Warning,
    /// The server does not start, or people do not get in.
    Failure,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One line of what the doctor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which check found it.
    pub check: &'static str,
    /// How bad it is.
    pub state: State,
    /// What it is.
    pub what: String,
    /// How to mend it; `None` where nothing is wrong.
    pub mend: Option<String>,
}

/// What one check found. A check says one thing where all is well, and else only what is not.
#[derive(Debug)]
pub struct Findings {
    check: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    /// Nothing yet.
    pub fn of(check: &'static str) -> Self {
        Self { check, list: Vec::new() }
    }

    /// It works, and should be seen to.
    pub fn warn(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.add(State::Warning, what.into(), Some(mend.into()));
    }

    /// It does not work.
    pub fn fail(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.add(State::Failure, what.into(), Some(mend.into()));
    }

    /// All that was found; `well` where nothing was.
    pub fn or_well(mut self, well: impl FnOnce() -> String) -> Vec<Finding> {
        if self.list.is_empty() {
            self.add(State::Well, well(), None);
        }
        self.list
    }

    fn add(&mut self, state: State, what: String, mend: Option<String>) {
        self.list.push(Finding { check: self.check, state, what, mend });
    }
}

/// Everything that was found.
#[derive(Debug)]
pub struct Report(pub Vec<Finding>);

impl Report {
    /// Whether something does not work.
    pub fn fails(&self) -> bool {
        self.count(State::Failure) > 0
    }

    fn count(&self, state: State) -> usize {
        self.0.iter().filter(|it| it.state == state).count()
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let findings = self.0.iter().map(|it| {
            json!({ "check": it.check, "state": it.state.word(), "what": it.what, "mend": it.mend })
        });
        json!({
            "failures": self.count(State::Failure),
            "warnings": self.count(State::Warning),
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    /// A line for each finding, the way to mend it below, and a summary at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.0 {
            writeln!(f, "{:8} {:13} {}", it.state.word(), it.check, plain(&it.what))?;
            if let Some(mend) = &it.mend {
                writeln!(f, "{:22} to mend: {}", "", plain(mend))?;
            }
        }
        match (self.count(State::Failure), self.count(State::Warning)) {
            (0, 0) => writeln!(f, "All is well."),
            (0, warnings) => writeln!(f, "Nothing fails; warnings: {warnings}."),
            (failures, warnings) => writeln!(f, "Failures: {failures}; warnings: {warnings}."),
        }
    }
}

/// On one line, and without what a terminal would act on: names of processes come from anybody.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_and_how_to_mend_it() {
        let mut ports = Findings::of("ports");
        ports.fail("held by \u{1b}[2J evil", "end it");
        let mut disk = Findings::of("disk");
        disk.warn("nearly full", "make room");
        let clock = Findings::of("clock").or_well(|| "kept by NTP".to_owned());
        let findings = [ports.or_well(String::new), disk.or_well(String::new), clock].concat();
        let report = Report(findings);
        assert_eq!(
            report.to_string(),
            "failure  ports         held by  [2J evil\n\
             \x20                      to mend: end it\n\
             warning  disk          nearly full\n\
             \x20                      to mend: make room\n\
             ok       clock         kept by NTP\n\
             Failures: 1; warnings: 1.\n"
        );
        assert!(report.fails());
        let json = report.to_json();
        assert_eq!((&json["failures"], &json["warnings"]), (&1.into(), &1.into()));
        assert_eq!(json["findings"][0]["state"], "failure");
        assert_eq!(json["findings"][2]["mend"], Value::Null);
    }

    #[test]
    fn warnings_alone_are_no_failure() {
        let mut disk = Findings::of("disk");
        disk.warn("nearly full", "make room");
        let report = Report(disk.or_well(String::new));
        assert!(!report.fails());
        assert!(report.to_string().ends_with("Nothing fails; warnings: 1.\n"));
        assert!(Report(Vec::new()).to_string().ends_with("All is well.\n"));
    }
}
