//! Which rule decides where a call goes.

use std::fmt;

use regex::Regex;
use serde::Serialize;
use types::{MeetingId, RecordId};

use super::address::CallAddress;
use super::dial_rule::{Action, Cause, DialRule, Direction, Transport, compile, expand};
use crate::booking::Called;

/// A call as the rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which way it goes.
    pub direction: Direction,
    /// The trunk that it comes from.
    pub trunk: Option<RecordId>,
    /// Who calls: the user, with `@` and the host where that is not ours.
    pub calling: String,
    /// Who is called, in the same form.
    pub called: String,
    /// What carries the signalling, of a call to this server.
    pub transport: Option<Transport>,
    /// Whether a registered device calls.
    pub registered: bool,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Into a meeting, if there is one of this alias or number.
    Meeting(Called),
    /// To the voice that asks for a meeting's number.
    Ivr,
    /// Over a trunk.
    Trunk {
        /// Which.
        trunk: RecordId,
        /// What is called there.
        called: CallAddress,
    },
    /// To a device of the house, if there is one of this extension.
    Device(MeetingId),
    /// Nowhere.
    Reject(Cause),
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It decides.
    Matched,
    /// It is not in use.
    Disabled,
    /// It is for calls the other way.
    Direction,
    /// The call does not come from its trunk.
    Trunk,
    /// Something else carries the signalling.
    Transport,
    /// It is for registered devices, and this is none, or the other way round.
    Registration,
    /// Somebody else calls.
    Calling,
    /// Somebody else is called.
    Called,
    /// Its patterns cannot be read.
    Unreadable,
    /// It matches, but what comes out is no name or number that could be called.
    Target,
    /// A rule before it decided.
    NotTried,
}

impl Verdict {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Matched => "it matches, and decides",
            Self::Disabled => "it is not in use",
            Self::Direction => "it is for calls the other way",
            Self::Trunk => "the call does not come from its trunk",
            Self::Transport => "its transport is another one",
            Self::Registration => "whether the caller is registered does not fit",
            Self::Calling => "its pattern does not match who calls",
            Self::Called => "its pattern does not match who is called",
            Self::Unreadable => "its patterns cannot be read",
            Self::Target => "it matches, but what comes out cannot be called",
            Self::NotTried => "a rule before it decided",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What became of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub rule: RecordId,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// All rules in their order, with their patterns read.
#[derive(Clone, Debug, Default)]
pub struct DialPlan {
    rules: Vec<Prepared>,
}

#[derive(Clone, Debug)]
struct Prepared {
    id: RecordId,
    rule: DialRule,
    /// `None` where the rule has a pattern that cannot be read.
    patterns: Option<Patterns>,
}

#[derive(Clone, Debug)]
struct Patterns {
    calling: Option<Regex>,
    called: Option<Regex>,
}

impl DialPlan {
    /// Rules of one plan: who keeps them takes no more.
    pub const MAX_RULES: usize = 1_000;

    /// A plan of rules in any order; those beyond [`Self::MAX_RULES`] are left out.
    pub fn new(rules: impl IntoIterator<Item = (RecordId, DialRule)>) -> Self {
        let mut rules: Vec<_> = rules
            .into_iter()
            .take(Self::MAX_RULES)
            .map(|(id, rule)| Prepared { patterns: patterns(&rule), id, rule })
            .collect();
        rules.sort_by(|a, b| (a.rule.order, &a.id).cmp(&(b.rule.order, &b.id)));
        Self { rules }
    }

    /// Where a call goes, and what became of each rule: the first that matches decides; where none
    /// does, nobody is there.
    pub fn decide(&self, call: &Call) -> (Decision, Vec<Step>) {
        let mut decision = None;
        let trace = self.rules.iter().map(|it| {
            let verdict = match &decision {
                Some(_) => Verdict::NotTried,
                None => match it.judge(call) {
                    Ok(decided) => {
                        decision = Some(decided);
                        Verdict::Matched
                    }
                    Err(verdict) => verdict,
                },
            };
            Step { rule: it.id.clone(), name: it.rule.name.clone(), verdict }
        });
        let trace = trace.collect();
        (decision.unwrap_or(Decision::Reject(Cause::NotFound)), trace)
    }
}

/// Where a call goes by these rules: [`DialPlan`] where there is one call only.
pub fn decide(
    rules: impl IntoIterator<Item = (RecordId, DialRule)>,
    call: &Call,
) -> (Decision, Vec<Step>) {
    DialPlan::new(rules).decide(call)
}

fn patterns(rule: &DialRule) -> Option<Patterns> {
    let read = |pattern: &Option<String>| match pattern {
        Some(pattern) => compile(pattern).map(Some),
        None => Some(None),
    };
    Some(Patterns { calling: read(&rule.matches.calling)?, called: read(&rule.matches.called)? })
}

impl Prepared {
    fn judge(&self, call: &Call) -> Result<Decision, Verdict> {
        let rule = &self.rule;
        if !rule.enabled {
            return Err(Verdict::Disabled);
        }
        if rule.direction != call.direction {
            return Err(Verdict::Direction);
        }
        let conditions = &rule.matches;
        if conditions.trunk.is_some() && conditions.trunk != call.trunk {
            return Err(Verdict::Trunk);
        }
        if conditions.transport.is_some() && conditions.transport != call.transport {
            return Err(Verdict::Transport);
        }
        if conditions.registered.is_some_and(|wanted| wanted != call.registered) {
            return Err(Verdict::Registration);
        }
        let patterns = self.patterns.as_ref().ok_or(Verdict::Unreadable)?;
        if patterns.calling.as_ref().is_some_and(|it| !it.is_match(&call.calling)) {
            return Err(Verdict::Calling);
        }
        let groups = match &patterns.called {
            Some(pattern) => Some(pattern.captures(&call.called).ok_or(Verdict::Called)?),
            None => None,
        };
        let group = |index: usize| match &groups {
            // A group that took no part in the match is empty.
            Some(groups) if index < groups.len() => {
                Some(groups.get(index).map_or("", |it| it.as_str()))
            }
            None if index == 0 => Some(call.called.as_str()),
            _ => None,
        };
        let target = match rule.action.template() {
            Some((_, template)) => expand(template, group).ok_or(Verdict::Target)?,
            None => String::new(),
        };
        self.decision(&target).ok_or(Verdict::Target)
    }

    /// What the rule's action makes of a target; `None` if that is nothing that could be called.
    fn decision(&self, target: &str) -> Option<Decision> {
        Some(match &self.rule.action {
            Action::Meeting { .. } => Decision::Meeting(Called::read(target)?),
            Action::Ivr => Decision::Ivr,
            Action::Trunk { trunk, .. } => {
                Decision::Trunk { trunk: trunk.clone(), called: target.parse().ok()? }
            }
            Action::Device { .. } => Decision::Device(MeetingId::parse(target).ok()?),
            Action::Reject { cause } => Decision::Reject(*cause),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(calling: &str, called: &str) -> Call {
        Call {
            direction: Direction::In,
            trunk: None,
            calling: calling.into(),
            called: called.into(),
            transport: Some(Transport::Udp),
            registered: false,
        }
    }

    /// Rules as JSON, each with its id, which is its name too.
    fn plan(rules: &[(&str, &str)]) -> DialPlan {
        DialPlan::new(rules.iter().map(|(id, body)| {
            let text = format!(r#"{{"name":"{id}",{body}}}"#);
            let rule: DialRule = serde_json::from_str(&text).unwrap();
            (RecordId::new(*id), rule)
        }))
    }

    fn house() -> DialPlan {
        plan(&[
            (
                "spam",
                r#""order":1,"direction":"in","match":{"calling":"\\+7900.*"},"action":{"to":"reject","cause":"declined"}"#,
            ),
            ("off", r#""order":2,"direction":"in","enabled":false,"action":{"to":"ivr"}"#),
            (
                "pbx",
                r#""order":3,"direction":"in","match":{"trunk":"pbx","called":"4951112233"},"action":{"to":"ivr"}"#,
            ),
            (
                "short",
                r#""order":4,"direction":"in","match":{"called":"7(\\d{3})","registered":true},"action":{"to":"device","extension":"$1"}"#,
            ),
            ("meetings", r#""order":5,"direction":"in","action":{"to":"meeting","meeting":"$0"}"#),
            (
                "city",
                r#""order":6,"direction":"out","match":{"called":"9(\\d+)"},"action":{"to":"trunk","trunk":"pbx","called":"+7495$1"}"#,
            ),
            (
                "abroad",
                r#""order":7,"direction":"out","match":{"called":"(.+)@(.+)"},"action":{"to":"trunk","trunk":"internet","called":"$1@$2"}"#,
            ),
        ])
    }

    fn shown(decision: &Decision) -> String {
        match decision {
            Decision::Meeting(Called::Number(number)) => format!("number {number}"),
            Decision::Meeting(Called::Alias(alias)) => format!("meeting {alias}"),
            Decision::Ivr => "ivr".into(),
            Decision::Trunk { trunk, called } => format!("{trunk} {called}"),
            Decision::Device(extension) => format!("device {extension}"),
            Decision::Reject(cause) => format!("reject {}", cause.status()),
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let from_pbx = |called| Call { trunk: Some(RecordId::new("pbx")), ..call("1", called) };
        let device = |called| Call { registered: true, ..call("hall", called) };
        let out = |called| Call { direction: Direction::Out, transport: None, ..call("", called) };
        for (call, decision) in [
            (call("+79001234567", "board"), "reject 603"),
            (call("anna", "board"), "meeting board"),
            (call("anna", "123456789"), "number 123456789"),
            (from_pbx("4951112233"), "ivr"),
            (call("anna", "4951112233"), "number 4951112233"),
            (device("7101"), "device 101"),
            (device("BOARD"), "meeting board"),
            // Neither a number nor an alias, and no device calls.
            (call("anna", "7101"), "reject 404"),
            (call("anna", "a b"), "reject 404"),
            (out("91234567"), "pbx +74951234567"),
            (out("hall@example.org"), "internet hall@example.org"),
            (out("a b@example.org"), "reject 404"),
            (out("hall"), "reject 404"),
        ] {
            assert_eq!(shown(&house().decide(&call).0), decision, "{call:?}");
        }
    }

    #[test]
    fn the_trace_says_of_each_rule_what_became_of_it() {
        use Verdict::*;
        let verdicts = |call: &Call| {
            house().decide(call).1.into_iter().map(|it| it.verdict).collect::<Vec<_>>()
        };
        let matched = verdicts(&call("anna", "board"));
        assert_eq!(matched, [Calling, Disabled, Trunk, Registration, Matched, NotTried, NotTried]);
        let device = Call { registered: true, ..call("hall", "9") };
        assert_eq!(
            verdicts(&device),
            [Calling, Disabled, Trunk, Called, Target, Direction, Direction]
        );
        let (_, trace) = house().decide(&call("anna", "board"));
        assert_eq!((trace[4].rule.as_str(), trace[4].name.as_str()), ("meetings", "meetings"));
        assert_eq!(serde_json::to_value(Verdict::NotTried).unwrap(), "not_tried");
    }

    #[test]
    fn order_counts_and_then_age() {
        let reject = |order, cause| {
            format!(
                r#""order":{order},"direction":"in","action":{{"to":"reject","cause":"{cause}"}}"#
            )
        };
        let (busy, forbidden, ivr) = (
            reject(5, "busy"),
            reject(5, "forbidden"),
            r#""order":9,"direction":"in","action":{"to":"ivr"}"#,
        );
        let plan = plan(&[("z", ivr), ("b", &busy), ("a", &forbidden)]);
        let (decision, trace) = plan.decide(&call("anna", "x"));
        assert_eq!(decision, Decision::Reject(Cause::Forbidden));
        let order: Vec<_> = trace.iter().map(|it| it.rule.as_str()).collect();
        assert_eq!(order, ["a", "b", "z"]);
    }

    #[test]
    fn a_rule_that_cannot_be_read_decides_nothing() {
        use Verdict::*;
        let plan = plan(&[
            ("a", r#""order":1,"direction":"in","match":{"called":"("},"action":{"to":"ivr"}"#),
            (
                "b",
                r#""order":2,"direction":"in","match":{"transport":"tls"},"action":{"to":"ivr"}"#,
            ),
            (
                "c",
                r#""order":3,"direction":"in","match":{"called":"(a)|(b)"},"action":{"to":"device","extension":"$1$2"}"#,
            ),
            ("d", r#""order":4,"direction":"in","action":{"to":"meeting","meeting":"$1"}"#),
        ]);
        let (decision, trace) = plan.decide(&call("anna", "b"));
        assert_eq!(shown(&decision), "device b");
        let verdicts: Vec<_> = trace.iter().map(|it| it.verdict).collect();
        assert_eq!(verdicts, [Unreadable, Transport, Matched, NotTried]);
        let (decision, trace) = plan.decide(&call("anna", "x"));
        assert_eq!(decision, Decision::Reject(Cause::NotFound));
        assert_eq!(trace[3].verdict, Target);
        assert_eq!(decide([], &call("anna", "x")), (Decision::Reject(Cause::NotFound), vec![]));
    }
}
