//! Signing in, and recognising who did.

use std::net::IpAddr;

use types::{RecordId, Timestamp};

use super::session::SEEN_STEP;
use super::{
    Account, ApiToken, Credential, People, Principal, Session, VaultError, account_name,
    csrf_token, digest_of, new_secret,
};
use crate::store::{Act, Actor, ActorKind, Batch, Found, Kind, Outcome, StoreError, Target};

/// The longest name of a browser that is kept, in characters.
const MAX_USER_AGENT: usize = 200;

/// What somebody shows to sign in.
// No Debug: a password must not be printed by accident.
#[derive(Clone)]
pub struct SignIn<'a> {
    /// The account's name.
    pub name: &'a str,
    /// The password.
    pub password: &'a str,
    /// A one-time code or a recovery code, for who has a second factor.
    pub code: Option<&'a str>,
    /// From where.
    pub from: Option<IpAddr>,
    /// What the browser calls itself.
    pub user_agent: &'a str,
}

/// Somebody signed in.
// No Debug: it holds the secret.
#[derive(Clone)]
pub struct SignedIn {
    /// What the browser shows from now on.
    pub secret: String,
    /// What its page sends along with every change.
    pub csrf: String,
    /// The session.
    pub session: RecordId,
    /// Who it is.
    pub account: Found<Account>,
}

/// Why somebody is not signed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Name or password; which of them is not said.
    #[error("the name or the password is wrong")]
    Wrong,
    /// The password is right; the account asks for a code too.
    #[error("this account asks for a one-time code too")]
    CodeRequired,
    /// The password is right, the code is not.
    #[error("the code is wrong: look at the device's clock, and use each code once")]
    WrongCode,
    /// Too many wrong tries before.
    #[error("too many wrong tries: the next one is allowed in {0} s")]
    Wait(u64),
    /// It cannot be told now.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It cannot be told now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl People {
    /// Signs somebody in with name and password. Every try stands in the audit log.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn sign_in(
        &self,
        shown: SignIn<'_>,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        // A name that cannot be is counted and answered like one that is not.
        let name = account_name(shown.name).unwrap_or_default();
        let count = self.charge(&name, now).map_err(SignInError::Wait)?;
        let account = self.records.find::<Account>(Account::NAME, &name).await?;
        match self.check(account.as_ref(), &shown, now).await {
            Ok(account) => {
                self.backoff().succeeded(&name);
                self.begin_session(account, &shown, now).await
            }
            Err(error @ (SignInError::Wrong | SignInError::WrongCode)) => {
                let act = refused(account.as_ref(), &name, &shown, &error, count, now);
                self.records.write(Batch::new(act), now).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The account as it has to be kept once it is signed in.
    async fn check(
        &self,
        account: Option<&Found<Account>>,
        shown: &SignIn<'_>,
        now: Timestamp,
    ) -> Result<Found<Account>, SignInError> {
        let hash = account.and_then(|it| it.entity.password.as_ref());
        let right = self.vault.verify(shown.password, hash.map(|it| it.0.as_str())).await?;
        let account = account.filter(|it| right && !it.entity.disabled);
        let mut account = account.cloned().ok_or(SignInError::Wrong)?;
        if account.entity.asks_for_code() {
            let code = shown.code.map(str::trim).filter(|it| !it.is_empty());
            let code = code.ok_or(SignInError::CodeRequired)?;
            if !self.take_code(&mut account.entity, code, now)? {
                return Err(SignInError::WrongCode);
            }
        }
        Ok(account)
    }

    async fn begin_session(
        &self,
        mut account: Found<Account>,
        shown: &SignIn<'_>,
        now: Timestamp,
    ) -> Result<SignedIn, SignInError> {
        account.entity.signed_in_at = Some(now);
        let secret = new_secret("");
        let session = Session {
            account: account.id.clone(),
            digest: digest_of(&secret),
            began_at: now,
            seen_at: now,
            address: shown.from,
            user_agent: shown.user_agent.chars().take(MAX_USER_AGENT).collect(),
        };
        let id = self.records.new_id(now);
        let principal = principal(&account, Credential::Session(id.clone()), shown.from);
        let target = Target::record(Kind::Session, &id, "");
        let batch = Batch::new(principal.act("session.begin", target, now))
            // With its version: a code that another sign-in took at this moment is not taken twice.
            .update(&account.id, Some(account.version), &account.entity)
            .insert(&id, &session);
        self.records.write(batch, now).await?;
        account.version += 1;
        let csrf = csrf_token(&secret);
        Ok(SignedIn { secret, csrf, session: id, account })
    }

    /// Who has the session of this secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_session(
        &self,
        secret: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<Principal>, StoreError> {
        let digest = digest_of(secret);
        let Some(found) = self.records.find::<Session>(Session::DIGEST, &digest).await? else {
            return Ok(None);
        };
        let (id, mut session) = (found.id, found.entity);
        if session.ends_at() <= now {
            return Ok(None);
        }
        let account = self.records.get::<Account>(&session.account).await?;
        let Some(account) = account.filter(|it| !it.entity.disabled) else { return Ok(None) };
        if now.since(session.seen_at) >= SEEN_STEP {
            session.seen_at = now;
            // Another request may have ended it at this moment: then there is nothing to note.
            let _ = self.records.write(Batch::silent().update(&id, None, &session), now).await;
        }
        Ok(Some(principal(&account, Credential::Session(id), from)))
    }

    /// Who has the API token of this secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_token(
        &self,
        secret: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<Principal>, StoreError> {
        if !secret.starts_with(ApiToken::PREFIX) {
            return Ok(None);
        }
        let digest = digest_of(secret);
        let Some(found) = self.records.find::<ApiToken>(ApiToken::DIGEST, &digest).await? else {
            return Ok(None);
        };
        let (id, mut token) = (found.id, found.entity);
        if token.ends_at.is_some_and(|it| it <= now) {
            return Ok(None);
        }
        let account = self.records.get::<Account>(&token.account).await?;
        let Some(account) = account.filter(|it| !it.entity.disabled) else { return Ok(None) };
        let credential = Credential::Token(id.clone(), token.rights());
        if token.used_at.is_none_or(|it| now.since(it) >= SEEN_STEP) {
            (token.used_at, token.used_from) = (Some(now), from);
            let _ = self.records.write(Batch::silent().update(&id, None, &token), now).await;
        }
        Ok(Some(principal(&account, credential, from)))
    }

    /// Ends a session, its own or another's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_session(
        &self,
        who: &Principal,
        id: &RecordId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let act = who.act("session.end", Target::record(Kind::Session, id, ""), now);
        self.records.write(Batch::new(act).delete::<Session>(id, None), now).await
    }
}

fn principal(account: &Found<Account>, credential: Credential, from: Option<IpAddr>) -> Principal {
    Principal {
        account: account.id.clone(),
        name: account.entity.name.clone(),
        role: account.entity.role,
        must_change_password: account.entity.must_change_password,
        credential,
        from,
    }
}

/// A wrong try, for the audit log. The name that was given is kept only where there is such an
/// account: people type passwords into the wrong field.
fn refused(
    account: Option<&Found<Account>>,
    name: &str,
    shown: &SignIn<'_>,
    error: &SignInError,
    count: u32,
    now: Timestamp,
) -> Act {
    let actor = match account {
        Some(account) => {
            Actor { kind: ActorKind::Nobody, id: account.id.to_string(), name: name.to_owned() }
        }
        None => Actor::nobody(""),
    };
    let why = match (error, account) {
        (SignInError::WrongCode, _) => "wrong code",
        (_, Some(account)) if account.entity.disabled => "the account is disabled",
        (_, Some(_)) => "wrong password",
        (_, None) => "no such account",
    };
    Act {
        at: now,
        actor,
        action: "session.begin".to_owned(),
        target: Target::default(),
        from: shown.from,
        outcome: Outcome::Refused,
        detail: serde_json::json!({ "why": why, "in_a_row": count }).to_string(),
    }
}
