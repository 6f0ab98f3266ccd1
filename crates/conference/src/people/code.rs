//! The second factor: one-time codes by time, and recovery codes for the day when the device is
//! lost.

use rand::Rng;
use types::{RecordId, Timestamp};

use super::{
    Account, CodeSecret, People, PeopleError, Principal, SecondFactor, VaultError, digest_of,
};
use crate::store::{Batch, Found, Kind, StoreError, Target};

/// Recovery codes of one account.
const RECOVERY_CODES: usize = 10;
/// Letters of a recovery code, without those that look alike.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// 50 bits: nobody guesses one, since wrong tries have to wait.
const RECOVERY_CHARS: usize = 10;

/// A second factor that its owner has to confirm with a code.
// No Debug: it holds the secret.
#[derive(Clone)]
pub struct StartedFactor {
    /// What the device needs.
    pub secret: CodeSecret,
}

impl People {
    /// Begins a second factor for one's own account: it counts once a code of it is shown.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn begin_factor(
        &self,
        who: &Principal,
        now: Timestamp,
    ) -> Result<StartedFactor, PeopleError> {
        let mut account = self.own(who).await?;
        if account.entity.asks_for_code() {
            return Err(PeopleError::FactorStands);
        }
        let secret = self.vault.new_code_secret(&account.entity.name);
        account.entity.second_factor = Some(SecondFactor {
            sealed: self.vault.seal(&secret.base32)?,
            confirmed: false,
            last_step: 0,
            recovery: Vec::new(),
        });
        self.save_own(who, "account.factor.begin", &account, now).await?;
        Ok(StartedFactor { secret })
    }

    /// Confirms it with a code, and gives the recovery codes, which nobody sees again.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn confirm_factor(
        &self,
        who: &Principal,
        code: &str,
        now: Timestamp,
    ) -> Result<Vec<String>, PeopleError> {
        let mut account = self.own(who).await?;
        let factor = account.entity.second_factor.as_mut();
        let factor = factor.filter(|it| !it.confirmed).ok_or(PeopleError::NoFactor)?;
        let secret = self.vault.open(&factor.sealed)?;
        self.charge(&who.name, now).map_err(PeopleError::Wait)?;
        let step = self.vault.code_step(&secret, code, now).ok_or(PeopleError::WrongCode)?;
        self.backoff().succeeded(&who.name);
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        (factor.confirmed, factor.last_step) = (true, step);
        factor.recovery = codes.iter().map(|it| digest_of(&plain(it))).collect();
        self.save_own(who, "account.factor.confirm", &account, now).await?;
        Ok(codes)
    }

    /// Removes one's own second factor; the password has to be shown.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn remove_factor(
        &self,
        who: &Principal,
        password: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let mut account = self.own(who).await?;
        self.confirm_password(who, &account, password, now).await?;
        account.entity.second_factor.take().ok_or(PeopleError::NoFactor)?;
        self.save_own(who, "account.factor.remove", &account, now).await
    }

    /// Whether the code is right; notes in the account that it was used.
    pub(super) fn take_code(
        &self,
        account: &mut Account,
        code: &str,
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        let Some(factor) = account.second_factor.as_mut() else { return Ok(false) };
        let secret = self.vault.open(&factor.sealed)?;
        if let Some(step) = self.vault.code_step(&secret, code, now) {
            let fresh = step > factor.last_step;
            factor.last_step = factor.last_step.max(step);
            return Ok(fresh);
        }
        let digest = digest_of(&plain(code));
        let before = factor.recovery.len();
        factor.recovery.retain(|it| *it != digest);
        Ok(factor.recovery.len() < before)
    }

    /// The password of one's own account, asked for before what would help a thief of a session.
    pub(super) async fn confirm_password(
        &self,
        who: &Principal,
        account: &Found<Account>,
        password: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        self.charge(&who.name, now).map_err(PeopleError::Wait)?;
        let hash = account.entity.password.as_ref().map(|it| it.0.as_str());
        if !self.vault.verify(password, hash).await? {
            return Err(PeopleError::WrongPassword);
        }
        self.backoff().succeeded(&who.name);
        Ok(())
    }

    pub(super) async fn own(&self, who: &Principal) -> Result<Found<Account>, StoreError> {
        self.account(&who.account).await
    }

    /// An account that has to be there.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    pub async fn account(&self, id: &RecordId) -> Result<Found<Account>, StoreError> {
        let missing = || StoreError::Missing { kind: Kind::Account, id: id.clone() };
        self.records.get::<Account>(id).await?.ok_or_else(missing)
    }

    pub(super) async fn save_own(
        &self,
        who: &Principal,
        action: &str,
        account: &Found<Account>,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let target = Target::record(Kind::Account, &account.id, &account.entity.name);
        let batch = Batch::new(who.act(action, target, now)).update(
            &account.id,
            Some(account.version),
            &account.entity,
        );
        Ok(self.records.write(batch, now).await?)
    }
}

fn recovery_code() -> String {
    let mut rng = rand::rng();
    let mut letters = (0..RECOVERY_CHARS)
        .filter_map(|_| ALPHABET.get(rng.random_range(0..ALPHABET.len())))
        .map(|it| char::from(*it));
    let first: String = letters.by_ref().take(RECOVERY_CHARS / 2).collect();
    let second: String = letters.collect();
    format!("{first}-{second}")
}

/// A recovery code as it is compared: people type capitals and leave the dash out.
fn plain(code: &str) -> String {
    code.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
