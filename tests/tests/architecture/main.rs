//! The design's invariants, checked from `cargo metadata` and the sources.
//!
//! Each module holds one family of rules as pure functions from text to violations, with a bad
//! sample for every rule beside it, so that a rule which no longer finds anything is noticed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code; clippy's allow-…-in-tests sees only #[test] functions"
)]

mod layers;
mod licences;
mod lints;
mod purity;
mod size;
mod source;
mod text;
mod workspace;

use std::fmt;

use source::Source;
use workspace::Workspace;

/// One broken rule: where, what, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path from the repository's root, with a line where there is one.
    at: String,
    what: String,
    mend: &'static str,
}

impl Violation {
    fn new(at: impl Into<String>, what: impl Into<String>, mend: &'static str) -> Self {
        Self { at: at.into(), what: what.into(), mend }
    }

    fn in_line(file: &str, line: usize, what: impl Into<String>, mend: &'static str) -> Self {
        Self::new(format!("{file}:{line}"), what, mend)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    mend: {}", self.at, self.what, self.mend)
    }
}

fn pass(violations: Vec<Violation>) {
    let list: Vec<_> = violations.iter().map(|v| format!("\n  {v}")).collect();
    assert!(list.is_empty(), "{} broken:{}\n", list.len(), list.concat());
}

fn every_source(rule: impl Fn(&Source) -> Vec<Violation>) -> Vec<Violation> {
    source::all(Workspace::get()).iter().flat_map(rule).collect()
}

#[test]
fn a_crate_depends_only_on_lower_layers() {
    pass(layers::directions(&Workspace::get().members));
}

#[test]
fn foreign_stacks_have_one_user_each() {
    pass(layers::single_users(&Workspace::get().members));
}

#[test]
fn one_module_alone_sees_str0m() {
    pass(every_source(purity::str0m_in_one_module));
}

#[test]
fn below_layer_three_only_drivers_touch_sockets_or_tokio() {
    pass(every_source(purity::no_sockets_outside_drivers));
}

#[test]
fn below_layer_three_only_drivers_read_a_clock() {
    pass(every_source(purity::no_clock_outside_drivers));
}

#[test]
fn the_packet_path_has_no_lock_channel_or_clock() {
    pass(every_source(purity::sfu_core_is_pure));
}

#[test]
fn every_crate_has_the_workspaces_lints() {
    let workspace = Workspace::get();
    let mut broken = lints::workspace_table(&workspace.manifest);
    for member in &workspace.members {
        broken.extend(lints::inherited(member, &workspace.manifest));
    }
    pass(broken);
}

#[test]
fn no_source_switches_a_guarding_lint_off_without_a_reason() {
    pass(every_source(lints::no_silent_allow));
}

#[test]
fn lower_layers_document_everything() {
    pass(every_source(lints::documented));
}

#[test]
fn files_and_functions_stay_short() {
    let sources = source::all(Workspace::get());
    let mut longest = size::rust(&sources);
    longest.extend(size::typescript(&Workspace::get().text_files()));
    pass(size::judge(&longest, include_str!("exceptions.txt")));
}

#[test]
fn every_direct_dependency_has_its_reason() {
    let workspace = Workspace::get();
    let architecture = workspace.read("ARCHITECTURE.md").unwrap_or_default();
    pass(text::dependencies_explained(&workspace.direct_dependencies(), &architecture));
}

#[test]
fn no_text_names_a_registry_or_a_path_of_one_machine() {
    let files = Workspace::get().text_files();
    pass(files.iter().flat_map(|(path, text)| text::no_foreign_places(path, text)).collect());
}

#[test]
fn what_is_linked_has_an_allowed_licence_and_source() {
    let workspace = Workspace::get();
    let policy = licences::Policy::parse(&workspace.read("deny.toml").expect("deny.toml"));
    pass(licences::check(&workspace.linked(), &policy));
}
