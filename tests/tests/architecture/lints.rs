//! The lints that guard a peer's input, `unsafe`, and documentation.

use syn::visit::{self, Visit};

use crate::Violation;
use crate::source::{Source, is_test_only};
use crate::workspace::Member;

/// What the workspace's table must hold, each with the weakest level that will do.
const GUARDS: &[(&str, &str, &str)] = &[
    ("rust", "unsafe_code", "forbid"),
    ("clippy", "unwrap_used", "deny"),
    ("clippy", "expect_used", "deny"),
    ("clippy", "panic", "deny"),
    ("clippy", "indexing_slicing", "deny"),
    ("clippy", "todo", "deny"),
    ("clippy", "unimplemented", "deny"),
    ("clippy", "await_holding_lock", "deny"),
];

/// Foreign code and system calls are wrapped in these two alone.
const MAY_BE_UNSAFE: &[&str] = &["codec", "udp"];

/// The test kits handle no stranger's input: a test that cannot go on has failed, by a panic.
const MAY_PANIC: &[&str] = &["tests", "world"];

fn level(table: &toml::Table, group: &str, lint: &str) -> Option<String> {
    let value = table.get(group)?.get(lint)?;
    let level = value.get("level").unwrap_or(value);
    level.as_str().map(str::to_owned)
}

fn lint_table(manifest: &toml::Table) -> toml::Table {
    let lints = manifest.get("lints").or_else(|| manifest.get("workspace")?.get("lints"));
    lints.and_then(toml::Value::as_table).cloned().unwrap_or_default()
}

/// The root `Cargo.toml` keeps every guarding lint.
pub fn workspace_table(manifest: &toml::Table) -> Vec<Violation> {
    let table = lint_table(manifest);
    let missing = GUARDS.iter().filter(|(group, lint, wanted)| {
        let found = level(&table, group, lint);
        found.as_deref() != Some(wanted) && found.as_deref() != Some("forbid")
    });
    let mend = "put it back under [workspace.lints]: a peer's input must not end the process";
    missing
        .map(|(group, lint, wanted)| {
            Violation::new("Cargo.toml", format!("{group} lint `{lint}` is not `{wanted}`"), mend)
        })
        .collect()
}

/// A crate has `[lints] workspace = true`; the two that may be unsafe list the same lints instead,
/// since a forbidden lint cannot be allowed again, and the test kit forbids `unsafe` at least.
pub fn inherited(member: &Member, workspace: &toml::Table) -> Vec<Violation> {
    let own = lint_table(&member.manifest);
    if own.get("workspace").and_then(toml::Value::as_bool) == Some(true) {
        return Vec::new();
    }
    if MAY_PANIC.contains(&&*member.name)
        && level(&own, "rust", "unsafe_code").as_deref() == Some("forbid")
    {
        return Vec::new();
    }
    if !MAY_BE_UNSAFE.contains(&&*member.name) {
        let what = format!("`{}` does not inherit the workspace's lints", member.name);
        let mend = "add  [lints] workspace = true";
        return vec![Violation::new(&member.manifest_path, what, mend)];
    }
    let wanted = lint_table(workspace);
    let groups = wanted.iter().filter_map(|(group, lints)| Some((group, lints.as_table()?)));
    let lints = groups.flat_map(|(group, lints)| lints.keys().map(move |lint| (group, lint)));
    lints
        .filter(|(_, lint)| *lint != "unsafe_code")
        .filter(|(group, lint)| level(&own, group, lint) != level(&wanted, group, lint))
        .map(|(group, lint)| {
            let what = format!("{group} lint `{lint}` is not as in the workspace");
            Violation::new(
                &member.manifest_path,
                what,
                "copy [workspace.lints] but for unsafe_code",
            )
        })
        .collect()
}

/// `allow` or `expect` of a guarding lint says why, and never holds for a whole crate.
pub fn no_silent_allow(source: &Source) -> Vec<Violation> {
    if !source.is_product() {
        return Vec::new();
    }
    let mut finder = AllowFinder { source, broken: Vec::new() };
    finder.visit_file(&source.syntax);
    finder.broken
}

struct AllowFinder<'a> {
    source: &'a Source,
    broken: Vec<Violation>,
}

impl<'ast> Visit<'ast> for AllowFinder<'_> {
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        visit::visit_attribute(self, attribute);
        let line = attribute.pound_token.span.start().line;
        let syn::Meta::List(list) = &attribute.meta else { return };
        let text = list.tokens.to_string();
        // `cfg_attr(not(test), allow(…))` carries the same list inside.
        let switches_off = ["allow", "expect"].iter().any(|word| list.path.is_ident(word))
            || (list.path.is_ident("cfg_attr") && text.contains("allow ("));
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let wrapper = MAY_BE_UNSAFE.contains(&&*self.source.krate);
        let guard = GUARDS
            .iter()
            .filter(|(_, lint, _)| !(wrapper && *lint == "unsafe_code"))
            .find(|(_, lint, _)| words.clone().any(|word| word == *lint));
        let (true, Some((_, lint, _)), false) =
            (switches_off, guard, self.source.is_test_line(line))
        else {
            return;
        };
        let of_a_file = matches!(attribute.style, syn::AttrStyle::Inner(_));
        if of_a_file || !words.clone().any(|word| word == "reason") {
            let what = format!("switches `{lint}` off without a reason, or for a whole module");
            let mend = "let the code say it: get(), let-else, a typed error; if it cannot be, \
                        #[allow(…, reason = \"…\")] on that one function";
            self.broken.push(Violation::in_line(&self.source.path, line, what, mend));
        }
    }
}

/// `lib.rs` of layers 0 to 3 asks for documentation of every public item.
pub fn documented(source: &Source) -> Vec<Violation> {
    let is_root = source.path == format!("crates/{}/src/lib.rs", source.krate);
    if !is_root || source.layer() > 3 {
        return Vec::new();
    }
    let asks = source.syntax.attrs.iter().any(|attribute| {
        let level = ["warn", "deny", "forbid"].iter().any(|l| attribute.path().is_ident(l));
        let syn::Meta::List(list) = &attribute.meta else { return false };
        level
            && !is_test_only(&source.syntax.attrs)
            && list.tokens.to_string().contains("missing_docs")
    });
    if asks {
        return Vec::new();
    }
    let what = "layers 0 to 3 are documented, and this crate does not ask for it";
    vec![Violation::in_line(&source.path, 1, what, "add  #![warn(missing_docs)]")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, manifest: &str) -> Member {
        Member {
            name: name.to_owned(),
            manifest_path: format!("crates/{name}/Cargo.toml"),
            manifest: manifest.parse().unwrap(),
            dependencies: Vec::new(),
        }
    }

    #[test]
    fn a_weakened_workspace_table_is_found() {
        let broken = workspace_table(&"[workspace.lints.clippy]\npanic = 'warn'".parse().unwrap());
        assert_eq!(broken.len(), GUARDS.len());
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let workspace: toml::Table =
            "[workspace.lints.rust]\nunsafe_code = 'forbid'\n[workspace.lints.clippy]\npanic = 'deny'"
                .parse()
                .unwrap();
        let broken = |name, manifest| inherited(&member(name, manifest), &workspace).len();
        assert_eq!(broken("rtp", "[lints]\nworkspace = true"), 0);
        assert_eq!(broken("rtp", ""), 1);
        assert_eq!(broken("rtp", "[lints.clippy]\npanic = 'deny'"), 1);
        assert_eq!(broken("tests", ""), 1);
        assert_eq!(broken("tests", "[lints.rust]\nunsafe_code = 'forbid'"), 0);
        assert_eq!(broken("rtp", "[lints.rust]\nunsafe_code = 'forbid'"), 1);
        assert_eq!(broken("udp", "[lints.clippy]\npanic = 'deny'"), 0);
        assert_eq!(broken("udp", "[lints.clippy]\npanic = 'warn'"), 1);
    }

    #[test]
    fn a_silent_allow_is_found() {
        let broken = |text: &str| {
            let source = Source::parse("crates/rtp/src/lib.rs", text).unwrap();
            no_silent_allow(&source).into_iter().map(|v| v.at).collect::<Vec<_>>()
        };
        let place = ["crates/rtp/src/lib.rs:1"];
        assert_eq!(broken("#[allow(clippy::unwrap_used)] fn f() {}"), place);
        assert_eq!(broken("#![allow(clippy::panic, reason = \"all\")]"), place);
        assert_eq!(broken("fn f() { #[expect(clippy::indexing_slicing)] let x = a[0]; }"), place);
        assert_eq!(broken("#[cfg_attr(unix, allow(clippy::panic))] fn f() {}"), place);
        assert!(broken("#[allow(clippy::panic, reason = \"one place\")] fn f() {}").is_empty());
        assert!(broken("#[cfg(test)] #[allow(clippy::panic)] mod tests {}").is_empty());
        assert!(broken("#[allow(dead_code)] fn f() {}").is_empty());
        let wrapper = Source::parse("crates/udp/src/lib.rs", "#![allow(unsafe_code)]").unwrap();
        assert!(no_silent_allow(&wrapper).is_empty());
    }

    #[test]
    fn an_undocumented_lower_crate_is_found() {
        let broken = |path: &str, text: &str| documented(&Source::parse(path, text).unwrap()).len();
        assert_eq!(broken("crates/room/src/lib.rs", "//! Rules."), 1);
        assert_eq!(broken("crates/room/src/lib.rs", "#![allow(missing_docs)]"), 1);
        assert_eq!(broken("crates/room/src/lib.rs", "#![warn(missing_docs)]"), 0);
        assert_eq!(broken("crates/api/src/lib.rs", "//! Routes."), 0);
    }
}
