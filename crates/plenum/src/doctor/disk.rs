//! Whether the data folder takes what is to be kept, and the database opens.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use auth::MasterKey;
use rustix::fs::statvfs;
use store::Schema;

use super::finding::{Finding, Findings};
use crate::config::Config;
use crate::keeping;

/// With less the database soon cannot be written, in bytes.
const LEAST: u64 = 100 << 20;
/// A busy server writes so much in some weeks, in bytes.
const COMFORT: u64 = 1 << 30;
/// The database alone needs a handful of files.
const LEAST_FILES: u64 = 1000;

/// The data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// There is none yet, and it can be made.
    ToBeMade,
    /// There is none, and it cannot be made.
    Missing(String),
    /// Something else has its name.
    SomethingElse,
    /// Nothing can be written there.
    Unwritable(String),
    /// It is good.
    Writable,
}

/// The server's own key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// There is none.
    None,
    /// It cannot be used.
    Bad(String),
    /// It is good.
    Good,
}

/// What is known of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The data folder's name.
    pub dir: PathBuf,
    /// How it is.
    pub folder: Folder,
    /// Whether others of this machine may look into it.
    pub open_to_others: bool,
    /// Bytes that are free there.
    pub free: Option<u64>,
    /// Files that can still be made there; `None`: the file system does not count.
    pub free_files: Option<u64>,
    /// The server's own key.
    pub key: Key,
    /// The schema of the database, `None` where there is no database yet; or why it does not open.
    pub database: Result<Option<Schema>, String>,
}

impl Facts {
    /// Looks at the folder, writes a file there for a moment, and opens the database to read.
    pub async fn gather(config: &Config) -> Self {
        let dir = config.data.dir.clone();
        let key_file = keeping::key_file(&config.data);
        let key = match key_file.exists() {
            false => Key::None,
            true => MasterKey::in_file(&key_file)
                .map_or_else(|it| Key::Bad(it.to_string()), |_| Key::Good),
        };
        let database = match keeping::database(&config.data) {
            Ok(url) => store::look(&url).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let there = fs::metadata(&dir).ok().filter(fs::Metadata::is_dir);
        let mode = there.map_or(0, |it| it.permissions().mode());
        // A file system of the kernel itself, such as /proc, has no size.
        let space = existing(&dir).and_then(|it| statvfs(it).ok()).filter(|it| it.f_blocks > 0);
        Self {
            folder: folder(&dir),
            open_to_others: mode & 0o007 != 0,
            free: space.as_ref().map(|it| it.f_bavail.saturating_mul(it.f_frsize)),
            free_files: space.filter(|it| it.f_files > 0).map(|it| it.f_favail),
            dir,
            key,
            database,
        }
    }
}

/// The folder itself, or the nearest above it.
fn existing(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|it| it.exists()).or(Some(Path::new("."))).filter(|it| it.exists())
}

fn folder(dir: &Path) -> Folder {
    match fs::metadata(dir) {
        Ok(there) if !there.is_dir() => Folder::SomethingElse,
        Ok(_) => try_to_write(dir)
            .map_or_else(|it| Folder::Unwritable(it.to_string()), |()| Folder::Writable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = dir.ancestors().skip(1).find(|it| it.exists());
            // The parent of a name alone is the folder where the program was started.
            match try_to_write(above.unwrap_or(Path::new("."))) {
                Ok(()) => Folder::ToBeMade,
                Err(error) => Folder::Missing(error.to_string()),
            }
        }
        Err(error) => Folder::Missing(error.to_string()),
    }
}

/// Whether a file can be made, written and removed.
fn try_to_write(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".plenum-doctor-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let written = file.write_all(b"written by plenum doctor\n").and_then(|()| file.sync_all());
    fs::remove_file(&path)?;
    written
}

/// What is wrong with the disk.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::of("disk");
    let dir = facts.dir.display();
    let own = format!(
        "let the server's user write there (`chown plenum {dir}`), or set another `dir` in [data]"
    );
    match &facts.folder {
        Folder::Writable => {}
        Folder::ToBeMade => {
            findings.warn(
                format!("there is no data folder {dir} yet"),
                "the first start makes it; if there was one, mount or restore it",
            );
        }
        Folder::Missing(why) => {
            findings.fail(format!("there is no data folder {dir}, nor can it be made: {why}"), own);
        }
        Folder::SomethingElse => {
            findings.fail(format!("{dir} is no folder"), "set another `dir` in [data]")
        }
        Folder::Unwritable(why) => {
            findings.fail(format!("nothing can be written to the data folder {dir}: {why}"), own);
        }
    }
    if facts.open_to_others {
        let mend = format!("chmod o= {dir}");
        findings
            .warn(format!("everybody on this machine may look into the data folder {dir}"), mend);
    }
    check_space(facts, &mut findings);
    check_content(facts, &mut findings);
    findings.or_well(|| {
        let free = facts.free.map_or_else(String::new, |it| format!(", {} free", size(it)));
        let database = match &facts.database {
            Ok(Some(_)) => "the database opens",
            _ => "the database is made at the first start",
        };
        format!("{dir} can be written{free}; {database}")
    })
}

fn check_space(facts: &Facts, findings: &mut Findings) {
    let dir = facts.dir.display();
    let mend = "make room there, or keep less history (`days` and `figures_days` in [history])";
    if let Some(free) = facts.free.filter(|it| *it < COMFORT) {
        let what = format!("{dir} has {} left", size(free));
        if free < LEAST { findings.fail(what, mend) } else { findings.warn(what, mend) }
    }
    if let Some(files) = facts.free_files.filter(|it| *it < LEAST_FILES) {
        let mend = "remove files from that file system, or make it anew with more inodes";
        findings.fail(format!("the file system of {dir} has room for {files} files only"), mend);
    }
}

fn check_content(facts: &Facts, findings: &mut Findings) {
    match &facts.database {
        Err(why) => findings.fail(
            why.clone(),
            "see that it runs and that `database` in [data] leads there; what is damaged is restored \
             by `plenum restore`",
        ),
        Ok(Some(schema)) if schema.found < schema.latest => findings.warn(
            format!("the database has schema {}, not yet {}", schema.found, schema.latest),
            "make a backup with the old version: the next start of this one brings it up to date",
        ),
        Ok(_) => {}
    }
    match (&facts.key, &facts.database) {
        (Key::Bad(why), _) => findings.fail(
            format!("the server's own key: {why}"),
            "restore it from the copy that belongs to this database, readable by its owner alone",
        ),
        (Key::None, Ok(Some(_))) => findings.fail(
            "there is a database, and the server's own key is missing: nobody can sign in",
            format!(
                "restore {} from the copy kept beside the backups",
                facts.dir.join("secret.key").display()
            ),
        ),
        _ => {}
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let (mib, gib) = (bytes >> 20, bytes >> 30);
    if gib > 0 { format!("{gib} GiB") } else { format!("{mib} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn facts() -> Facts {
        Facts {
            dir: "/var/lib/plenum".into(),
            folder: Folder::Writable,
            open_to_others: false,
            free: Some(50 << 30),
            free_files: Some(1_000_000),
            key: Key::Good,
            database: Ok(Some(Schema { found: 1, latest: 1 })),
        }
    }

    fn only(facts: &Facts) -> Finding {
        let mut found = check(facts);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn a_folder_that_can_be_written_is_well() {
        let found = only(&facts());
        assert_eq!(found.state, State::Well);
        assert_eq!(found.what, "/var/lib/plenum can be written, 50 GiB free; the database opens");
        let first = Facts { key: Key::None, database: Ok(None), free_files: None, ..facts() };
        assert_eq!(only(&first).state, State::Well);
    }

    #[test]
    fn a_folder_that_cannot_be_written_fails() {
        for (folder, state) in [
            (Folder::ToBeMade, State::Warning),
            (Folder::Missing("denied".to_owned()), State::Failure),
            (Folder::SomethingElse, State::Failure),
            (Folder::Unwritable("read-only".to_owned()), State::Failure),
        ] {
            let found = only(&Facts { folder, ..facts() });
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.mend.is_some() && found.what.contains("/var/lib/plenum"), "{found:?}");
        }
        let open = only(&Facts { open_to_others: true, ..facts() });
        assert_eq!(
            (open.state, open.mend.unwrap().as_str()),
            (State::Warning, "chmod o= /var/lib/plenum")
        );
    }

    #[test]
    fn space_that_runs_out_is_told_in_time() {
        assert_eq!(only(&Facts { free: Some(500 << 20), ..facts() }).state, State::Warning);
        let full = only(&Facts { free: Some(5 << 20), ..facts() });
        assert_eq!(
            (full.state, full.what.as_str()),
            (State::Failure, "/var/lib/plenum has 5 MiB left")
        );
        assert_eq!(only(&Facts { free_files: Some(3), ..facts() }).state, State::Failure);
        assert_eq!(only(&Facts { free: None, ..facts() }).state, State::Well);
    }

    #[test]
    fn database_and_key_belong_together() {
        assert_eq!(only(&Facts { key: Key::None, ..facts() }).state, State::Failure);
        assert_eq!(
            only(&Facts { key: Key::Bad("open".to_owned()), ..facts() }).state,
            State::Failure
        );
        let gone = Facts { database: Err("the database: refused".to_owned()), ..facts() };
        assert_eq!(only(&gone).what, "the database: refused");
        let old = Facts { database: Ok(Some(Schema { found: 1, latest: 2 })), ..facts() };
        assert_eq!(only(&old).state, State::Warning);
    }

    #[test]
    fn folders_are_told_apart() {
        let base = std::env::temp_dir().join(format!("plenum-doctor-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        assert_eq!(folder(&base), Folder::Writable);
        assert_eq!(fs::read_dir(&base).unwrap().count(), 0, "nothing is left lying about");
        assert_eq!(folder(&base.join("a/b")), Folder::ToBeMade);
        fs::write(base.join("file"), "").unwrap();
        assert_eq!(folder(&base.join("file")), Folder::SomethingElse);
        assert!(matches!(folder(&base.join("file/below")), Folder::Missing(_)));
        assert!(matches!(folder(Path::new("/proc/plenum")), Folder::Missing(_)));
        fs::remove_dir_all(&base).unwrap();
    }
}
