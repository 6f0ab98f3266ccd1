//! Stories of meetings that are booked, and of who comes in.

use super::*;
use crate::access::{AdmissionError, MeetingSettings, Role, Visitor};
use crate::booking::{MeetingRole, WhoMayJoin};
use crate::people::testing::{FastVault, administrator, somebody};
use crate::people::{AccountRole, Denied};
use crate::problem::testing::brief;
use crate::store::memory::Memory;
use crate::store::{Batch, Records, Target};

const MINUTE: i64 = 60_000;
/// Monday, 2 March 2026, 08:00 UTC.
const NOW: Timestamp = Timestamp(1_772_438_400_000);

struct House {
    bookings: Bookings,
    directory: Arc<Directory>,
    anna: Principal,
    boris: Principal,
    now: Timestamp,
}

impl House {
    async fn new() -> Self {
        let configured = MeetingSettings::open(MeetingId::parse("board").unwrap());
        let directory = Directory::new([configured], false).with_vault(Arc::new(FastVault));
        let directory = Arc::new(directory);
        let keeper = Keeper::new(Records::new(Arc::new(Memory::default())), Arc::new(FastVault));
        for name in ["root", "anna", "boris"] {
            let account = Account::new(name.into(), name.into(), AccountRole::Organiser);
            let act = administrator().act("x", Target::default(), NOW);
            let batch = Batch::new(act).insert(&RecordId::new(name), &account);
            keeper.records().write(batch, NOW).await.unwrap();
        }
        let bookings = Bookings::open(keeper, directory.clone()).await.unwrap();
        let [anna, boris] = ["anna", "boris"].map(|it| somebody(it, AccountRole::Organiser));
        Self { bookings, directory, anna, boris, now: NOW }
    }

    async fn book(&self, wanted: Wanted) -> Found<Meeting> {
        self.bookings.create(&self.anna, wanted, self.now).await.unwrap()
    }

    /// What becomes of somebody who comes with a PIN and an account.
    async fn comes(
        &self,
        id: &str,
        pin: Option<&str>,
        account: Option<&str>,
    ) -> Result<Role, AdmissionError> {
        let account = account.map(RecordId::new);
        let account = account.as_ref().map(|it| (it, None));
        let visitor = Visitor { pin, account, now: self.now };
        let id = MeetingId::parse(id).unwrap();
        self.directory.admit(&id, visitor).await.map(|it| it.role)
    }
}

fn wanted(name: &str) -> Wanted {
    Wanted { name: name.into(), alias: Some(MeetingId::parse(name).unwrap()), ..Wanted::default() }
}

fn set(pin: &str) -> PinChange {
    PinChange::Set(pin.into())
}

/// Every Monday from 09:00 to 10:00 UTC.
fn weekly() -> Option<Schedule> {
    Some(Schedule {
        start: "2026-03-02T09:00".into(),
        minutes: 60,
        time_zone: "UTC".into(),
        rrule: Some("FREQ=WEEKLY;COUNT=2".into()),
        exdates: vec![],
    })
}

#[tokio::test]
async fn alias_and_number_lead_to_one_meeting_and_pins_say_who_is_host() {
    let house = House::new().await;
    let (guest_pin, host_pin) = (set("1234"), set("98765"));
    let found = house.book(Wanted { guest_pin, host_pin, ..wanted("weekly") }).await;
    let number = found.entity.number.as_str().to_owned();
    for id in ["Weekly", &number, &found.entity.number.grouped().replace(' ', "-")] {
        assert_eq!(house.comes(id, None, None).await, Err(AdmissionError::PinRequired), "{id}");
        assert_eq!(house.comes(id, Some("1234"), None).await, Ok(Role::Guest));
        assert_eq!(house.comes(id, Some("98765"), None).await, Ok(Role::Host));
        assert_eq!(house.comes(id, Some("12345"), None).await, Err(AdmissionError::PinWrong));
        assert_eq!(house.comes(id, None, Some("anna")).await, Ok(Role::Host), "it is hers");
        let settings = house.directory.find(&MeetingId::parse(id).unwrap()).unwrap();
        assert_eq!(settings.id.as_str(), "weekly");
    }
    let body = serde_json::to_string(&found.entity).unwrap();
    assert!(!body.contains("1234\"") && !body.contains("98765"), "{body}");
    house.bookings.remove(&house.anna, &found, house.now).await.unwrap();
    for id in ["weekly", &number] {
        let gone = house.comes(id, Some("1234"), Some("anna")).await;
        assert_eq!(gone, Err(AdmissionError::NotFound));
    }
}

#[tokio::test]
async fn a_scheduled_meeting_is_open_from_a_quarter_of_an_hour_before_until_its_end() {
    let mut house = House::new().await;
    house.book(Wanted { schedule: weekly(), ..wanted("weekly") }).await;
    let start = Timestamp(NOW.0 + 60 * MINUTE);
    let opens_at = Timestamp(start.0 - 15 * MINUTE);
    let not_yet = Err(AdmissionError::NotYet { opens_at, starts_at: start });
    let next = Timestamp(start.0 + 7 * 24 * 60 * MINUTE);
    let then =
        AdmissionError::NotYet { opens_at: Timestamp(next.0 - 15 * MINUTE), starts_at: next };
    let ended_at = Some(Timestamp(next.0 + 60 * MINUTE));
    for (now, expected) in [
        (NOW.0, not_yet),
        (opens_at.0 - 1, not_yet),
        (opens_at.0, Ok(Role::Guest)),
        (start.0 + 60 * MINUTE - 1, Ok(Role::Guest)),
        (start.0 + 60 * MINUTE, Err(then)),
        (next.0, Ok(Role::Guest)),
        (next.0 + 60 * MINUTE, Err(AdmissionError::Over { ended_at })),
    ] {
        house.now = Timestamp(now);
        assert_eq!(house.comes("weekly", None, None).await, expected, "{}", now - start.0);
    }
    assert!(house.comes("weekly", None, Some("anna")).await.is_err(), "not even for its owner");
}

#[tokio::test]
async fn who_may_join_is_asked_beside_the_pin() {
    let house = House::new().await;
    let settings = |who_may_join| Settings { who_may_join, ..Settings::default() };
    let host_pin = set("98765");
    let users = Wanted { settings: settings(WhoMayJoin::Users), host_pin, ..wanted("users") };
    house.book(users).await;
    let invite =
        |role| vec![Invitee { account: Some(RecordId::new("boris")), role, ..Invitee::default() }];
    let invited = invite(MeetingRole::Attendee);
    let settings = settings(WhoMayJoin::Invited);
    house.book(Wanted { settings, invited, ..wanted("invited") }).await;
    for (meeting, pin, account, expected) in [
        ("users", None, None, Err(AdmissionError::SignInFirst)),
        ("users", None, Some("boris"), Ok(Role::Guest)),
        ("users", Some("98765"), None, Ok(Role::Host)),
        ("users", Some("11111"), None, Err(AdmissionError::PinWrong)),
        ("invited", None, None, Err(AdmissionError::SignInFirst)),
        ("invited", None, Some("carol"), Err(AdmissionError::NotInvited)),
        ("invited", None, Some("boris"), Ok(Role::Guest)),
        ("invited", None, Some("anna"), Ok(Role::Host)),
    ] {
        let came = house.comes(meeting, pin, account).await;
        assert_eq!(came, expected, "{meeting} {pin:?} {account:?}");
    }
    let guest_pin = set("1234");
    let invited = invite(MeetingRole::Host);
    house.book(Wanted { guest_pin, invited, ..wanted("led") }).await;
    assert_eq!(house.comes("led", None, Some("boris")).await, Ok(Role::Host), "without a PIN");
}

#[tokio::test]
async fn an_organiser_sees_and_writes_meetings_of_its_own_alone() {
    let house = House::new().await;
    let found = house.book(wanted("weekly")).await;
    let House { bookings, anna, boris, now, .. } = &house;
    let ids = [found.id.as_str(), "weekly", found.entity.number.as_str()];
    for id in ids {
        assert_eq!(bookings.show(anna, id, None).await.unwrap(), found);
        assert_eq!(bookings.show(&administrator(), id, Some(1)).await.unwrap(), found);
        let hidden = bookings.show(boris, id, Some(7)).await.unwrap_err();
        assert!(matches!(hidden, KeptError::Store(StoreError::Missing { .. })), "{hidden}");
    }
    let list =
        async |who: &Principal| bookings.list(who, Search::default()).await.unwrap().items.len();
    assert_eq!((list(anna).await, list(boris).await, list(&administrator()).await), (1, 0, 1));
    let denied = bookings.change(boris, found.clone(), wanted("x"), *now).await.unwrap_err();
    assert_eq!(denied, KeptError::Denied(Denied::Role(Right::MeetingsWrite)));
    let for_another = Wanted { owner: Some(boris.account.clone()), ..wanted("y") };
    assert!(bookings.create(anna, for_another.clone(), *now).await.is_err());
    let given = bookings.create(&administrator(), for_another, *now).await.unwrap();
    assert_eq!(list(boris).await, 1);
    bookings.remove(boris, &given, *now).await.unwrap();
    let user = somebody("anna", AccountRole::User);
    assert!(bookings.remove(&user, &found, *now).await.is_err(), "users book nothing");
}

#[tokio::test]
async fn a_change_is_what_everybody_finds_from_then_on() {
    let house = House::new().await;
    let House { bookings, anna, now, .. } = &house;
    let found = house.book(Wanted { guest_pin: set("1234"), ..wanted("old") }).await;
    let changed = bookings.change(anna, found.clone(), wanted("new"), *now).await.unwrap();
    assert_eq!(changed.version, 2);
    assert_eq!(house.comes("old", None, None).await, Err(AdmissionError::NotFound));
    assert_eq!(house.comes("new", Some("1234"), None).await, Ok(Role::Guest), "the PIN stays");
    let without = Wanted { guest_pin: PinChange::Remove, ..wanted("new") };
    bookings.change(anna, changed.clone(), without, *now).await.unwrap();
    assert_eq!(house.comes("new", None, None).await, Ok(Role::Guest));
    let stale = bookings.change(anna, changed, wanted("new"), *now).await.unwrap_err();
    assert!(matches!(stale, KeptError::Store(StoreError::Stale { .. })), "{stale}");
    // Whatever was written is there after a restart.
    let again = Arc::new(Directory::new([], false));
    Bookings::open(bookings.keeper.clone(), again.clone()).await.unwrap();
    assert!(again.find(&MeetingId::parse(found.entity.number.as_str()).unwrap()).is_some());
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let house = House::new().await;
    let wrong = async |wanted: Wanted| match house
        .bookings
        .create(&house.anna, wanted, house.now)
        .await
        .unwrap_err()
    {
        KeptError::Invalid(problems) => brief(&problems),
        error => vec![error.to_string()],
    };
    let taken = ["there is already a meeting of this alias"];
    assert_eq!(wrong(wanted("board")).await, taken, "the configuration has it");
    house.book(wanted("weekly")).await;
    assert_eq!(wrong(wanted("weekly")).await, taken);
    let pins = Wanted { guest_pin: set("123"), host_pin: set("x"), ..wanted("a") };
    assert_eq!(wrong(pins).await, ["guest_pin format", "host_pin format"]);
    let same = Wanted { guest_pin: set("1234"), host_pin: set("1234"), ..wanted("a") };
    assert_eq!(wrong(same).await, ["host_pin conflict"]);
    let settings = Settings { e2ee: true, ..Settings::default() };
    let mixed = Wanted { settings, ..wanted("a") };
    assert_eq!(wrong(mixed).await, ["settings.e2ee conflict"], "room systems cannot be in it");
    let much = Wanted { template: Some(RecordId::new("gone")), ..wanted("a") };
    assert_eq!(wrong(much).await, ["template unknown"]);
}

#[tokio::test]
async fn everybody_has_one_personal_room() {
    let house = House::new().await;
    let House { bookings, now, .. } = &house;
    house.book(wanted("boris")).await;
    let user = somebody("boris", AccountRole::User);
    let (room, made) = bookings.personal(&user, *now).await.unwrap();
    assert!(made && room.entity.alias.as_str().starts_with("boris-"), "{:?}", room.entity.alias);
    assert_eq!(bookings.personal(&user, *now).await.unwrap(), (room.clone(), false));
    let auditor = somebody("root", AccountRole::Auditor);
    assert!(bookings.personal(&auditor, *now).await.is_err());
    bookings.remove_personal(&administrator(), &user.account, *now).await.unwrap();
    let gone = house.comes(room.entity.alias.as_str(), None, None).await;
    assert_eq!(gone, Err(AdmissionError::NotFound));
}

#[test]
fn made_names_are_names_of_meetings() {
    for _ in 0..100 {
        let alias = made_alias();
        assert!(super::super::has_letter(alias.as_str()) && alias.as_str().len() == 14, "{alias}");
    }
    assert_eq!(alias_of("anna@example.org").as_str(), "anna.example.org");
    assert!(alias_of("123456").as_str().starts_with("123456-"));
    assert!(alias_of(&"x".repeat(100)).as_str().len() <= 64);
}
