//! Opening a store.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use conference::store::{Store, StoreError};
use store::{BackupError, Options};

use crate::kit::{Database, Folder, NOW, account, act, draft, insert};

pub async fn a_store_is_opened_again(database: &Database) {
    for number in 0..3 {
        let store = database.open().await;
        for earlier in 0..number {
            assert!(account(&store, &earlier.to_string()).await.is_some());
        }
        let change = insert(&number.to_string(), draft("{}"));
        store.write(&[change], &[act("account.create")], NOW).await.unwrap();
        assert_eq!(conference::store::audit::verify(&store).await, Ok(number + 1));
        // The last is dropped without a word.
        if number < 2 {
            store.close().await;
        }
    }
    // Two programs at once, such as the server and a command.
    let (one, two) = (database.open().await, database.open().await);
    one.write(&[insert("x", draft("{}"))], &[act("a")], NOW).await.unwrap();
    two.write(&[insert("y", draft("{}"))], &[act("b")], NOW).await.unwrap();
    assert!(account(&one, "y").await.is_some());
    assert_eq!(conference::store::audit::verify(&two).await, Ok(5));
    one.close().await;
    two.close().await;
}

pub async fn a_schema_of_the_future_is_refused(database: &Database) {
    let store = database.open().await;
    store.write(&[insert("a", draft("{}"))], &[], NOW).await.unwrap();
    store.close().await;
    let later = "INSERT INTO _sqlx_migrations \
                 (version, description, success, checksum, execution_time) \
                 SELECT 999, 'later', success, checksum, 0 FROM _sqlx_migrations \
                 WHERE version = 1";
    database.tamper(later).await;
    let refused = store::open(&database.url, &Options::default()).await.unwrap_err();
    let StoreError::Unavailable(why) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("a later version of Plenum wrote it (schema 999"), "{why}");
    let folder = Folder::new("future");
    let file = folder.path().join("a.backup");
    let refused = store::backup(&database.url, &file, NOW).await.unwrap_err();
    assert!(matches!(refused, BackupError::Store(_)), "{refused}");
    assert!(!file.exists());
    // Nothing was changed by that.
    database.tamper("DELETE FROM _sqlx_migrations WHERE version = 999").await;
    let store = database.open().await;
    assert!(account(&store, "a").await.is_some());
    store.close().await;
}

/// What is logged, kept.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub async fn a_wrong_place_is_told_without_its_password(database: &Database) {
    let told = Told::default();
    let writer = told.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _listening = tracing::subscriber::set_default(subscriber);
    let wrong = match database.is_sqlite() {
        true => "sqlite:/dev/null/plenum.db".to_owned(),
        false => database.url.replace("hush%21hush", "geheim%21geheim"),
    };
    let gone = "postgres://plenum:geheim%21geheim@127.0.0.1:9/plenum".to_owned();
    let odd = "postgres://plenum:geheim%21geheim@127.0.0.1:port/plenum".to_owned();
    let unknown = "mysql://plenum:geheim%21geheim@127.0.0.1/plenum".to_owned();
    for url in [wrong, gone, odd, unknown, "sqlite:".to_owned()] {
        let error = store::open(&url, &Options::default()).await.expect_err(&url);
        let (short, whole) = (error.to_string(), format!("{error:?}"));
        assert!(!short.contains("geheim") && !whole.contains("geheim"), "{short} {whole}");
        assert!(matches!(error, StoreError::Unavailable(_)), "{whole}");
    }
    let store = database.open().await;
    let whole = format!("{store:?}");
    assert!(whole.contains("SqlStore") && !whole.contains("hush"), "{whole}");
    store.write(&[insert("a", draft("{}"))], &[], NOW).await.unwrap();
    store.close().await;
    let told = String::from_utf8(told.0.lock().unwrap().clone()).unwrap();
    assert!(told.contains("the store is open"), "{told}");
    assert!(!told.contains("geheim") && !told.contains("hush"), "{told}");
}
