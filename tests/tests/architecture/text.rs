//! What the texts of the repository say, and must not say.

use std::collections::BTreeSet;

use crate::Violation;

/// Joined here, so that this file does not name what it forbids.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("yarnpkg", ".com"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("proxy.golang", ".org"),
    ("registry-1.docker", ".io"),
];

/// Folders of whoever wrote the text. What Debian's packages install (`/usr/bin/…`) is no such.
const MACHINE_PATHS: &[(&str, &str)] =
    &[("/work", "/"), ("/root", "/"), ("/home", "/"), ("/Users", "/")];

/// Cargo writes its default registry's name into the lock file whatever it fetches from.
const LOCK_FILE: &str = "Cargo.lock";

/// A clone works behind any mirror and on any machine.
pub fn no_foreign_places(path: &str, text: &str) -> Vec<Violation> {
    let is_lock = path.rsplit('/').next() == Some(LOCK_FILE);
    let mut broken = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (name, ending) in REGISTRIES.iter().filter(|_| !is_lock) {
            let host = format!("{name}{ending}");
            if line.contains(&host) {
                let mend = "name the package, not where it is kept (npm: \
                            omit-lockfile-registry-resolved=true, then npm install)";
                broken.push(Violation::in_line(path, index + 1, format!("names `{host}`"), mend));
            }
        }
        for (folder, slash) in MACHINE_PATHS {
            let folder = format!("{folder}{slash}");
            if starts_a_path(line, &folder) {
                let mend = "use a path from the repository's root, $HOME, or a temporary folder";
                let what = format!("names a path of one machine, `{folder}…`");
                broken.push(Violation::in_line(path, index + 1, what, mend));
            }
        }
    }
    broken
}

/// Whether `folder` stands at the beginning of a path, not inside a longer one or an address.
fn starts_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|start| start.chars().next_back());
        let after = line.get(at + folder.len()..).and_then(|rest| rest.chars().next());
        let inside = |c: char| c.is_alphanumeric() || "._-~/})*".contains(c);
        !before.is_some_and(inside) && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
    })
}

/// Under the heading "Dependencies" of ARCHITECTURE.md each has a line with its `name`.
pub fn dependencies_explained(names: &BTreeSet<String>, architecture: &str) -> Vec<Violation> {
    let section = section(architecture, "Dependencies");
    let missing = names.iter().filter(|name| {
        let quoted = format!("`{name}`");
        !section.iter().any(|line| line.contains(&quoted) && line.trim().len() > quoted.len() + 5)
    });
    let mend = "add a line under its heading \"Dependencies\": `name`, what for, licence, upkeep";
    missing
        .map(|name| Violation::new("ARCHITECTURE.md", format!("no reason for `{name}`"), mend))
        .collect()
}

/// Lines under a heading, its sub-headings included.
fn section<'a>(markdown: &'a str, title: &str) -> Vec<&'a str> {
    let depth = |line: &str| line.chars().take_while(|c| *c == '#').count();
    let mut lines = markdown.lines();
    let heading = lines.find(|line| depth(line) > 0 && line.trim_matches('#').trim() == title);
    let Some(own) = heading.map(depth) else { return Vec::new() };
    lines.take_while(|line| depth(line) == 0 || depth(line) > own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registry_is_found() {
        for (name, ending) in REGISTRIES {
            let text = format!("\nfetched from https://{name}{ending}/x");
            let broken = no_foreign_places("docs/a.md", &text);
            assert_eq!(broken.len(), 1, "{name}");
            assert_eq!(broken[0].at, "docs/a.md:2");
            assert!(no_foreign_places("Cargo.lock", &text).is_empty());
        }
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for (folder, slash) in MACHINE_PATHS {
            let broken = |text: String| no_foreign_places("a.sh", &text).len();
            assert_eq!(broken(format!("cd {folder}{slash}main")), 1);
            assert_eq!(broken(format!("\"{folder}{slash}.cargo\"")), 1);
            assert_eq!(broken(format!("docs{folder}{slash}main")), 0);
            assert_eq!(broken(format!("https://host{folder}{slash}main")), 0);
            assert_eq!(broken(format!("under {folder}{slash} or elsewhere")), 0);
        }
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let names = ["bytes", "mio", "rand"].map(str::to_owned).into();
        let text = "# A\n`rand`: elsewhere it does not count\n## Dependencies\n### Crates\n\
                    - `bytes`: shared buffers; MIT\n- `mio`\n## Next\n`mio`: after the section";
        let broken = dependencies_explained(&names, text);
        let what: Vec<_> = broken.iter().map(|violation| &*violation.what).collect();
        assert_eq!(what, ["no reason for `mio`", "no reason for `rand`"]);
        assert_eq!(dependencies_explained(&names, "").len(), 3);
    }
}
