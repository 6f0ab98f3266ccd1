//! Who may do what: one table, from which the API's checks, the documentation and the test of every
//! endpoint with every role are made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRole {
    /// Configures everything.
    Administrator,
    /// Sees everything that runs and steers it; configures nothing.
    Operator,
    /// Reads the audit log, no more.
    Auditor,
    /// Makes meetings for others to come to.
    Organiser,
    /// Takes part, and has a personal room.
    User,
}

/// Something that may be allowed or not. Its word is the scope of an API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Right {
    /// See and change oneself: profile, password, sessions, tokens.
    Own,
    /// See accounts and groups.
    AccountsRead,
    /// Make, change and remove accounts and groups; end others' sessions.
    AccountsWrite,
    /// See keys of applications, without their secrets.
    KeysRead,
    /// Make, rotate and remove keys of applications.
    KeysWrite,
    /// See one's own meetings.
    MeetingsOwn,
    /// Make, change and remove one's own meetings.
    MeetingsOwnWrite,
    /// Change one's own personal room.
    MeetingsPersonal,
    /// See everybody's meetings.
    MeetingsRead,
    /// Make, change and remove everybody's meetings, and templates.
    MeetingsWrite,
    /// See running meetings, participants and calls.
    LiveRead,
    /// Steer running meetings.
    LiveSteer,
    /// See room systems, trunks and dial rules.
    TelephonyRead,
    /// Make, change and remove room systems, trunks and dial rules.
    TelephonyWrite,
    /// See the address book.
    ContactsRead,
    /// Change the address book.
    ContactsWrite,
    /// See past meetings.
    HistoryRead,
    /// Read and verify the audit log.
    AuditRead,
    /// See and change the server's own state: webhooks, backups.
    ServerWrite,
}

use AccountRole::{Administrator, Auditor, Operator, Organiser, User};

/// A right, its scope, what it lets do, and which roles have it.
pub type Row = (Right, &'static str, &'static str, &'static [AccountRole]);

/// The table.
pub const TABLE: &[Row] = &[
    (
        Right::Own,
        "own",
        "see and change oneself: profile, password, sessions, tokens",
        &[Administrator, Operator, Auditor, Organiser, User],
    ),
    (Right::AccountsRead, "accounts.read", "see accounts and groups", &[Administrator, Operator]),
    (
        Right::AccountsWrite,
        "accounts.write",
        "make, change and remove accounts and groups; end others' sessions",
        &[Administrator],
    ),
    (Right::KeysRead, "keys.read", "see keys of applications, without secrets", &[Administrator]),
    (
        Right::KeysWrite,
        "keys.write",
        "make, rotate and remove keys of applications",
        &[Administrator],
    ),
    (
        Right::MeetingsOwn,
        "meetings.own.read",
        "see one's own meetings",
        &[Administrator, Operator, Organiser, User],
    ),
    (
        Right::MeetingsOwnWrite,
        "meetings.own.write",
        "make, change and remove one's own meetings",
        &[Administrator, Organiser],
    ),
    (
        Right::MeetingsPersonal,
        "meetings.personal.write",
        "change one's own personal room",
        &[Administrator, Operator, Organiser, User],
    ),
    (Right::MeetingsRead, "meetings.read", "see everybody's meetings", &[Administrator, Operator]),
    (
        Right::MeetingsWrite,
        "meetings.write",
        "make, change and remove everybody's meetings, and templates",
        &[Administrator],
    ),
    (
        Right::LiveRead,
        "live.read",
        "see running meetings, participants and calls",
        &[Administrator, Operator],
    ),
    (Right::LiveSteer, "live.steer", "steer running meetings", &[Administrator, Operator]),
    (
        Right::TelephonyRead,
        "telephony.read",
        "see room systems, trunks and dial rules",
        &[Administrator, Operator],
    ),
    (
        Right::TelephonyWrite,
        "telephony.write",
        "make, change and remove room systems, trunks and dial rules",
        &[Administrator],
    ),
    (
        Right::ContactsRead,
        "contacts.read",
        "see the address book",
        &[Administrator, Operator, Organiser, User],
    ),
    (Right::ContactsWrite, "contacts.write", "change the address book", &[Administrator]),
    (Right::HistoryRead, "history.read", "see past meetings", &[Administrator, Operator]),
    (Right::AuditRead, "audit.read", "read and verify the audit log", &[Administrator, Auditor]),
    (
        Right::ServerWrite,
        "server.write",
        "see and change the server's own state: webhooks, backups",
        &[Administrator],
    ),
];

/// A word is none of those known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

impl AccountRole {
    /// Every role, the mightiest first.
    pub const ALL: [Self; 5] = [Administrator, Operator, Auditor, Organiser, User];

    /// Whether accounts of this role have the right.
    pub fn has(self, right: Right) -> bool {
        TABLE.iter().any(|(it, _, _, roles)| *it == right && roles.contains(&self))
    }

    /// Its word in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Administrator => "administrator",
            Operator => "operator",
            Auditor => "auditor",
            Organiser => "organiser",
            User => "user",
        }
    }
}

impl Right {
    /// The scope by which an API token has it.
    pub fn scope(self) -> &'static str {
        TABLE.iter().find(|it| it.0 == self).map_or("", |it| it.1)
    }
}

impl fmt::Display for AccountRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope())
    }
}

impl FromStr for AccountRole {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let known = || Self::ALL.map(Self::word).join(", ");
        let role = Self::ALL.into_iter().find(|it| it.word() == word);
        role.ok_or_else(|| UnknownWord { word: word.to_owned(), known: known() })
    }
}

impl FromStr for Right {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let known = || TABLE.iter().map(|it| it.1).collect::<Vec<_>>().join(", ");
        let right = TABLE.iter().find(|it| it.1 == word).map(|it| it.0);
        right.ok_or_else(|| UnknownWord { word: word.to_owned(), known: known() })
    }
}

/// The table for people, Markdown: a row for each right, a column for each role.
pub fn markdown() -> String {
    let mut text = String::from("| scope | lets |");
    for role in AccountRole::ALL {
        text.push_str(&format!(" {role} |"));
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(AccountRole::ALL.len()));
    for (_, scope, lets, roles) in TABLE {
        text.push_str(&format!("\n| `{scope}` | {lets} |"));
        for role in AccountRole::ALL {
            text.push_str(if roles.contains(&role) { " yes |" } else { " |" });
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_stands_in_the_table_once_and_administrators_have_all() {
        for (index, (right, scope, ..)) in TABLE.iter().enumerate() {
            assert!(Administrator.has(*right), "{scope}");
            assert_eq!(scope.parse(), Ok(*right));
            let again = TABLE.iter().position(|it| it.0 == *right || it.1 == *scope);
            assert_eq!(again, Some(index), "{scope} stands twice");
        }
    }

    #[test]
    fn the_documentation_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/people.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once("<!-- rights -->\n").unwrap();
        let (table, after) = rest.split_once("<!-- /rights -->").unwrap();
        if std::env::var_os("PLENUM_WRITE_DOCS").is_some() {
            let table = markdown();
            let text = format!("{before}<!-- rights -->\n{table}<!-- /rights -->{after}");
            std::fs::write(path, text).unwrap();
            return;
        }
        assert_eq!(table, markdown(), "run it again with PLENUM_WRITE_DOCS=1");
    }

    #[test]
    fn roles_are_as_narrow_as_they_are_called() {
        let rights = |role: AccountRole| -> Vec<&str> {
            TABLE.iter().filter(|it| it.3.contains(&role)).map(|it| it.1).collect()
        };
        assert_eq!(rights(Auditor), ["own", "audit.read"]);
        let room = "meetings.personal.write";
        assert_eq!(rights(User), ["own", "meetings.own.read", room, "contacts.read"]);
        let configures = |it: &&str| it.ends_with(".write") && *it != room;
        assert_eq!(rights(Operator).iter().find(|it| configures(it)), None);
        assert!("root".parse::<AccountRole>().is_err());
    }
}
