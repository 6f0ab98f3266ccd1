//! Groups of accounts.

use serde::{Deserialize, Serialize};
use types::RecordId;

use crate::problem::{ProblemCode, Problems};
use crate::store::{Entity, Key, Kind};

/// Accounts that are meant together, such as a department.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As people know it; unique without regard to case.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The accounts in it.
    #[serde(default)]
    pub members: Vec<RecordId>,
}

impl Group {
    /// Characters of a name.
    pub const MAX_NAME: usize = 100;
    /// Characters of a description.
    pub const MAX_DESCRIPTION: usize = 1000;
    /// Accounts in one group.
    pub const MAX_MEMBERS: usize = 10_000;

    /// The key of its name.
    pub const NAME: &'static str = "name";
    /// The key of each account in it.
    pub const MEMBER: &'static str = "member";

    /// The form in which a name is looked for.
    pub fn name_key(name: &str) -> String {
        name.to_lowercase()
    }

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        problems.line("name", &self.name, Self::MAX_NAME);
        problems.text("description", &self.description, Self::MAX_DESCRIPTION);
        if problems.count("members", self.members.len(), Self::MAX_MEMBERS) {
            problems.distinct("members", &self.members);
            for (index, member) in self.members.iter().enumerate() {
                if member.as_str().is_empty() || member.as_str().len() > MAX_ID {
                    let field = format!("members[{index}]");
                    problems.add(field, ProblemCode::Unknown, "give the id of an account");
                }
            }
        }
        problems
    }
}

/// A UUID has 36.
const MAX_ID: usize = 64;

impl Entity for Group {
    const KIND: Kind = Kind::Group;

    fn keys(&self) -> Vec<Key> {
        let members = self.members.iter().map(|it| Key::shared(Self::MEMBER, it.as_str()));
        let name = Key::unique(Self::NAME, Self::name_key(&self.name));
        std::iter::once(name).chain(members).collect()
    }

    fn search_text(&self) -> String {
        format!("{} {}", self.name, self.description)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    fn group() -> Group {
        Group {
            name: "Совет".into(),
            description: String::new(),
            members: ["a", "b"].map(RecordId::new).to_vec(),
        }
    }

    #[test]
    fn a_group_is_found_by_its_name_and_by_each_member() {
        let keys = group().keys();
        assert_eq!(keys[0], Key::unique("name", "совет"));
        assert_eq!(keys[1..], [Key::shared("member", "a"), Key::shared("member", "b")]);
        assert_eq!(group().title(), "Совет");
    }

    #[test]
    fn all_that_is_wrong_with_a_group_is_told() {
        assert_eq!(brief(&group().problems()), [""; 0]);
        let bad = Group {
            name: String::new(),
            description: "x".repeat(1001),
            members: ["a", "", "a"].map(RecordId::new).to_vec(),
        };
        let told = ["name required", "description too_long", "members[2] duplicate"];
        assert_eq!(brief(&bad.problems())[..3], told);
        assert_eq!(brief(&bad.problems())[3..], ["members[1] unknown"]);
        let many = Group { members: vec![RecordId::new("a"); 10_001], ..group() };
        assert_eq!(brief(&many.problems()), ["members too_many"]);
    }

    #[test]
    fn an_older_record_without_later_fields_is_read() {
        let group: Group = serde_json::from_str(r#"{"name":"it"}"#).unwrap();
        assert!(group.members.is_empty() && group.description.is_empty());
    }
}
