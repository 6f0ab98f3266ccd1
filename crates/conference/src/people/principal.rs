//! Who asks, as far as it is known.

use std::net::IpAddr;

use types::{RecordId, Timestamp};

use super::{AccountRole, Right};
use crate::store::{Act, Actor, ActorKind, Outcome, Target};

/// By what an account was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A browser's session.
    Session(RecordId),
    /// An API token, with what it may at most.
    Token(RecordId, Vec<Right>),
}

/// An account that asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub account: RecordId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: AccountRole,
    /// Whether it may do nothing but choose a password.
    pub must_change_password: bool,
    /// By what it was recognised.
    pub credential: Credential,
    /// From where it asks.
    pub from: Option<IpAddr>,
}

/// Why somebody may not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A password has to be chosen first.
    #[error("choose a password of your own first")]
    PasswordFirst,
    /// The role does not have the right.
    #[error("this needs the right `{0}`, which the account's role does not have")]
    Role(Right),
    /// The token does not have the scope.
    #[error("this needs the scope `{0}`, which the token does not have")]
    Scope(Right),
}

impl Principal {
    /// Whether it has this right.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may(&self, right: Right) -> Result<(), Denied> {
        if !self.role.has(right) {
            return Err(Denied::Role(right));
        }
        if let Credential::Token(_, rights) = &self.credential
            && !rights.contains(&right)
        {
            return Err(Denied::Scope(right));
        }
        if self.must_change_password {
            return Err(Denied::PasswordFirst);
        }
        Ok(())
    }

    /// Whether it has this right.
    pub fn has(&self, right: Right) -> bool {
        self.may(right).is_ok()
    }

    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        Actor { kind: ActorKind::Account, id: self.account.to_string(), name: self.name.clone() }
    }

    /// An act of its own that is done.
    pub fn act(&self, action: &str, target: Target, now: Timestamp) -> Act {
        Act {
            at: now,
            actor: self.actor(),
            action: action.to_owned(),
            target,
            from: self.from,
            outcome: Outcome::Done,
            detail: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(role: AccountRole, credential: Credential) -> Principal {
        Principal {
            account: RecordId::new("a"),
            name: "anna".into(),
            role,
            must_change_password: false,
            credential,
            from: None,
        }
    }

    #[test]
    fn a_token_may_no_more_than_its_scopes_and_its_account() {
        let scopes = vec![Right::AccountsRead, Right::AuditRead];
        let token = Credential::Token(RecordId::new("t"), scopes);
        let operator = principal(AccountRole::Operator, token);
        assert_eq!(operator.may(Right::AccountsRead), Ok(()));
        assert_eq!(operator.may(Right::AuditRead), Err(Denied::Role(Right::AuditRead)));
        assert_eq!(operator.may(Right::LiveRead), Err(Denied::Scope(Right::LiveRead)));
    }

    #[test]
    fn nothing_is_allowed_before_the_first_password_is_changed() {
        let session = Credential::Session(RecordId::new("s"));
        let mut admin = principal(AccountRole::Administrator, session);
        assert_eq!(admin.may(Right::AccountsWrite), Ok(()));
        admin.must_change_password = true;
        assert_eq!(admin.may(Right::Own), Err(Denied::PasswordFirst));
    }
}
