//! The address book.

use serde::{Deserialize, Serialize};

use super::address::CallAddress;
use super::{MAX_NAME, MAX_NOTES};
use crate::problem::Problems;
use crate::store::{Entity, Key, Kind};

/// An entry of the address book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// As people know it.
    pub name: String,
    /// Where it is called.
    pub address: CallAddress,
    /// Under which heading it stands; empty: under none.
    #[serde(default)]
    pub group: String,
    /// Whatever else is worth knowing.
    #[serde(default)]
    pub notes: String,
}

impl Contact {
    /// The key of its address; two people may share one telephone.
    pub const ADDRESS: &'static str = "address";
    /// The key of its group.
    pub const GROUP: &'static str = "group";

    /// Everything that is wrong with it.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::new();
        problems.line("name", &self.name, MAX_NAME);
        problems.optional_line("group", &self.group, MAX_NAME);
        problems.text("notes", &self.notes, MAX_NOTES);
        problems
    }

    /// The form in which a group is looked for.
    pub fn group_key(group: &str) -> String {
        group.to_lowercase()
    }
}

impl Entity for Contact {
    const KIND: Kind = Kind::Contact;

    fn keys(&self) -> Vec<Key> {
        let address = Key::shared(Self::ADDRESS, self.address.as_str().to_lowercase());
        let group = Key::shared(Self::GROUP, Self::group_key(&self.group));
        std::iter::once(address).chain((!self.group.is_empty()).then_some(group)).collect()
    }

    fn search_text(&self) -> String {
        format!("{} {} {} {}", self.name, self.address, self.group, self.notes)
    }

    fn title(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::testing::brief;

    #[test]
    fn an_entry_has_a_name_and_an_address_that_can_be_called() {
        let text = r#"{"name":"Филиал","address":"sip:Hall@pbx","group":"Города"}"#;
        let contact: Contact = serde_json::from_str(text).unwrap();
        assert_eq!(brief(&contact.problems()), [""; 0]);
        assert_eq!(
            contact.keys(),
            [Key::shared("address", "sip:hall@pbx"), Key::shared("group", "города")]
        );
        let bad =
            Contact { name: String::new(), group: "a\n".into(), notes: "\u{7}".into(), ..contact };
        assert_eq!(brief(&bad.problems()), ["name required", "group format", "notes format"]);
        assert!(serde_json::from_str::<Contact>(r#"{"name":"x","address":"a b"}"#).is_err());
    }
}
