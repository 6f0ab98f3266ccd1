//! Records, their keys and lists.

use std::time::Duration;

use conference::store::{Change, Draft, Key, Kind, List, Record, Store, StoreError};
use types::Timestamp;

use crate::kit::{
    Database, NOW, account, accounts, act, delete, draft, id, ids, insert, keyed, update,
};

pub async fn what_is_written_is_read(database: &Database) {
    let store = database.open().await;
    assert_eq!(account(&store, "a").await, None);
    store.write(&[insert("a", draft(r#"{"n":1}"#))], &[], NOW).await.unwrap();
    let mut expected = Record {
        kind: Kind::Account,
        id: id("a"),
        version: 1,
        created_at: NOW,
        changed_at: NOW,
        body: r#"{"n":1}"#.to_owned(),
    };
    assert_eq!(account(&store, "a").await, Some(expected.clone()));
    let later = NOW.after(Duration::from_secs(9));
    store.write(&[update("a", None, draft(r#"{"n":2}"#))], &[], later).await.unwrap();
    (expected.version, expected.changed_at) = (2, later);
    expected.body = r#"{"n":2}"#.to_owned();
    assert_eq!(account(&store, "a").await, Some(expected));
    // The same id is another record where it is of another kind.
    assert_eq!(store.get(Kind::Group, &id("a")).await.unwrap(), None);
    store.write(&[delete("a", None)], &[], later).await.unwrap();
    assert_eq!(account(&store, "a").await, None);
    store.ping().await.unwrap();
    store.close().await;
    assert!(store.ping().await.is_err());
}

pub async fn a_change_of_an_older_version_is_refused(database: &Database) {
    let store = database.open().await;
    store.write(&[insert("a", draft("1"))], &[], NOW).await.unwrap();
    store.write(&[update("a", Some(1), draft("2"))], &[], NOW).await.unwrap();
    let (kind, stale) = (Kind::Account, id("a"));
    let stale = Err(StoreError::Stale { kind, id: stale });
    assert_eq!(store.write(&[update("a", Some(1), draft("3"))], &[], NOW).await, stale);
    assert_eq!(store.write(&[delete("a", Some(1))], &[], NOW).await, stale);
    assert_eq!(account(&store, "a").await.unwrap().body, "2");
    let missing = Err(StoreError::Missing { kind, id: id("b") });
    assert_eq!(store.write(&[update("b", Some(1), draft("3"))], &[], NOW).await, missing);
    assert_eq!(store.write(&[delete("b", None)], &[], NOW).await, missing);
    let taken = Err(StoreError::Taken { kind, key: "id" });
    assert_eq!(store.write(&[insert("a", draft("3"))], &[], NOW).await, taken);
    store.write(&[delete("a", Some(2))], &[], NOW).await.unwrap();
    store.close().await;
}

pub async fn a_unique_key_is_one_records_alone(database: &Database) {
    let store = database.open().await;
    let anna = || keyed("1", [Key::unique("name", "anna"), Key::unique("mail", "a@b.example")]);
    store.write(&[insert("a", anna())], &[], NOW).await.unwrap();
    let found = store.find(Kind::Account, "mail", "a@b.example").await.unwrap().unwrap();
    assert_eq!(found.id, id("a"));
    // The key that is taken is named, whichever of them it is.
    let taken = |key| Err(StoreError::Taken { kind: Kind::Account, key });
    for (key, draft) in [
        ("name", keyed("2", [Key::unique("mail", "b@b.example"), Key::unique("name", "anna")])),
        ("mail", keyed("2", [Key::unique("name", "bob"), Key::unique("mail", "a@b.example")])),
    ] {
        assert_eq!(store.write(&[insert("b", draft)], &[], NOW).await, taken(key));
    }
    let bob = keyed("2", [Key::unique("name", "bob")]);
    store.write(&[insert("b", bob)], &[], NOW).await.unwrap();
    let as_anna = || keyed("2", [Key::unique("name", "anna")]);
    assert_eq!(store.write(&[update("b", None, as_anna())], &[], NOW).await, taken("name"));
    assert_eq!(store.find(Kind::Account, "name", "bob").await.unwrap().unwrap().id, id("b"));
    // Another kind's keys are its own.
    let group = Change::Insert { kind: Kind::Group, id: id("g"), draft: as_anna() };
    store.write(&[group], &[], NOW).await.unwrap();
    // It is free again once its record has another, within one batch too.
    let both = [
        update("a", None, keyed("1", [Key::unique("name", "anne")])),
        update("b", None, as_anna()),
    ];
    store.write(&both, &[], NOW).await.unwrap();
    assert_eq!(store.find(Kind::Account, "name", "anna").await.unwrap().unwrap().id, id("b"));
    assert_eq!(store.find(Kind::Account, "name", "bob").await.unwrap(), None);
    store.write(&[delete("b", None), insert("c", as_anna())], &[], NOW).await.unwrap();
    assert_eq!(store.find(Kind::Account, "name", "anna").await.unwrap().unwrap().id, id("c"));
    store.close().await;
}

pub async fn records_are_found_by_shared_keys(database: &Database) {
    let store = database.open().await;
    let long = "x".repeat(5000);
    for number in 0..5 {
        let keys = [
            Key::shared("group", if number % 2 == 0 { "even" } else { "odd" }),
            Key::shared("group", "all"),
            Key::shared("group", "all"),
            Key::shared("url", &long),
        ];
        store.write(&[insert(&format!("{number}"), keyed("{}", keys))], &[], NOW).await.unwrap();
    }
    let by = |value: &str| List { by: Some(("group", value.to_owned())), ..accounts() };
    assert_eq!(ids(&store, &by("even")).await, ["0", "2", "4"]);
    assert_eq!(ids(&store, &by("all")).await.len(), 5);
    assert_eq!(ids(&store, &by("none")).await.len(), 0);
    let after = List { after: Some(id("1")), limit: 1, ..by("odd") };
    assert_eq!(ids(&store, &after).await, ["3"]);
    let url = List { by: Some(("url", long.clone())), ..accounts() };
    assert_eq!(ids(&store, &url).await.len(), 5);
    let other = List { by: Some(("url", format!("{long}y"))), ..accounts() };
    assert_eq!(ids(&store, &other).await.len(), 0);
    // Shared keys are no way to find the one.
    assert_eq!(store.find(Kind::Account, "group", "even").await.unwrap(), None);
    let moved = keyed("{}", [Key::shared("group", "odd")]);
    store.write(&[update("0", None, moved), delete("2", None)], &[], NOW).await.unwrap();
    assert_eq!(ids(&store, &by("even")).await, ["4"]);
    assert_eq!(ids(&store, &by("odd")).await, ["0", "1", "3"]);
    store.close().await;
}

pub async fn lists_go_on_where_they_ended(database: &Database) {
    let store = database.open().await;
    // In the order of bytes, which is not that of any language.
    let mut all: Vec<String> = (0..120).map(|it| format!("{it:03}-Б")).collect();
    all.extend(["A-1", "Z", "a", "a-1", "a1", "z", "Ё", "Я", "а"].map(str::to_owned));
    for (count, name) in all.iter().enumerate().rev() {
        store.write(&[insert(name, draft(&count.to_string()))], &[], NOW).await.unwrap();
    }
    store
        .write(&[Change::Insert { kind: Kind::Group, id: id("050"), draft: draft("1") }], &[], NOW)
        .await
        .unwrap();
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|it: &String| id(it.clone()));
        let page = ids(&store, &List { after, limit: 50, ..accounts() }).await;
        seen.extend_from_slice(&page);
        if page.len() < 50 {
            break;
        }
    }
    assert_eq!(seen, all);
    assert!(ids(&store, &List { limit: 0, ..accounts() }).await.is_empty());
    store.close().await;
}

pub async fn a_search_finds_its_text_literally(database: &Database) {
    let store = database.open().await;
    let texts = ["анна иванова", "100%", "1000", "a_b", "axb", r"c:\d", "it's!", "ёжик 🦔"];
    for (number, text) in texts.iter().enumerate() {
        let draft = Draft { search: (*text).to_owned(), ..draft("{}") };
        store.write(&[insert(&number.to_string(), draft)], &[], NOW).await.unwrap();
    }
    for (search, expected) in [
        ("ванов", vec!["0"]),
        ("анна", vec!["0"]),
        ("0%", vec!["1"]),
        ("100", vec!["1", "2"]),
        ("a_b", vec!["3"]),
        (r":\", vec!["5"]),
        ("s!", vec!["6"]),
        ("t'", vec!["6"]),
        ("🦔", vec!["7"]),
        ("Анна", vec![]),
        ("%", vec!["1"]),
        ("_", vec!["3"]),
    ] {
        let list = List { search: Some(search.to_owned()), ..accounts() };
        assert_eq!(ids(&store, &list).await, expected, "{search}");
    }
    let all = List { search: Some(String::new()), ..accounts() };
    assert_eq!(ids(&store, &all).await.len(), texts.len());
    let endless = List { search: Some("%".repeat(100_000)), ..accounts() };
    assert!(ids(&store, &endless).await.is_empty());
    let page = List { search: Some("0".to_owned()), after: Some(id("1")), ..accounts() };
    assert_eq!(ids(&store, &page).await, ["2"]);
    store.close().await;
}

pub async fn what_has_expired_goes(database: &Database) {
    let store = database.open().await;
    let at = |seconds: i64| Some(Timestamp(NOW.0 + seconds * 1000));
    let made: Vec<Change> = (0..1300)
        .map(|number| {
            let keys = vec![Key::unique("token", number.to_string())];
            let expires_at = if number < 1200 { at(number % 10) } else { None };
            insert(&number.to_string(), Draft { keys, expires_at, ..draft("{}") })
        })
        .collect();
    store.write(&made, &[], NOW).await.unwrap();
    // One of them gets more time.
    let more = Draft { expires_at: at(100), ..draft("{}") };
    store.write(&[update("3", None, more)], &[], NOW).await.unwrap();
    assert_eq!(store.purge(Timestamp(NOW.0 + 4000)).await.unwrap(), 599);
    assert_eq!(store.purge(Timestamp(NOW.0 + 4000)).await.unwrap(), 0);
    assert_eq!(account(&store, "4").await, None);
    assert!(account(&store, "3").await.is_some());
    assert!(account(&store, "5").await.is_some());
    assert_eq!(store.find(Kind::Account, "token", "4").await.unwrap(), None);
    assert!(store.find(Kind::Account, "token", "5").await.unwrap().is_some());
    assert_eq!(store.purge(Timestamp(i64::MAX)).await.unwrap(), 601);
    assert_eq!(ids(&store, &accounts()).await.len(), 100);
    store.close().await;
}

pub async fn all_of_a_batch_or_nothing(database: &Database) {
    let store = database.open().await;
    let taken = || keyed("1", [Key::unique("name", "anna")]);
    store.write(&[insert("a", taken())], &[act("account.create")], NOW).await.unwrap();
    let acts = [act("account.create"), act("account.create")];
    for failing in [
        insert("b", taken()),
        insert("a", draft("2")),
        update("a", Some(7), draft("2")),
        update("none", None, draft("2")),
        delete("none", None),
    ] {
        let again = keyed("2", [Key::unique("name", "anna"), Key::unique("mail", "a")]);
        let batch = [insert("c", draft("{}")), update("a", None, again), failing];
        assert!(store.write(&batch, &acts, NOW).await.is_err());
        assert_eq!(account(&store, "c").await, None);
        let a = account(&store, "a").await.unwrap();
        assert_eq!((a.version, a.body.as_str()), (1, "1"));
        assert_eq!(store.find(Kind::Account, "name", "anna").await.unwrap().unwrap().id, id("a"));
        assert_eq!(store.find(Kind::Account, "mail", "a").await.unwrap(), None);
        assert_eq!(store.audit_head().await.unwrap().unwrap().0, 1);
    }
    // Nor does a writer that nobody waits for any more leave half of it.
    let many: Vec<Change> = (0..200).map(|it| insert(&format!("m{it:03}"), draft("{}"))).collect();
    for wait in 0..8 {
        let write = store.write(&many, &acts, NOW);
        let _ = tokio::time::timeout(Duration::from_millis(wait), write).await;
    }
    store.write(&[], &[act("server.stop")], NOW).await.unwrap();
    let left = ids(&store, &List { after: Some(id("m")), limit: 500, ..accounts() }).await.len();
    assert!(left == 0 || left == many.len(), "{left}");
    conference::store::audit::verify(&store).await.unwrap();
    store.close().await;
}

pub async fn texts_of_attackers_are_values(database: &Database) {
    let store = database.open().await;
    let megabyte = "ж🦔".repeat(175_000);
    for (number, text) in [
        "'; DROP TABLE records; --",
        r#"" OR ""=""#,
        "$1 ?1 :a @b {} %s \\ \\'",
        "line\r\nline\u{2028}\u{7f}\u{1b}[2J",
        "𝔘🦔\u{202e}e\u{301}",
        "NULL",
        "",
        &megabyte,
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}{}", text.chars().take(40).collect::<String>());
        let keys = vec![Key::unique("name", text), Key::shared("tag", text)];
        let search = text.to_owned();
        let whole = Draft { body: text.to_owned(), keys, search, expires_at: None };
        let mut told = act(text);
        told.actor.id = text.to_owned();
        told.detail = text.to_owned();
        store.write(&[insert(&name, whole)], &[told], NOW).await.unwrap();
        let read = account(&store, &name).await.unwrap();
        assert!(read.body == text, "{name}");
        let found = store.find(Kind::Account, "name", text).await.unwrap().unwrap();
        assert_eq!(found.id, id(&name));
        let list = List { by: Some(("tag", text.to_owned())), ..accounts() };
        assert_eq!(ids(&store, &list).await, [name]);
    }
    // A NUL, which PostgreSQL cannot keep, is another character on both.
    let nul = Draft { body: "a\0b".to_owned(), search: "a\0b".to_owned(), ..draft("") };
    let nul = Draft { keys: vec![Key::unique("name", "a\0b")], ..nul };
    let mut told = act("a\0b");
    told.actor.name = "\0".to_owned();
    store.write(&[insert("n\0", nul)], &[told], NOW).await.unwrap();
    assert_eq!(account(&store, "n\0").await.unwrap().body, "a\u{fffd}b");
    assert!(store.find(Kind::Account, "name", "a\0b").await.unwrap().is_some());
    let list = List { search: Some("\0b".to_owned()), ..accounts() };
    assert_eq!(ids(&store, &list).await.len(), 1);
    assert!(store.write(&[insert(&"i".repeat(3000), draft("{}"))], &[], NOW).await.is_err());
    conference::store::audit::verify(&store).await.unwrap();
    store.close().await;
}
