//! API tokens of an account.

use types::{RecordId, Timestamp};

use super::{ApiToken, People, PeopleError, Principal, Right, digest_of, display_name, new_secret};
use crate::store::{Act, Batch, Found, Kind, StoreError, Target};

/// A token to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewToken {
    /// What it is for.
    pub name: String,
    /// Its scopes, by the words of [`super::rights::TABLE`].
    pub scopes: Vec<String>,
    /// When it ends; `None`: never.
    pub ends_at: Option<Timestamp>,
}

impl People {
    /// Makes a token for one's own account and gives its secret, which nobody sees again.
    ///
    /// # Errors
    /// [`PeopleError`].
    pub async fn create_token(
        &self,
        who: &Principal,
        new: NewToken,
        now: Timestamp,
    ) -> Result<(Found<ApiToken>, String), PeopleError> {
        let wrong = |_| PeopleError::Token("a token has a name of 1 to 80 characters");
        let name = display_name(&new.name).map_err(wrong)?;
        if new.ends_at.is_some_and(|it| it <= now) {
            return Err(PeopleError::Token("a token ends in the future or never"));
        }
        let mut scopes = new.scopes;
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(PeopleError::Token("a token has one scope at least"));
        }
        for scope in &scopes {
            let may = scope.parse::<Right>().is_ok_and(|it| who.has(it));
            if !may {
                return Err(PeopleError::Scope(scope.clone()));
            }
        }
        let others = self.all_of::<ApiToken>(ApiToken::ACCOUNT, &who.account).await?;
        if others.len() >= ApiToken::MAX_PER_ACCOUNT {
            return Err(PeopleError::TooManyTokens(ApiToken::MAX_PER_ACCOUNT));
        }
        let secret = new_secret(ApiToken::PREFIX);
        let token = ApiToken {
            account: who.account.clone(),
            name,
            digest: digest_of(&secret),
            scopes,
            ends_at: new.ends_at,
            used_at: None,
            used_from: None,
        };
        let id = self.records.new_id(now);
        let target = Target::record(Kind::ApiToken, &id, &token.name);
        let detail = serde_json::json!({ "scopes": token.scopes }).to_string();
        let act = Act { detail, ..who.act("token.create", target, now) };
        self.records.write(Batch::new(act).insert(&id, &token), now).await?;
        let found = Found { id, version: 1, created_at: now, changed_at: now, entity: token };
        Ok((found, secret))
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_token(
        &self,
        who: &Principal,
        token: &Found<ApiToken>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let target = Target::record(Kind::ApiToken, &token.id, &token.entity.name);
        let act = who.act("token.end", target, now);
        let id: &RecordId = &token.id;
        self.records.write(Batch::new(act).delete::<ApiToken>(id, None), now).await
    }
}
