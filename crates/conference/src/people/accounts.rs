//! Making, changing and removing accounts.

use types::{RecordId, Timestamp};

use super::session::new_secret;
use super::{
    Account, AccountRole, ApiToken, Credential, Group, PasswordError, PasswordHash, People,
    PeopleError, Principal, Session, account_name, display_name, email, password,
};
use crate::store::{Act, Actor, Batch, Entity, Found, Kind, Outcome, Search, StoreError, Target};

/// The name of the first account.
const FIRST_NAME: &str = "admin";
/// Characters of a password that the server makes: 119 bits.
const MADE_CHARS: usize = 20;

/// An account to be made.
// No Debug: it holds a password.
#[derive(Clone, Default)]
pub struct NewAccount {
    /// What they sign in with.
    pub name: String,
    /// What others see; the name if left out.
    pub display_name: Option<String>,
    /// Where invitations go.
    pub email: Option<String>,
    /// What they are; a user if left out.
    pub role: Option<AccountRole>,
    /// A password, which they have to change; left out, one is made.
    pub password: Option<String>,
}

/// What is changed of an account; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// What others see.
    pub display_name: Option<String>,
    /// Where invitations go; an empty text removes it.
    pub email: Option<String>,
    /// What they are.
    pub role: Option<AccountRole>,
    /// Whether they are kept out.
    pub disabled: Option<bool>,
}

/// A password that is shown once.
// No Debug: it is one.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstPassword(pub String);

impl People {
    /// Makes the first administrator where there is no account at all, and gives its password, which
    /// has to be changed at the first sign-in.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn first_start(
        &self,
        now: Timestamp,
    ) -> Result<Option<(String, FirstPassword)>, PeopleError> {
        let some = Search { limit: 1, ..Search::default() };
        if !self.records.list::<Account>(&some).await?.items.is_empty() {
            return Ok(None);
        }
        let (mut account, secret) = (
            Account::new(FIRST_NAME.into(), "Administrator".into(), AccountRole::Administrator),
            made_password(),
        );
        account.password = Some(PasswordHash(self.vault.hash(&secret).await?));
        account.must_change_password = true;
        let id = self.records.new_id(now);
        let act = Act {
            at: now,
            actor: Actor::server(),
            action: "account.create".to_owned(),
            target: Target::record(Kind::Account, &id, FIRST_NAME),
            from: None,
            outcome: Outcome::Done,
            detail: String::new(),
        };
        match self.records.write(Batch::new(act).insert(&id, &account), now).await {
            Ok(()) => Ok(Some((FIRST_NAME.to_owned(), FirstPassword(secret)))),
            // Another server of the same database was faster.
            Err(StoreError::Taken { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an account. Its password has to be changed at the first sign-in; one that was made here
    /// comes back.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn create_account(
        &self,
        who: &Principal,
        new: NewAccount,
        now: Timestamp,
    ) -> Result<(Found<Account>, Option<FirstPassword>), PeopleError> {
        let name = account_name(&new.name)?;
        let shown = display_name(new.display_name.as_deref().unwrap_or(&new.name))?;
        let mut account = Account::new(name, shown, new.role.unwrap_or(AccountRole::User));
        account.email = new.email.as_deref().map(email).transpose()?;
        let made = match &new.password {
            Some(given) => {
                password::check(given, &names_of(&account))?;
                None
            }
            None => Some(made_password()),
        };
        let clear = made.as_ref().or(new.password.as_ref());
        if let Some(clear) = clear {
            account.password = Some(PasswordHash(self.vault.hash(clear).await?));
        }
        account.must_change_password = true;
        let id = self.records.new_id(now);
        let act = who.act("account.create", Target::record(Kind::Account, &id, &account.name), now);
        let act = Act { detail: serde_json::json!({ "role": account.role }).to_string(), ..act };
        self.records.write(Batch::new(act).insert(&id, &account), now).await?;
        let found = Found { id, version: 1, created_at: now, changed_at: now, entity: account };
        Ok((found, made.map(FirstPassword)))
    }

    /// Changes an account of this version; `None`: whichever there is.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn change_account(
        &self,
        who: &Principal,
        id: &RecordId,
        version: Option<u64>,
        change: AccountChange,
        now: Timestamp,
    ) -> Result<Found<Account>, PeopleError> {
        let mut found = self.account(id).await?;
        let account = &mut found.entity;
        if let Some(text) = &change.display_name {
            account.display_name = display_name(text)?;
        }
        match change.email.as_deref() {
            None => {}
            Some("") => account.email = None,
            Some(text) => account.email = Some(email(text)?),
        }
        let was_administrator = can_administer(account);
        account.role = change.role.unwrap_or(account.role);
        account.disabled = change.disabled.unwrap_or(account.disabled);
        if was_administrator && !can_administer(account) {
            self.another_administrator(id).await?;
        }
        let keys = serde_json::json!({
            "role": change.role, "disabled": change.disabled,
            "display_name": change.display_name.is_some(), "email": change.email.is_some(),
        });
        let target = Target::record(Kind::Account, id, &found.entity.name);
        let act = Act { detail: keys.to_string(), ..who.act("account.change", target, now) };
        let expected = Some(version.unwrap_or(found.version));
        let mut batch = Batch::new(act).update(id, expected, &found.entity);
        if found.entity.disabled {
            batch = self.without_sessions(batch, id, None).await?;
        }
        self.records.write(batch, now).await?;
        (found.version, found.changed_at) = (found.version + 1, now);
        Ok(found)
    }

    /// Removes an account with its sessions and tokens, and from its groups.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn remove_account(
        &self,
        who: &Principal,
        id: &RecordId,
        version: Option<u64>,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let found = self.account(id).await?;
        if can_administer(&found.entity) {
            self.another_administrator(id).await?;
        }
        let act =
            who.act("account.remove", Target::record(Kind::Account, id, &found.entity.name), now);
        let expected = Some(version.unwrap_or(found.version));
        let batch = Batch::new(act).delete::<Account>(id, expected);
        let mut batch = self.without_sessions(batch, id, None).await?;
        for token in self.all_of::<ApiToken>(ApiToken::ACCOUNT, id).await? {
            batch = batch.delete::<ApiToken>(&token.id, None);
        }
        for mut group in self.all_of::<Group>(Group::MEMBER, id).await? {
            group.entity.members.retain(|it| it != id);
            batch = batch.update(&group.id, Some(group.version), &group.entity);
        }
        Ok(self.records.write(batch, now).await?)
    }

    /// Chooses a password of one's own; all other sessions end.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn choose_password(
        &self,
        who: &Principal,
        old: &str,
        new: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let mut found = self.own(who).await?;
        self.confirm_password(who, &found, old, now).await?;
        password::check(new, &names_of(&found.entity))?;
        if old == new {
            return Err(PasswordError::Same.into());
        }
        found.entity.password = Some(PasswordHash(self.vault.hash(new).await?));
        found.entity.must_change_password = false;
        let target = Target::record(Kind::Account, &found.id, &found.entity.name);
        let batch = Batch::new(who.act("account.password", target, now)).update(
            &found.id,
            Some(found.version),
            &found.entity,
        );
        let kept = match &who.credential {
            Credential::Session(id) => Some(id),
            Credential::Token(..) => None,
        };
        let batch = self.without_sessions(batch, &found.id, kept).await?;
        Ok(self.records.write(batch, now).await?)
    }

    /// Gives somebody a new password, which they have to change; their sessions end, and so does
    /// their second factor if `factor_too`.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn reset_password(
        &self,
        who: &Principal,
        id: &RecordId,
        factor_too: bool,
        now: Timestamp,
    ) -> Result<FirstPassword, PeopleError> {
        let found = self.account(id).await?;
        let target = Target::record(Kind::Account, id, &found.entity.name);
        let detail = serde_json::json!({ "second_factor_too": factor_too }).to_string();
        let act = Act { detail, ..who.act("account.password.reset", target, now) };
        self.renew_password(found, factor_too, act).await
    }

    /// The same for whoever rules the machine that the server runs on, where nobody is left who could
    /// sign in and do it: the account is let in again, too, if it was kept out.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn recover(
        &self,
        name: &str,
        factor_too: bool,
        now: Timestamp,
    ) -> Result<FirstPassword, PeopleError> {
        let name = account_name(name)?;
        let found = self.records.find::<Account>(Account::NAME, &name).await?;
        let mut found = found.ok_or(PeopleError::NoAccount(name))?;
        found.entity.disabled = false;
        let act = Act {
            at: now,
            actor: Actor::server(),
            action: "account.recover".to_owned(),
            target: Target::record(Kind::Account, &found.id, &found.entity.name),
            from: None,
            outcome: Outcome::Done,
            detail: serde_json::json!({ "second_factor_too": factor_too }).to_string(),
        };
        self.renew_password(found, factor_too, act).await
    }

    async fn renew_password(
        &self,
        mut found: Found<Account>,
        factor_too: bool,
        act: Act,
    ) -> Result<FirstPassword, PeopleError> {
        let made = made_password();
        found.entity.password = Some(PasswordHash(self.vault.hash(&made).await?));
        found.entity.must_change_password = true;
        if factor_too {
            found.entity.second_factor = None;
        }
        let now = act.at;
        let batch = Batch::new(act).update(&found.id, Some(found.version), &found.entity);
        let batch = self.without_sessions(batch, &found.id, None).await?;
        self.records.write(batch, now).await?;
        self.backoff().succeeded(&found.entity.name);
        Ok(FirstPassword(made))
    }

    /// Ends an account's sessions in the same batch, but one.
    async fn without_sessions(
        &self,
        mut batch: Batch,
        account: &RecordId,
        but: Option<&RecordId>,
    ) -> Result<Batch, StoreError> {
        for session in self.all_of::<Session>(Session::ACCOUNT, account).await? {
            if Some(&session.id) != but {
                batch = batch.delete::<Session>(&session.id, None);
            }
        }
        Ok(batch)
    }

    /// Everything of one kind that belongs to an account.
    pub(super) async fn all_of<T: Entity>(
        &self,
        key: &'static str,
        account: &RecordId,
    ) -> Result<Vec<Found<T>>, StoreError> {
        let mut search = Search { limit: Search::MAX_LIMIT, ..Search::by(key, account.as_str()) };
        let mut all = Vec::new();
        loop {
            let page = self.records.list::<T>(&search).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Whether somebody else could configure the server.
    async fn another_administrator(&self, but: &RecordId) -> Result<(), PeopleError> {
        let role = AccountRole::Administrator.word();
        let mut search = Search::by(Account::ROLE, role);
        loop {
            let page = self.records.list::<Account>(&search).await?;
            if page.items.iter().any(|it| it.id != *but && can_administer(&it.entity)) {
                return Ok(());
            }
            match page.next {
                Some(next) => search.after = Some(next),
                None => return Err(PeopleError::LastAdministrator),
            }
        }
    }
}

fn can_administer(account: &Account) -> bool {
    account.role == AccountRole::Administrator && !account.disabled && account.password.is_some()
}

fn names_of(account: &Account) -> Vec<&str> {
    let mail = account.email.as_deref().and_then(|it| it.split('@').next());
    [Some(account.name.as_str()), mail].into_iter().flatten().collect()
}

fn made_password() -> String {
    new_secret("").chars().take(MADE_CHARS).collect()
}
