//! `/api/v1/dial-rules`: the rules that say where calls go, in their order.

use conference::kept::KeptError;
use conference::people::{Right, Vault};
use conference::telephony::{Action, Cause, DialRule, Direction, Match, Transport};
use serde::{Deserialize, Serialize};
use types::RecordId;
use utoipa::ToSchema;

use crate::kept::{Shown, words};

/// One rule of the dial plan.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DialRuleFields)]
pub struct Fields {
    /// Its place: rules are tried from the lowest number on; of two with one number, the older first.
    order: u32,
    /// What it is for, 100 characters at most.
    name: String,
    /// Which way its calls go.
    #[schema(schema_with = words::direction)]
    direction: Direction,
    /// Which of them.
    #[serde(default, rename = "match")]
    matches: MatchFields,
    /// Where they go. A change gives it as a whole.
    action: ActionFields,
    /// Whether it is in use.
    #[serde(default = "yes")]
    enabled: bool,
    /// Whatever else is worth knowing.
    #[serde(default)]
    notes: String,
}

const fn yes() -> bool {
    true
}

/// Which calls a rule is for: all conditions hold together, and null holds always. Patterns are
/// regular expressions that have to match the whole text, without regard to case.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DialRuleMatch)]
pub struct MatchFields {
    /// The id of the trunk that a call comes from.
    trunk: Option<String>,
    /// A pattern of who calls: the user, with `@` and the host where that is not ours.
    calling: Option<String>,
    /// A pattern of who is called, in the same form.
    called: Option<String>,
    /// What carries the signalling.
    #[schema(schema_with = words::any_transport)]
    transport: Option<Transport>,
    /// Whether a registered device calls.
    registered: Option<bool>,
}

/// Where a call goes. In a text, `$0` stands for the whole of what was called, `$1` to `$9` for the
/// groups of the pattern, and `$$` for a dollar.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = DialRuleAction)]
pub enum ActionFields {
    /// Into a meeting.
    Meeting {
        /// Its alias or number.
        meeting: String,
    },
    /// To the voice that asks for a meeting's number.
    Ivr {},
    /// Over a trunk.
    Trunk {
        /// The trunk's id.
        trunk: String,
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
        /// Why, as the caller is told.
        #[serde(default)]
        #[schema(schema_with = words::cause)]
        cause: Cause,
    },
}

impl From<Action> for ActionFields {
    fn from(action: Action) -> Self {
        match action {
            Action::Meeting { meeting } => Self::Meeting { meeting },
            Action::Ivr => Self::Ivr {},
            Action::Trunk { trunk, called } => Self::Trunk { trunk: trunk.to_string(), called },
            Action::Device { extension } => Self::Device { extension },
            Action::Reject { cause } => Self::Reject { cause },
        }
    }
}

impl From<ActionFields> for Action {
    fn from(action: ActionFields) -> Self {
        match action {
            ActionFields::Meeting { meeting } => Self::Meeting { meeting },
            ActionFields::Ivr {} => Self::Ivr,
            ActionFields::Trunk { trunk, called } => {
                Self::Trunk { trunk: RecordId::new(trunk), called }
            }
            ActionFields::Device { extension } => Self::Device { extension },
            ActionFields::Reject { cause } => Self::Reject { cause },
        }
    }
}

impl Shown for DialRule {
    const PATH: &'static str = "dial-rules";
    const WORDS: (&'static str, &'static str) = ("dial_rule", "dial_rules");
    const SCHEMA: &'static str = "DialRule";
    const TAG: &'static str = "telephony";
    const READ: Right = Right::TelephonyRead;
    const WRITE: Right = Right::TelephonyWrite;
    const WHOLE: &'static [&'static str] = &["action"];

    type Fields = Fields;

    fn fields(&self) -> Fields {
        let Self { order, name, direction, matches, action, enabled, notes } = self.clone();
        let Match { trunk, calling, called, transport, registered } = matches;
        let trunk = trunk.map(|it| it.to_string());
        let matches = MatchFields { trunk, calling, called, transport, registered };
        Fields { order, name, direction, matches, action: action.into(), enabled, notes }
    }

    fn read(fields: Fields, _: Option<&Self>, _: &dyn Vault) -> Result<Self, KeptError> {
        let Fields { order, name, direction, matches, action, enabled, notes } = fields;
        let MatchFields { trunk, calling, called, transport, registered } = matches;
        let trunk = trunk.map(RecordId::new);
        let matches = Match { trunk, calling, called, transport, registered };
        Ok(Self { order, name, direction, matches, action: action.into(), enabled, notes })
    }

    fn place(&self) -> Option<u32> {
        Some(self.order)
    }
}
