//! The server's own key, from which all others are derived: a file that nobody else can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::RngCore;

/// Bytes of the key.
const LENGTH: usize = 32;
/// A file longer than this is not the key.
const MAX_FILE: u64 = 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others of this machine can read the file.
    #[error("{} can be read by others: chmod 600 it", .0.display())]
    Open(PathBuf),
    /// The file holds something else.
    #[error("{} is not 32 bytes in base64: restore the file that the database was used with", .0.display())]
    Content(PathBuf),
}

/// 256 secret bits. `Debug` never shows them.
#[derive(Clone)]
pub struct MasterKey([u8; LENGTH]);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(****)")
    }
}

impl MasterKey {
    /// A new random key.
    pub fn random() -> Self {
        let mut bytes = [0; LENGTH];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The key in a file, which is made where there is none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn in_file(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        match fs::File::open(path) {
            Ok(file) => Self::read(&file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::random();
                match key.write(path) {
                    Ok(()) => Ok(key),
                    // Another program made it at this moment.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        Self::read(&fs::File::open(path).map_err(failed)?, path)
                    }
                    Err(error) => Err(failed(error)),
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn read(file: &fs::File, path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
        let bytes = BASE64_STANDARD.decode(text.trim()).ok();
        let bytes = bytes.and_then(|it| it.try_into().ok());
        bytes.map(Self).ok_or_else(|| KeyError::Content(path.to_owned()))
    }

    /// Whole under its name or not there at all: a key that was half written would lock everybody
    /// out.
    fn write(&self, path: &Path) -> io::Result<()> {
        let unfinished = path.with_extension(format!("new-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{}", BASE64_STANDARD.encode(self.0))?;
        file.sync_all()?;
        // Unlike a rename it does not replace the key of another program.
        let linked = fs::hard_link(&unfinished, path);
        fs::remove_file(&unfinished)?;
        linked?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, purpose.as_bytes());
        let mut derived = [0; 32];
        for (to, from) in derived.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        derived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = std::env::temp_dir().join(format!("plenum-key-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("secret.key");
        let made = MasterKey::in_file(&path).unwrap();
        assert_eq!(MasterKey::in_file(&path).unwrap().derive("x"), made.derive("x"));
        assert_ne!(made.derive("x"), made.derive("y"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left lying about");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::in_file(&path), Err(KeyError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(MasterKey::in_file(&path), Err(KeyError::Content(_))));
        fs::remove_dir_all(&folder).unwrap();
    }
}
