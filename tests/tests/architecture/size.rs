//! Files under 800 lines without their tests, functions under 80, and the exceptions to it.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Violation;
use crate::source::{Source, is_test_only};

const FILE: usize = 800;
const FUNCTION: usize = 80;
const EXCEPTIONS: &str = "tests/tests/architecture/exceptions.txt";

/// A file, or a function in it, with its length.
#[derive(Debug)]
pub struct Length {
    /// `path`, or `path::Type::function`: what an exception names.
    key: String,
    path: String,
    line: usize,
    lines: usize,
    limit: usize,
}

/// Every file and function of these; tests are not counted.
pub fn rust(sources: &[Source]) -> Vec<Length> {
    let mut lengths = Vec::new();
    for source in sources.iter().filter(|source| !source.is_integration_test()) {
        lengths.push(of_file(&source.path, source.lines()));
        let mut finder = FunctionFinder { source, owner: Vec::new(), lengths: Vec::new() };
        finder.visit_file(&source.syntax);
        lengths.append(&mut finder.lengths);
    }
    lengths
}

/// The page's files; their tests stand in files of their own.
pub fn typescript(files: &[(String, String)]) -> Vec<Length> {
    let is_code =
        |path: &str| (path.ends_with(".ts") || path.ends_with(".tsx")) && !path.contains(".test.");
    let code = files.iter().filter(|(path, _)| is_code(path));
    code.map(|(path, text)| of_file(path, text.lines().count())).collect()
}

fn of_file(path: &str, lines: usize) -> Length {
    Length { key: path.to_owned(), path: path.to_owned(), line: 1, lines, limit: FILE }
}

struct FunctionFinder<'a> {
    source: &'a Source,
    /// The types and functions around the place.
    owner: Vec<String>,
    lengths: Vec<Length>,
}

impl FunctionFinder<'_> {
    fn enter(
        &mut self,
        signature: &syn::Signature,
        body: &syn::Block,
        inside: impl FnOnce(&mut Self),
    ) {
        let start = signature.span().start().line;
        let end = body.span().end().line;
        self.owner.push(signature.ident.to_string());
        self.lengths.push(Length {
            key: format!("{}::{}", self.source.path, self.owner.join("::")),
            path: self.source.path.clone(),
            line: start,
            lines: end - start + 1,
            limit: FUNCTION,
        });
        inside(self);
        self.owner.pop();
    }
}

impl<'ast> Visit<'ast> for FunctionFinder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test_only(&item.attrs) {
            self.enter(&item.sig, &item.block, |s| visit::visit_item_fn(s, item));
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test_only(&item.attrs) {
            self.enter(&item.sig, &item.block, |s| visit::visit_impl_item_fn(s, item));
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.enter(&item.sig, body, |s| visit::visit_trait_item_fn(s, item));
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let syn::Type::Path(path) = &*item.self_ty else {
            return visit::visit_item_impl(self, item);
        };
        let name = path.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
        self.owner.push(name);
        visit::visit_item_impl(self, item);
        self.owner.pop();
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_only(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }
}

/// An exception names what it is for and its length now, so that the list can only shrink.
fn exceptions(text: &str) -> Result<BTreeMap<&str, (usize, usize)>, Violation> {
    let mut list = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (key, lines) = (words.next(), words.next().and_then(|word| word.parse().ok()));
        let (Some(key), Some(lines), Some(_reason)) = (key, lines, words.next()) else {
            let mend = "write: path or path::Type::function, its lines now, the reason";
            return Err(Violation::in_line(EXCEPTIONS, index + 1, "no exception", mend));
        };
        list.insert(key, (index + 1, lines));
    }
    Ok(list)
}

/// Compares with the limits and with the list of exceptions.
pub fn judge(lengths: &[Length], list: &str) -> Vec<Violation> {
    let mut exceptions = match exceptions(list) {
        Ok(list) => list,
        Err(broken) => return vec![broken],
    };
    let mut broken = Vec::new();
    for length in lengths.iter().filter(|l| l.lines >= l.limit) {
        let Length { key, path, line, lines, limit } = length;
        match exceptions.remove(&**key) {
            None => {
                let what = format!("`{key}` has {lines} lines; under {limit} are allowed");
                let mend = "split it where a reader would put a heading; tests do not count";
                broken.push(Violation::in_line(path, *line, what, mend));
            }
            Some((_, listed)) if *lines > listed => {
                let what = format!("`{key}` grew from {listed} to {lines} lines");
                let mend = "an exception may only shrink: move the new part out";
                broken.push(Violation::in_line(path, *line, what, mend));
            }
            Some((at, listed)) if *lines < listed => {
                let what = format!("`{key}` has only {lines} lines left, {listed} are listed");
                broken.push(Violation::in_line(EXCEPTIONS, at, what, "list the smaller number"));
            }
            Some(_) => {}
        }
    }
    for (key, (at, _)) in exceptions {
        let what = format!("`{key}` needs no exception any more");
        broken.push(Violation::in_line(EXCEPTIONS, at, what, "delete the line"));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/room/src/lib.rs";

    fn lengths(text: &str) -> Vec<Length> {
        rust(&[Source::parse(PATH, text).unwrap()])
    }

    fn function(lines: usize) -> String {
        format!(
            "struct S;\nimpl S {{\n    fn long() {{\n{}    }}\n}}\n",
            "        f();\n".repeat(lines - 2)
        )
    }

    fn at(broken: &[Violation]) -> Vec<&str> {
        broken.iter().map(|violation| &*violation.at).collect()
    }

    #[test]
    fn a_long_function_is_found() {
        assert!(judge(&lengths(&function(FUNCTION - 1)), "").is_empty());
        let broken = judge(&lengths(&function(FUNCTION)), "");
        assert_eq!(at(&broken), ["crates/room/src/lib.rs:3"]);
        assert!(broken[0].what.contains("lib.rs::S::long"), "{broken:?}");
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "const A: u8 = 0;\n".repeat(FILE);
        assert_eq!(at(&judge(&lengths(&long), "")), ["crates/room/src/lib.rs:1"]);
        assert_eq!(judge(&typescript(&[("page/app.tsx".into(), long.clone())]), "").len(), 1);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}{long}}}", function(90));
        assert!(judge(&lengths(&tests), "").is_empty());
        let table = Source::parse("crates/sdp/tests/devices.rs", &function(90)).unwrap();
        assert!(judge(&rust(&[table]), "").is_empty());
    }

    #[test]
    fn an_exception_may_only_shrink() {
        let (exact, key) = (function(90), "crates/room/src/lib.rs::S::long");
        let judged = |text: &str, list: String| {
            judge(&lengths(text), &list).into_iter().map(|v| v.at).collect::<Vec<_>>()
        };
        let listed = |lines: usize| format!("# why\n{key} {lines} a table, read top-down");
        assert!(judged(&exact, listed(90)).is_empty());
        assert_eq!(judged(&exact, listed(89)), ["crates/room/src/lib.rs:3"]);
        let line = format!("{EXCEPTIONS}:2");
        assert_eq!(judged(&exact, listed(91)), [&*line]);
        assert_eq!(judged(&function(20), listed(90)), [&*line]);
        assert_eq!(judged(&exact, format!("\n{key} 90")), [&*line], "an exception needs a reason");
    }
}
