//! What is checked: the members of the workspace, what they link, and the tracked files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde::Deserialize;

/// The repository as it stands on disk.
pub struct Workspace {
    pub root: PathBuf,
    /// The root `Cargo.toml`.
    pub manifest: toml::Table,
    pub members: Vec<Member>,
}

/// A crate of ours.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    /// Its `Cargo.toml`, from the repository's root.
    pub manifest_path: String,
    pub manifest: toml::Table,
    pub dependencies: Vec<Dependency>,
}

/// A line of a `[dependencies]` table, dev- and build-dependencies included.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    pub name: String,
    /// Only crates of our own have one.
    pub path: Option<String>,
}

/// Any package that the default build for this machine contains.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    /// `None` for crates of our own.
    pub source: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

impl Workspace {
    /// Read once for all tests of this process.
    pub fn get() -> &'static Self {
        static ONCE: OnceLock<Workspace> = OnceLock::new();
        ONCE.get_or_init(Self::load)
    }

    fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
        let root = root.canonicalize().expect("the repository's root");
        let metadata = cargo_metadata(&root, &["--no-deps", "--offline"])
            .expect("cargo metadata --no-deps needs no network");
        let manifest = parse_toml(&root.join("Cargo.toml"));
        let members = metadata.packages.into_iter().map(|package| member(&root, package)).collect();
        Self { root, manifest, members }
    }

    /// Text of a file, by its path from the root.
    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    /// Tracked files, and new ones that git does not ignore, from the root with `/`.
    pub fn files(&self) -> Vec<String> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .expect("git, to know which files belong to the repository");
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let names = String::from_utf8(listed.stdout).expect("file names in UTF-8");
        let names: BTreeSet<_> = names.split('\0').filter(|name| !name.is_empty()).collect();
        // A file that was deleted and not yet committed is listed as well.
        names.into_iter().filter(|n| self.root.join(n).is_file()).map(str::to_owned).collect()
    }

    /// Files in UTF-8 with their text.
    pub fn text_files(&self) -> Vec<(String, String)> {
        self.files().into_iter().filter_map(|f| self.read(&f).map(|text| (f, text))).collect()
    }

    /// Every foreign package that a manifest of ours names: crates, and what the page ships.
    pub fn direct_dependencies(&self) -> BTreeSet<String> {
        let crates = self.members.iter().flat_map(|member| &member.dependencies);
        let mut names: BTreeSet<_> =
            crates.filter(|d| d.path.is_none()).map(|d| d.name.clone()).collect();
        let page = self.read("crates/web/package.json").unwrap_or_default();
        let page: serde_json::Value = serde_json::from_str(&page).unwrap_or_default();
        let shipped = page.get("dependencies").and_then(|list| list.as_object());
        names.extend(shipped.into_iter().flatten().map(|(name, _)| name.clone()));
        names
    }

    /// Everything in the default build's dependency graph for this machine.
    pub fn linked(&self) -> Vec<Package> {
        let target = format!("--filter-platform={}", host());
        // A fresh clone has what the build needed; only if more is asked for is it fetched.
        cargo_metadata(&self.root, &[&target, "--offline"])
            .or_else(|_| cargo_metadata(&self.root, &[&target]))
            .unwrap_or_else(|error| panic!("cargo metadata: {error}"))
            .packages
    }
}

fn member(root: &Path, package: Package) -> Member {
    let path = package.manifest_path.strip_prefix(root).unwrap_or(&package.manifest_path);
    Member {
        name: package.name,
        manifest_path: path.to_string_lossy().into_owned(),
        manifest: parse_toml(&package.manifest_path),
        dependencies: package.dependencies,
    }
}

fn parse_toml(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn cargo_metadata(root: &Path, options: &[&str]) -> Result<Metadata, String> {
    let output = cargo(root)
        .args(["metadata", "--format-version", "1"])
        .args(options)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn host() -> String {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .output()
        .expect("rustc, which has just compiled this");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc -vV names its host").to_owned()
}
