//! A visitor's machine: its own network, and a home with the root certificates that its user installed.

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use crate::network::Network;
use crate::story::Story;

/// Where Chromium looks for roots in the home.
const NSS: &str = ".pki/nssdb";
/// Roots for everything else, PEM.
const ROOTS: &str = "roots.pem";
/// baresip 1.0.0 takes any certificate. OpenSSL's own configuration has it verify them.
const VERIFY: &str = "openssl_conf = openssl\n[openssl]\nssl_conf = ssl\n\
                      [ssl]\nsystem_default = defaults\n[defaults]\nVerifyMode = Peer\n";
const VERIFY_FILE: &str = "openssl.cnf";

/// A machine on which programs verify certificates as they come.
pub struct Machine {
    network: Network,
    home: PathBuf,
}

impl Machine {
    /// A machine in this network that trusts no certificate yet. Its home, of this name, is among the
    /// story's artefacts.
    ///
    /// # Panics
    /// When the home cannot be made.
    pub fn new(story: &Story, name: &str, network: &Network) -> Self {
        let home = story.file(name);
        fs::create_dir_all(home.join(NSS)).expect("its home");
        fs::write(home.join(VERIFY_FILE), VERIFY).expect("OpenSSL's configuration");
        let machine = Self { network: network.clone(), home };
        machine.certutil(&["-N", "--empty-password"]);
        machine
    }

    /// Installs a root certificate, PEM.
    ///
    /// # Panics
    /// When it is none.
    pub fn trust(&self, root: &str) {
        let roots = self.home.join(ROOTS);
        fs::write(&roots, root).expect("its roots");
        let roots = roots.to_str().expect("a path of letters");
        self.certutil(&["-A", "-n", "installed", "-t", "C,,", "-i", roots]);
    }

    /// The roots that were installed, if any were.
    pub fn roots(&self) -> Option<PathBuf> {
        Some(self.home.join(ROOTS)).filter(|it| it.exists())
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.network.address()
    }

    /// Its network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A program that its user will start.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.network.command(program);
        command.env("HOME", &self.home).env("OPENSSL_CONF", self.home.join(VERIFY_FILE));
        command
    }

    fn certutil(&self, arguments: &[&str]) {
        let database = format!("sql:{}", self.home.join(NSS).display());
        let done = Command::new("certutil").args(["-d", &database]).args(arguments).output();
        let done = done.expect("certutil starts");
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "certutil {arguments:?}: {complaint}");
    }
}
