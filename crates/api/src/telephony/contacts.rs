//! `/api/v1/contacts`: the address book.

use conference::kept::KeptError;
use conference::people::{Right, Vault};
use conference::problem::Problems;
use conference::telephony::Contact;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::kept::{Shown, parsed};

/// An entry of the address book.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContactFields)]
pub struct Fields {
    /// As people know it, 100 characters at most.
    name: String,
    /// Where it is called, such as sip:hall@pbx.example.org or +74951234567.
    address: String,
    /// Under which heading it stands; empty: under none.
    #[serde(default)]
    group: String,
    /// Whatever else is worth knowing.
    #[serde(default)]
    notes: String,
}

impl Shown for Contact {
    const PATH: &'static str = "contacts";
    const WORDS: (&'static str, &'static str) = ("contact", "contacts");
    const SCHEMA: &'static str = "Contact";
    const TAG: &'static str = "contacts";
    const READ: Right = Right::ContactsRead;
    const WRITE: Right = Right::ContactsWrite;

    type Fields = Fields;

    fn fields(&self) -> Fields {
        let Self { name, address, group, notes } = self.clone();
        Fields { name, address: address.to_string(), group, notes }
    }

    fn read(fields: Fields, _: Option<&Self>, _: &dyn Vault) -> Result<Self, KeptError> {
        let Fields { name, address, group, notes } = fields;
        let mut problems = Problems::new();
        match parsed(&address, "address", &mut problems) {
            Some(address) => Ok(Self { name, address, group, notes }),
            None => Err(problems.into()),
        }
    }
}
