//! People of the house: their accounts, what they may do, and how they show who they are.
//!
//! Nothing here reads a clock: whoever asks brings the time along.

mod account;
mod accounts;
mod backoff;
mod code;
mod group;
pub mod password;
mod principal;
pub mod rights;
mod session;
mod sign_in;
mod tokens;
mod vault;

use std::sync::{Arc, Mutex};

pub use account::{
    Account, AccountError, PasswordHash, SecondFactor, account_name, display_name, email,
};
pub use accounts::{AccountChange, FirstPassword, NewAccount};
pub use code::StartedFactor;
pub use group::Group;
pub use password::PasswordError;
pub use principal::{Credential, Denied, Principal};
pub use rights::{AccountRole, Right, UnknownWord};
pub use session::{ApiToken, Session, csrf_token, digest_of, new_secret};
pub use sign_in::{SignIn, SignInError, SignedIn};
pub use tokens::NewToken;
pub use vault::{CodeSecret, Vault, VaultError};

use types::Timestamp;

use crate::store::{Records, StoreError};
use backoff::Backoff;

/// Why something about people was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// The store says no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing secret can be computed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A text cannot be taken.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// There is no account of this name.
    #[error("there is no account `{0}`")]
    NoAccount(String),
    /// A password cannot be taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The password that was given along is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// The one-time code that was given along is wrong.
    #[error("the code is wrong: look at the device's clock, and use each code once")]
    WrongCode,
    /// There is no such second factor to confirm or remove.
    #[error("no second factor was begun: begin one first")]
    NoFactor,
    /// There is a second factor already.
    #[error("there is a second factor already: remove it first")]
    FactorStands,
    /// Nobody could configure the server any more.
    #[error("this is the last administrator who can sign in: make another one first")]
    LastAdministrator,
    /// A token may not have more rights than its account.
    #[error("the scope `{0}` is none that the account has")]
    Scope(String),
    /// An account has as many tokens as it may.
    #[error("an account has at most {0} tokens: remove one first")]
    TooManyTokens(usize),
    /// A token needs a name and an end in the future.
    #[error("{0}")]
    Token(&'static str),
    /// Too many wrong tries before.
    #[error("too many wrong tries: the next one is allowed in {0} s")]
    Wait(u64),
}

/// Accounts, sessions and tokens. Clones are the same.
#[derive(Clone, Debug)]
pub struct People {
    records: Records,
    vault: Arc<dyn Vault>,
    backoff: Arc<Mutex<Backoff>>,
}

impl People {
    /// People of this store, whose secrets this vault computes.
    pub fn new(records: Records, vault: Arc<dyn Vault>) -> Self {
        Self { records, vault, backoff: Arc::default() }
    }

    /// Where they are kept.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What computes secrets.
    pub fn vault(&self) -> &Arc<dyn Vault> {
        &self.vault
    }

    /// Counts a try under a name as wrong until it proves right, so that tries at the same moment
    /// count too. Says how many in a row that makes, or how many seconds the next has to wait.
    fn charge(&self, name: &str, now: Timestamp) -> Result<u32, u64> {
        let mut backoff = self.backoff();
        let wait = backoff.wait(name, now);
        if wait.is_zero() { Ok(backoff.failed(name, now)) } else { Err(wait.as_secs() + 1) }
    }

    fn backoff(&self) -> std::sync::MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
