//! One rule of the dial plan as it is kept.

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use types::RecordId;

use super::{MAX_NAME, MAX_NOTES};
use crate::problem::{ProblemCode, Problems};
use crate::store::{Entity, Key, Kind};

/// What carries a call's signalling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream under TLS.
    Tls,
}

/// Which way a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To this server.
    In,
    /// From this server.
    Out,
}

/// Which calls a rule is for: all conditions hold together, and what is `None` holds always.
///
/// Patterns are regular expressions that have to match the whole text, without regard to case. The
/// `regex` crate runs them in a time linear to the text, whatever they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Match {
    /// The trunk that a call comes from.
    pub trunk: Option<RecordId>,
    /// A pattern of who calls: the user, with `@` and the host where that is not ours.
    pub calling: Option<String>,
    /// A pattern of who is called, in the same form.
    pub called: Option<String>,
    /// What carries the signalling.
    pub transport: Option<Transport>,
    /// Whether a registered device calls.
    pub registered: Option<bool>,
}

/// Why a call is refused, as the caller is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// There is nobody of this address (404).
    #[default]
    NotFound,
    /// It is not allowed (403).
    Forbidden,
    /// Not at this time (480).
    Unavailable,
    /// Busy (486).
    Busy,
    /// Not wanted (603).
    Declined,
}

impl Cause {
    /// SIP's status code.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Forbidden => 403,
            Self::Unavailable => 480,
            Self::Busy => 486,
            Self::Declined => 603,
        }
    }
}

/// Where a call goes. In a text, `$0` stands for the whole of what was called, `$1` to `$9` for the
/// groups of the pattern, and `$$` for a dollar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Action {
    /// Into a meeting.
    Meeting {
        /// Its alias or number.
        meeting: String,
    },
    /// To the voice that asks for a meeting's number.
    Ivr,
    /// Over a trunk.
    Trunk {
        /// Which.
        trunk: RecordId,
        /// What is called there: a user, or a user and a host.
        called: String,
    },
    /// To a device of the house.
    Device {
        /// Its extension.
        extension: String,
    },
    /// Nowhere.
    Reject {
        /// Why.
        #[serde(default)]
        cause: Cause,
    },
}

impl Action {
    /// Its text with `$…` in it.
    pub(super) fn template(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Meeting { meeting } => Some(("action.meeting", meeting)),
            Self::Trunk { called, .. } => Some(("action.called", called)),
            Self::Device { extension } => Some(("action.extension", extension)),
            Self::Ivr | Self::Reject { .. } => None,
        }
    }
}

/// One rule of the dial plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialRule {
    /// Its place: rules are tried from the lowest number on; of two with one number, the older first.
    pub order: u32,
    /// What it is for.
    pub name: String,
    /// Which way its calls go.
    pub direction: Direction,
    /// Which of them.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// Where they go.
    pub action: Action,
    /// Whether it is in use.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whatever else is worth knowing.
    #[serde(default)]
    pub notes: String,
}

const fn yes() -> bool {
    true
}

impl DialRule {
    /// Characters of a pattern.
    pub const MAX_PATTERN: usize = 200;
    /// Characters of a text with `$…` in it.
    pub const MAX_TEMPLATE: usize = 200;
    /// The highest place.
    pub const MAX_ORDER: u32 = 1_000_000;

    /// The key of each trunk that it names.
    pub const TRUNK: &'static str = "trunk";

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        problems.range("order", self.order, (0, Self::MAX_ORDER), "as the place");
        problems.line("name", &self.name, MAX_NAME);
        let Match { trunk, calling, called, transport, registered } = &self.matches;
        for (field, pattern) in [("match.calling", calling), ("match.called", called)] {
            if let Some(pattern) = pattern {
                check_pattern(field, pattern, &mut problems);
            }
        }
        if self.direction == Direction::Out {
            let ours = trunk.is_none() && transport.is_none() && registered.is_none();
            let text = "trunk, transport and registered are known of calls to this server only";
            problems.ensure(ours, "match", ProblemCode::Conflict, text);
            let leaves = !matches!(self.action, Action::Meeting { .. } | Action::Ivr);
            let text = "a call from this server goes to a trunk or a device, or is rejected";
            problems.ensure(leaves, "action", ProblemCode::Conflict, text);
        }
        if let Some((field, template)) = self.action.template() {
            let groups = called.as_deref().and_then(compile).map_or(1, |it| it.captures_len());
            let text = "give a text in which $0 to $9 are the pattern's groups and $$ is a dollar";
            let good = template.chars().count() <= Self::MAX_TEMPLATE
                && !template.is_empty()
                && expand(template, |group| (group < groups).then_some("")).is_some();
            problems.ensure(good, field, ProblemCode::Format, text);
        }
        if let Action::Trunk { trunk, .. } = &self.action {
            let text = "give the id of a trunk";
            problems.ensure(
                !trunk.as_str().is_empty(),
                "action.trunk",
                ProblemCode::Required,
                text,
            );
        }
        problems.text("notes", &self.notes, MAX_NOTES);
        problems
    }
}

fn check_pattern(field: &str, pattern: &str, problems: &mut Problems) {
    if pattern.chars().count() > DialRule::MAX_PATTERN {
        let text = format!("give at most {} characters", DialRule::MAX_PATTERN);
        problems.add(field, ProblemCode::TooLong, text);
    } else if compile(pattern).is_none() {
        let text = "give a regular expression such as 8(\\d{10}), without look-around and \
                    back-references, that is not too large when its repetitions are written out";
        problems.add(field, ProblemCode::Format, text);
    }
}

/// A pattern that has to match the whole of a text.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    if pattern.chars().count() > DialRule::MAX_PATTERN {
        return None;
    }
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .case_insensitive(true)
            .size_limit(1 << 18)
            .dfa_size_limit(1 << 20)
            .nest_limit(32)
            .build()
            .ok()
    };
    // By itself first: `a)|(b` is no pattern, but would become one between parentheses.
    build(pattern)?;
    build(&format!("^(?:{pattern})$"))
}

/// Puts groups into a text; `None` where it names one that is not there, or has a `$` of no meaning.
pub(super) fn expand<'a>(
    template: &str,
    group: impl Fn(usize) -> Option<&'a str>,
) -> Option<String> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template.chars();
    while let Some(c) = rest.next() {
        if c != '$' {
            text.push(c);
            continue;
        }
        match rest.next()? {
            '$' => text.push('$'),
            digit => text.push_str(group(digit.to_digit(10)? as usize)?),
        }
    }
    Some(text)
}

impl Entity for DialRule {
    const KIND: Kind = Kind::DialRule;

    fn keys(&self) -> Vec<Key> {
        let to = match &self.action {
            Action::Trunk { trunk, .. } => Some(trunk),
            _ => None,
        };
        let from = self.matches.trunk.as_ref();
        let both = from.into_iter().chain(to.filter(|to| from != Some(*to)));
        both.map(|trunk| Key::shared(Self::TRUNK, trunk.as_str())).collect()
    }

    fn search_text(&self) -> String {
        let Match { calling, called, .. } = &self.matches;
        let [calling, called] = [calling, called].map(|it| it.as_deref().unwrap_or_default());
        format!("{} {calling} {called} {}", self.name, self.notes)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    fn rule(text: &str) -> DialRule {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_rule_reads_as_it_is_written() {
        let text = r#"{"order":10,"name":"city","direction":"out","match":{"called":"9(\\d+)"},
            "action":{"to":"trunk","trunk":"t1","called":"+7495$1"}}"#;
        let city = rule(text);
        assert!(city.enabled);
        assert_eq!(brief(&city.problems()), [""; 0]);
        assert_eq!(city.keys(), [Key::shared("trunk", "t1")]);
        let again = serde_json::to_string(&city).unwrap();
        assert_eq!(rule(&again), city);
        let both = r#"{"order":1,"name":"n","direction":"in","match":{"trunk":"t1"},
            "action":{"to":"trunk","trunk":"t1","called":"$0"}}"#;
        assert_eq!(rule(both).keys().len(), 1);
        let plain = r#"{"order":1,"name":"n","direction":"in","action":{"to":"reject"}}"#;
        assert_eq!(rule(plain).action, Action::Reject { cause: Cause::NotFound });
    }

    #[test]
    fn all_that_is_wrong_with_a_rule_is_told_at_once() {
        let bad = rule(
            r#"{"order":2000000,"name":"","direction":"out",
            "match":{"called":"(","calling":"(?=x)","registered":true},
            "action":{"to":"meeting","meeting":"$1"},"notes":"\u0000"}"#,
        );
        assert_eq!(
            brief(&bad.problems()),
            [
                "order range",
                "name required",
                "match.calling format",
                "match.called format",
                "match conflict",
                "action conflict",
                "action.meeting format",
                "notes format",
            ]
        );
        let trunk = r#"{"order":1,"name":"n","direction":"in",
            "action":{"to":"trunk","trunk":"","called":""}}"#;
        let told = ["action.called format", "action.trunk required"];
        assert_eq!(brief(&rule(trunk).problems()), told);
    }

    #[test]
    fn patterns_match_wholes_and_are_bounded() {
        for (pattern, text, matches) in [
            ("12", "12", true),
            ("12", "123", false),
            ("1|2", "12", false),
            ("BOARD", "board", true),
            (r"8(\d{10})", "84951234567", true),
            (r".*@example\.org", "a@example.org", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), matches, "{pattern} {text}");
        }
        let long = "a".repeat(201);
        let deep = "(".repeat(60) + &")".repeat(60);
        let twice = r"(\w{1000}){1000}";
        for bad in ["a)|(b", "(?=a)", r"(a)\1", "[", "(?x)a # b", &long, &deep, twice] {
            assert!(compile(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_another() {
        let began = std::time::Instant::now();
        let pattern = compile("(a*)*(a*)*(a*)*(a+)+b|(.*)*(.*)*(.*)*x{0,50}").unwrap();
        for _ in 0..100 {
            pattern.is_match(&"a".repeat(255));
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[test]
    fn groups_are_put_into_a_text() {
        let group = |index: usize| ["whole", "one"].get(index).copied();
        for (template, text) in [
            ("$0", Some("whole")),
            ("+7$1x", Some("+7onex")),
            ("$$1", Some("$1")),
            ("$2", None),
            ("$", None),
            ("$x", None),
            ("plain", Some("plain")),
        ] {
            assert_eq!(expand(template, group).as_deref(), text, "{template}");
        }
    }
}
