//! The audit log and its chain.

use std::net::IpAddr;
use std::sync::Arc;

use conference::store::audit::{ChainError, GENESIS, VerifyError, verify};
use conference::store::{Actor, ActorKind, AuditQuery, Outcome, Store, StoreError, Target};
use types::Timestamp;

use crate::kit::{Database, NOW, act, draft, ids, insert};

pub async fn eight_writers_make_one_chain(database: &Database) {
    let store = Arc::new(database.open().await);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..25 {
                    let name = format!("{writer}-{number:02}");
                    let acts = [act("account.create"), act("account.see")];
                    let acts = &acts[..1 + number % 2];
                    store.write(&[insert(&name, draft("{}"))], acts, NOW).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(verify(&*store).await, Ok(8 * (13 + 2 * 12)));
    let list = conference::store::List { limit: 500, ..crate::kit::accounts() };
    assert_eq!(ids(&*store, &list).await.len(), 200);
    store.close().await;
}

pub async fn the_log_is_read_by_its_conditions(database: &Database) {
    let store = database.open().await;
    assert_eq!(store.audit_head().await, Ok(None));
    assert_eq!(verify(&store).await, Ok(0));
    let mut written = Vec::new();
    for (number, (action, outcome)) in [
        ("account.create", Outcome::Done),
        ("account.sign_in", Outcome::Refused),
        ("accountant.create", Outcome::Failed),
        ("meeting.create", Outcome::Done),
        ("account%create", Outcome::Done),
    ]
    .into_iter()
    .enumerate()
    {
        let mut told = act(action);
        told.at = Timestamp(NOW.0 + number as i64 * 1000);
        told.outcome = outcome;
        let kind = [ActorKind::Account, ActorKind::Nobody][number % 2];
        let id = ["anna", "bob"][number % 2].to_owned();
        told.actor = Actor { kind, id, name: "Анна".to_owned() };
        let target = ["x", "y", "z"][number % 3].to_owned();
        told.target =
            Target { kind: "meeting".to_owned(), id: target, name: "Совет".to_owned() };
        told.from = ["::1", "192.0.2.7"].get(number % 3).map(|it| it.parse::<IpAddr>().unwrap());
        told.detail = r#"{"a":1}"#.to_owned();
        store.write(&[], &[told.clone()], NOW).await.unwrap();
        written.push(told);
    }
    let all = AuditQuery { limit: 100, ..AuditQuery::default() };
    let read = store.audit(&all).await.unwrap();
    assert_eq!(read.iter().map(|it| it.act.clone()).collect::<Vec<_>>(), written);
    let first = conference::store::audit::hash(GENESIS, 1, &written[0]);
    assert_eq!(read[0].hash, first);
    let head = store.audit_head().await.unwrap();
    assert_eq!(head, Some((5, read[4].hash.clone())));
    let text = |it: &str| Some(it.to_owned());
    let second = Some(Timestamp(NOW.0 + 1000));
    let fourth = Some(Timestamp(NOW.0 + 3000));
    for (query, expected) in [
        (AuditQuery { after: 2, limit: 2, ..all.clone() }, vec![3, 4]),
        (AuditQuery { since: second, until: fourth, ..all.clone() }, vec![2, 3]),
        (AuditQuery { actor: text("anna"), ..all.clone() }, vec![1, 3, 5]),
        (AuditQuery { target: text("x"), ..all.clone() }, vec![1, 4]),
        (AuditQuery { action: text("account."), ..all.clone() }, vec![1, 2]),
        (AuditQuery { action: text("account%"), ..all.clone() }, vec![5]),
        (
            AuditQuery { actor: text("anna"), action: text("a"), after: 1, ..all.clone() },
            vec![3, 5],
        ),
        (AuditQuery { actor: text("nobody"), ..all }, vec![]),
    ] {
        let found = store.audit(&query).await.unwrap();
        let numbers: Vec<u64> = found.iter().map(|it| it.number).collect();
        assert_eq!(numbers, expected, "{query:?}");
    }
    store.close().await;
}

pub async fn whatever_is_changed_in_the_log_is_found(database: &Database) {
    let store = database.open().await;
    let acts: Vec<_> = (0..1200).map(|it| act(&format!("server.act{it}"))).collect();
    store.write(&[], &acts, NOW).await.unwrap();
    assert_eq!(verify(&store).await, Ok(1200));
    for (change, back, expected) in [
        (
            "UPDATE audit SET actor_name = 'somebody' WHERE number = 700",
            "UPDATE audit SET actor_name = 'server' WHERE number = 700",
            Some(ChainError::Changed { number: 700 }),
        ),
        (
            "UPDATE audit SET at = at + 1 WHERE number = 1",
            "UPDATE audit SET at = at - 1 WHERE number = 1",
            Some(ChainError::Changed { number: 1 }),
        ),
        (
            "UPDATE audit SET number = 5000 WHERE number = 30",
            "UPDATE audit SET number = 30 WHERE number = 5000",
            Some(ChainError::Gap { expected: 30, found: 31 }),
        ),
        (
            "UPDATE audit SET number = number + 5000 WHERE number > 1100",
            "UPDATE audit SET number = number - 5000 WHERE number > 1100",
            Some(ChainError::CutOff { expected: 1200, found: 1100 }),
        ),
        (
            "UPDATE audit_head SET number = 1199",
            "UPDATE audit_head SET number = 1200",
            Some(ChainError::Changed { number: 1199 }),
        ),
        (
            "UPDATE audit SET outcome = 'fine' WHERE number = 3",
            "UPDATE audit SET outcome = 'done' WHERE number = 3",
            None,
        ),
    ] {
        database.tamper(change).await;
        match (verify(&store).await, expected) {
            (Err(VerifyError::Chain(found)), Some(expected)) => assert_eq!(found, expected),
            (Err(VerifyError::Store(StoreError::Unavailable(why))), None) => {
                assert!(why.contains("entry 3 "), "{why}");
            }
            (other, _) => panic!("{change}: {other:?}"),
        }
        database.tamper(back).await;
    }
    assert_eq!(verify(&store).await, Ok(1200));
    database.tamper("DELETE FROM audit WHERE number > 1000").await;
    let cut = ChainError::CutOff { expected: 1200, found: 1000 };
    assert_eq!(verify(&store).await, Err(VerifyError::Chain(cut)));
    // What is written after that does not mend it.
    store.write(&[], &[act("server.start")], NOW).await.unwrap();
    let gap = ChainError::Gap { expected: 1001, found: 1201 };
    assert_eq!(verify(&store).await, Err(VerifyError::Chain(gap)));
    store.close().await;
}
