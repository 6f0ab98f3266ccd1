//! `/api/v1/groups`: accounts that are meant together.

use conference::kept::KeptError;
use conference::people::{Group, Right, Vault};
use serde::{Deserialize, Serialize};
use types::RecordId;
use utoipa::ToSchema;

use crate::kept::Shown;

/// A group of accounts.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GroupFields)]
pub struct Fields {
    /// As people know it, 100 characters at most; no two groups have the same.
    name: String,
    /// What it is for.
    #[serde(default)]
    description: String,
    /// The ids of the accounts in it.
    #[serde(default)]
    members: Vec<String>,
}

impl Shown for Group {
    const PATH: &'static str = "groups";
    const WORDS: (&'static str, &'static str) = ("group", "groups");
    const SCHEMA: &'static str = "Group";
    const TAG: &'static str = "accounts";
    const READ: Right = Right::AccountsRead;
    const WRITE: Right = Right::AccountsWrite;

    type Fields = Fields;

    fn fields(&self) -> Fields {
        let members = self.members.iter().map(ToString::to_string).collect();
        Fields { name: self.name.clone(), description: self.description.clone(), members }
    }

    fn read(fields: Fields, _: Option<&Self>, _: &dyn Vault) -> Result<Self, KeptError> {
        let Fields { name, description, members } = fields;
        Ok(Self { name, description, members: members.into_iter().map(RecordId::new).collect() })
    }
}
