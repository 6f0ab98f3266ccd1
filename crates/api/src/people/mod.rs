//! Signing in, and the accounts of the house.

pub mod accounts;
mod groups;
pub mod session;
pub mod sessions;
pub mod tokens;

use conference::people::{Account, AccountRole};
use conference::store::Found;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::wire::written;

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Configures everything.
    Administrator,
    /// Sees everything that runs and steers it; configures nothing.
    Operator,
    /// Reads the audit log, no more.
    Auditor,
    /// Makes meetings for others to come to.
    Organiser,
    /// Takes part.
    User,
}

impl From<Role> for AccountRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Administrator => Self::Administrator,
            Role::Operator => Self::Operator,
            Role::Auditor => Self::Auditor,
            Role::Organiser => Self::Organiser,
            Role::User => Self::User,
        }
    }
}

impl From<AccountRole> for Role {
    fn from(role: AccountRole) -> Self {
        match role {
            AccountRole::Administrator => Self::Administrator,
            AccountRole::Operator => Self::Operator,
            AccountRole::Auditor => Self::Auditor,
            AccountRole::Organiser => Self::Organiser,
            AccountRole::User => Self::User,
        }
    }
}

/// A person of the house.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountAnswer {
    id: String,
    /// What they sign in with.
    name: String,
    /// What others see.
    display_name: String,
    /// Where invitations go.
    email: Option<String>,
    role: Role,
    /// Whether they are kept out.
    disabled: bool,
    /// Whether they have to choose a password before anything else.
    must_change_password: bool,
    /// Whether a one-time code is asked for at sign-in.
    second_factor: bool,
    /// Recovery codes that are left.
    recovery_codes_left: usize,
    #[schema(format = DateTime)]
    signed_in_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    changed_at: String,
}

impl From<Found<Account>> for AccountAnswer {
    fn from(found: Found<Account>) -> Self {
        let account = found.entity;
        let second_factor = account.asks_for_code();
        let left = account.second_factor.as_ref().map_or(0, |it| it.recovery.len());
        Self {
            id: found.id.to_string(),
            name: account.name,
            display_name: account.display_name,
            email: account.email,
            role: account.role.into(),
            disabled: account.disabled,
            must_change_password: account.must_change_password,
            second_factor,
            recovery_codes_left: left,
            signed_in_at: account.signed_in_at.map(written),
            created_at: written(found.created_at),
            changed_at: written(found.changed_at),
        }
    }
}
