//! What every story with real peers needs around it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// One story: its folder of artefacts, and the right to run. Two cores carry one meeting of browsers
/// at a time.
pub struct Story {
    /// Where pictures, recordings and logs of this story go.
    pub artefacts: PathBuf,
    _turn: File,
}

impl Story {
    /// Waits until no other story runs, and begins with an empty folder.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn begin(name: &str) -> Self {
        Self::after(name, |turn| turn.lock())
    }

    /// The same beside others of its kind: stories that wait more than they work. The runner has to
    /// know them as well (`scripts/nextest.toml`).
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn begin_beside_others(name: &str) -> Self {
        Self::after(name, |turn| turn.lock_shared())
    }

    fn after(name: &str, wait: fn(&File) -> io::Result<()>) -> Self {
        let folder = target().join("artefacts");
        fs::create_dir_all(&folder).expect("the folder of artefacts");
        let turn = File::create(folder.join("turn.lock")).expect("the lock of turns");
        wait(&turn).expect("a turn");
        let artefacts = folder.join(name);
        let _ = fs::remove_dir_all(&artefacts);
        fs::create_dir_all(&artefacts).expect("the story's folder");
        Self { artefacts, _turn: turn }
    }

    /// A file among the artefacts.
    pub fn file(&self, name: &str) -> PathBuf {
        self.artefacts.join(name)
    }
}
