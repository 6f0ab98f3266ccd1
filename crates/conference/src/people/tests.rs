//! Stories of accounts, in virtual time, with a vault that hashes fast.

use std::time::Duration;

use super::session::{SESSION_IDLE, SESSION_LIFE};
use super::testing::FastVault;
use super::*;
use crate::store::memory::Memory;
use crate::store::{AuditQuery, Outcome, Records};

struct House {
    people: People,
    now: Timestamp,
}

impl House {
    fn new() -> Self {
        let records = Records::new(Arc::new(Memory::default()));
        Self {
            people: People::new(records, Arc::new(FastVault)),
            now: Timestamp(1_800_000_000_000),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    fn code(&self) -> String {
        (self.now.0 / 30_000).to_string()
    }

    async fn sign_in(
        &self,
        name: &str,
        password: &str,
        code: Option<&str>,
    ) -> Result<SignedIn, SignInError> {
        let user_agent = "a browser";
        let shown = SignIn { name, password, code, from: None, user_agent };
        self.people.sign_in(shown, self.now).await
    }

    async fn who(&self, signed_in: &SignedIn) -> Option<Principal> {
        self.people.by_session(&signed_in.secret, None, self.now).await.unwrap()
    }

    /// The first administrator, with a password of its own.
    async fn administrator(&self) -> Principal {
        let (name, FirstPassword(first)) =
            self.people.first_start(self.now).await.unwrap().unwrap();
        let signed_in = self.sign_in(&name, &first, None).await.unwrap();
        let who = self.who(&signed_in).await.unwrap();
        self.people.choose_password(&who, &first, PASSWORD, self.now).await.unwrap();
        self.who(&signed_in).await.unwrap()
    }

    async fn account(&self, admin: &Principal, name: &str, role: AccountRole) -> SignedIn {
        let new = NewAccount { name: name.into(), role: Some(role), ..NewAccount::default() };
        let (_, made) = self.people.create_account(admin, new, self.now).await.unwrap();
        let signed_in = self.sign_in(name, &made.as_ref().unwrap().0, None).await.unwrap();
        let who = self.who(&signed_in).await.unwrap();
        let chosen = self.people.choose_password(&who, &made.unwrap().0, PASSWORD, self.now).await;
        chosen.unwrap();
        signed_in
    }
}

const PASSWORD: &str = "five green elephants";

#[tokio::test]
async fn the_first_start_makes_an_administrator_once_who_has_to_choose_a_password() {
    let house = House::new();
    let (name, FirstPassword(first)) = house.people.first_start(house.now).await.unwrap().unwrap();
    assert!(house.people.first_start(house.now).await.unwrap().is_none());
    let signed_in = house.sign_in(&name, &first, None).await.unwrap();
    let who = house.who(&signed_in).await.unwrap();
    assert_eq!(who.may(Right::AccountsWrite), Err(Denied::PasswordFirst));
    let weak = house.people.choose_password(&who, &first, "administrator", house.now).await;
    assert_eq!(weak, Err(PasswordError::Name.into()));
    let same = house.people.choose_password(&who, &first, &first, house.now).await;
    assert_eq!(same, Err(PasswordError::Same.into()));
    house.people.choose_password(&who, &first, PASSWORD, house.now).await.unwrap();
    assert_eq!(house.who(&signed_in).await.unwrap().may(Right::AccountsWrite), Ok(()));
    assert_eq!(house.sign_in(&name, &first, None).await.err(), Some(SignInError::Wrong));
}

#[tokio::test]
async fn a_guesser_waits_alike_for_names_that_exist_and_names_that_do_not() {
    let mut house = House::new();
    house.administrator().await;
    for name in ["admin", "nobody", "!"] {
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(house.sign_in(name, "a wrong password", None).await.err().unwrap());
        }
        use SignInError::{Wait, Wrong};
        assert_eq!(answers, [Wrong, Wrong, Wrong, Wrong, Wrong, Wait(16)], "{name}");
        let right = house.sign_in(name, PASSWORD, None).await.err();
        assert_eq!(right, Some(Wait(16)), "{name}: nothing is tried while it waits");
    }
    house.pass(Duration::from_secs(16));
    house.sign_in("Admin ", PASSWORD, None).await.unwrap();
    let log = house.people.records().store().audit(&AuditQuery::default()).await.unwrap();
    let refused: Vec<_> = log.iter().filter(|it| it.act.outcome == Outcome::Refused).collect();
    assert_eq!(refused.len(), 15);
    assert!(refused[0].act.detail.contains("wrong password"));
    assert!(!format!("{log:?}").contains("nobody"), "what was typed may be a password");
}

#[tokio::test]
async fn tries_at_the_same_moment_count_too() {
    let house = House::new();
    house.administrator().await;
    let tries = (0..20).map(|_| house.sign_in("admin", "a wrong password", None));
    let answers = futures_util::future::join_all(tries).await;
    let compared = answers.iter().filter(|it| matches!(it, Err(SignInError::Wrong))).count();
    assert_eq!(compared, 5);
}

#[tokio::test]
async fn a_session_rests_ends_and_dies_with_its_account() {
    let mut house = House::new();
    let admin = house.administrator().await;
    let anna = house.account(&admin, "anna", AccountRole::Operator).await;
    house.pass(SESSION_IDLE - Duration::from_secs(1));
    assert!(house.who(&anna).await.is_some());
    house.pass(SESSION_IDLE - Duration::from_secs(1));
    assert!(house.who(&anna).await.is_some(), "each use prolongs it");
    house.pass(SESSION_IDLE);
    assert!(house.who(&anna).await.is_none(), "rest ends it");
    let anna = house.sign_in("anna", PASSWORD, None).await.unwrap();
    let began = house.now;
    while house.now < began.after(SESSION_LIFE - Duration::from_secs(3600)) {
        house.pass(Duration::from_secs(3600));
        assert!(house.who(&anna).await.is_some());
    }
    house.pass(Duration::from_secs(3600));
    assert!(house.who(&anna).await.is_none(), "a week ends it");

    let anna = house.sign_in("anna", PASSWORD, None).await.unwrap();
    let off = AccountChange { disabled: Some(true), ..AccountChange::default() };
    let id = anna.account.id.clone();
    house.people.change_account(&admin, &id, None, off, house.now).await.unwrap();
    assert!(house.who(&anna).await.is_none());
    assert_eq!(house.sign_in("anna", PASSWORD, None).await.err(), Some(SignInError::Wrong));
    assert!(house.people.by_session("forged", None, house.now).await.unwrap().is_none());
}

#[tokio::test]
async fn a_code_counts_once_and_a_recovery_code_too() {
    let mut house = House::new();
    let admin = house.administrator().await;
    house.people.begin_factor(&admin, house.now).await.unwrap();
    assert!(house.sign_in("admin", PASSWORD, None).await.is_ok(), "unconfirmed asks nobody");
    let wrong = house.people.confirm_factor(&admin, "000000", house.now).await.err();
    assert_eq!(wrong, Some(PeopleError::WrongCode));
    let recovery = house.people.confirm_factor(&admin, &house.code(), house.now).await.unwrap();
    assert_eq!(recovery.len(), 10);

    let no_code = house.sign_in("admin", PASSWORD, None).await.err();
    assert_eq!(no_code, Some(SignInError::CodeRequired));
    let used = house.sign_in("admin", PASSWORD, Some(&house.code())).await.err();
    assert_eq!(used, Some(SignInError::WrongCode), "it was used to confirm");
    house.pass(Duration::from_secs(3600));
    let code = house.code();
    house.sign_in("admin", PASSWORD, Some(&code)).await.unwrap();
    let again = house.sign_in("admin", PASSWORD, Some(&code)).await.err();
    assert_eq!(again, Some(SignInError::WrongCode));

    let typed = recovery[3].to_uppercase().replace('-', " ");
    house.sign_in("admin", PASSWORD, Some(&typed)).await.unwrap();
    let again = house.sign_in("admin", PASSWORD, Some(&typed)).await.err();
    assert_eq!(again, Some(SignInError::WrongCode));

    house.pass(Duration::from_secs(3600));
    let wrong = house.people.remove_factor(&admin, "not the password", house.now).await.err();
    assert_eq!(wrong, Some(PeopleError::WrongPassword));
    house.people.remove_factor(&admin, PASSWORD, house.now).await.unwrap();
    house.sign_in("admin", PASSWORD, None).await.unwrap();
}

#[tokio::test]
async fn the_last_administrator_can_neither_go_nor_step_down() {
    let house = House::new();
    let admin = house.administrator().await;
    let people = &house.people;
    let down = AccountChange { role: Some(AccountRole::User), ..AccountChange::default() };
    let off = AccountChange { disabled: Some(true), ..AccountChange::default() };
    for change in [down.clone(), off] {
        let changed = people.change_account(&admin, &admin.account, None, change, house.now).await;
        assert_eq!(changed.err(), Some(PeopleError::LastAdministrator));
    }
    let removed = people.remove_account(&admin, &admin.account, None, house.now).await;
    assert_eq!(removed, Err(PeopleError::LastAdministrator));
    house.account(&admin, "boris", AccountRole::Administrator).await;
    people.change_account(&admin, &admin.account, None, down, house.now).await.unwrap();
}

#[tokio::test]
async fn two_who_change_an_account_at_once_do_not_overwrite_each_other() {
    let house = House::new();
    let admin = house.administrator().await;
    let change =
        |name: &str| AccountChange { display_name: Some(name.into()), ..AccountChange::default() };
    let read = house.people.account(&admin.account).await.unwrap().version;
    let id = &admin.account;
    let first = house.people.change_account(&admin, id, Some(read), change("A"), house.now).await;
    assert_eq!(first.unwrap().version, read + 1);
    let second = house.people.change_account(&admin, id, Some(read), change("B"), house.now).await;
    assert!(matches!(second, Err(PeopleError::Store(StoreError::Stale { .. }))), "{second:?}");
}

#[tokio::test]
async fn a_token_acts_for_its_account_within_its_scopes_until_it_ends() {
    let mut house = House::new();
    let admin = house.administrator().await;
    let ends_at = Some(house.now.after(Duration::from_secs(3600)));
    let new = |scopes: &[&str]| NewToken {
        name: "backup".into(),
        scopes: scopes.iter().map(|it| (*it).to_owned()).collect(),
        ends_at,
    };
    let (token, secret) =
        house.people.create_token(&admin, new(&["audit.read"]), house.now).await.unwrap();
    let who = house.people.by_token(&secret, None, house.now).await.unwrap().unwrap();
    assert_eq!(who.may(Right::AuditRead), Ok(()));
    assert_eq!(who.may(Right::AccountsRead), Err(Denied::Scope(Right::AccountsRead)));
    let more = house.people.create_token(&who, new(&["accounts.read"]), house.now).await.err();
    assert_eq!(more, Some(PeopleError::Scope("accounts.read".into())), "no token makes a mightier");
    assert!(house.people.create_token(&admin, new(&["root"]), house.now).await.is_err());
    let (other, other_secret) =
        house.people.create_token(&admin, new(&["own"]), house.now).await.unwrap();
    house.people.end_token(&admin, &other, house.now).await.unwrap();
    assert!(house.people.by_token(&other_secret, None, house.now).await.unwrap().is_none());
    house.pass(Duration::from_secs(3600));
    assert!(house.people.by_token(&secret, None, house.now).await.unwrap().is_none());
    assert_eq!(token.entity.used_at, None);
}
