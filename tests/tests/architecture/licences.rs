//! Licences, sources and bans by the lists of `deny.toml`, which cargo-deny reads as well.

use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::Violation;
use crate::workspace::Package;

/// What of `deny.toml` is read here.
#[derive(Deserialize)]
pub struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// More licences for one crate.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

impl Policy {
    pub fn parse(text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| panic!("deny.toml: {error}"))
    }

    fn allows(&self, package: &str, licence: &str) -> bool {
        let of_it = self.licenses.exceptions.iter().filter(|e| e.name == package);
        self.licenses.allow.iter().chain(of_it.flat_map(|e| &e.allow)).any(|l| l == licence)
    }
}

/// Everything that the default build links.
pub fn check(packages: &[Package], policy: &Policy) -> Vec<Violation> {
    packages.iter().flat_map(|package| judge(package, policy)).collect()
}

fn judge(package: &Package, policy: &Policy) -> Vec<Violation> {
    let at = format!("{} {}", package.name, package.version);
    let mut broken = Vec::new();
    if policy.bans.deny.iter().any(|banned| banned.name == package.name) {
        let mend = "put it behind the feature `gpl`, or use another; cargo tree -i shows who asks";
        broken.push(Violation::new(&at, "is banned by deny.toml", mend));
    }
    let registry =
        |source: &String| source.starts_with("registry+") || source.starts_with("sparse+");
    if package.source.as_ref().is_some_and(|source| !registry(source)) {
        let mend = "use a published version: others must be able to build this from a mirror";
        broken.push(Violation::new(&at, "does not come from a registry", mend));
    }
    if let Err(why) = licence(package, policy) {
        let mend = "use another crate; or, after reading it, allow the licence in deny.toml";
        broken.push(Violation::new(&at, why, mend));
    }
    broken
}

fn licence(package: &Package, policy: &Policy) -> Result<(), String> {
    let text = package.license.as_deref().ok_or("names no licence")?;
    let expression = Expression::parse_mode(text, ParseMode::LAX)
        .map_err(|error| format!("has an unreadable licence `{text}`: {error}"))?;
    if expression.evaluate(|licence| policy.allows(&package.name, &licence.to_string())) {
        return Ok(());
    }
    Err(format!("has the licence `{text}`, which is not allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        exceptions = [{ crate = "odd", allow = ["ISC"] }]
        [bans]
        deny = [{ crate = "x264" }]
    "#;

    fn broken(name: &str, license: Option<&str>, source: Option<&str>) -> usize {
        let package = serde_json::json!({
            "name": name, "version": "1.0.0", "license": license, "source": source,
            "manifest_path": "Cargo.toml", "dependencies": [],
        });
        let package: Package = serde_json::from_value(package).unwrap();
        check(&[package], &Policy::parse(POLICY)).len()
    }

    #[test]
    fn each_choice_of_licences_is_weighed() {
        assert_eq!(broken("a", Some("MIT/Apache-2.0"), None), 0);
        assert_eq!(broken("a", Some("GPL-3.0-only OR MIT"), None), 0);
        assert_eq!(broken("a", Some("Apache-2.0 WITH LLVM-exception"), None), 0);
        assert_eq!(broken("odd", Some("ISC AND MIT"), None), 0);
        assert_eq!(broken("a", Some("ISC AND MIT"), None), 1);
        assert_eq!(broken("a", Some("GPL-3.0-only"), None), 1);
        assert_eq!(broken("a", Some("MIT AND (GPL-2.0-or-later OR AGPL-3.0-only)"), None), 1);
        assert_eq!(broken("a", None, None), 1);
    }

    #[test]
    fn foreign_sources_and_bans_are_found() {
        assert_eq!(broken("a", Some("MIT"), Some("registry+https://index.example")), 0);
        assert_eq!(broken("a", Some("MIT"), Some("git+https://host.example/a")), 1);
        assert_eq!(broken("x264", Some("MIT"), None), 1);
    }
}
