//! L4: what needs ciphers: hashes of passwords and PINs, sealed secrets, one-time codes. Implements
//! [`conference::people::Vault`]; directories of other houses (LDAP, OIDC) come here too.

mod key;
mod vault;

pub use key::{KeyError, MasterKey};
pub use vault::LocalVault;
