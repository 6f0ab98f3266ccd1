//! Which crate may depend on which.

use crate::Violation;
use crate::workspace::{Dependency, Member};

/// The table of ARCHITECTURE.md. What is not filled yet stands here too: its place is decided.
const LAYERS: &[(u8, &[&str])] = &[
    (0, &["types"]),
    (1, &["rtp", "sdp", "bfcp", "h323", "codec", "udp"]),
    (2, &["room", "sfu", "mcu", "record"]),
    (3, &["conference", "fetch"]),
    (4, &["livekit", "gateway", "api", "web", "store", "auth", "cluster"]),
    (5, &["plenum", "media-bench", "fuzz", "tests", "world"]),
];

/// `api` serves the page's files; nothing else in a layer knows its neighbour.
const NEIGHBOURS: &[(&str, &str)] = &[("api", "web")];

/// Foreign stacks that a replacement must be able to reach in one place.
const SINGLE_USERS: &[(&str, &str)] = &[
    ("async-nats", "cluster"),
    ("livekit-protocol", "livekit"),
    ("rsipstack", "gateway"),
    ("sqlx", "store"),
    ("str0m", "sfu"),
];

/// The test kits and the benchmark play the peers, so they speak the peers' protocols.
const PLAYS_PEERS: &[&str] = &["media-bench", "tests", "world"];

/// The layer of a crate of ours, 0 (words) to 5 (programs).
pub fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, names)| names.contains(&name)).map(|(layer, _)| *layer)
}

/// A crate depends only on lower layers; dev-dependencies too, or its tests cannot stand alone.
pub fn directions(members: &[Member]) -> Vec<Violation> {
    let mut broken = Vec::new();
    for member in members {
        let Some(own) = layer(&member.name) else {
            let what = format!("crate `{}` has no layer", member.name);
            let mend = "give it one in LAYERS of tests/tests/architecture/layers.rs and in ARCHITECTURE.md";
            broken.push(Violation::new(&member.manifest_path, what, mend));
            continue;
        };
        for dependency in member.dependencies.iter().filter(|d| d.path.is_some()) {
            let neighbours = NEIGHBOURS.contains(&(&*member.name, &*dependency.name));
            match layer(&dependency.name) {
                Some(theirs) if theirs < own || neighbours => {}
                theirs => broken.push(wrong_direction(member, own, dependency, theirs)),
            }
        }
    }
    broken
}

fn wrong_direction(
    member: &Member,
    own: u8,
    dependency: &Dependency,
    theirs: Option<u8>,
) -> Violation {
    let theirs = theirs.map_or("no layer".to_owned(), |layer| format!("L{layer}"));
    let what = format!("`{}` (L{own}) depends on `{}` ({theirs})", member.name, dependency.name);
    let mend = "move what both need into a lower layer, or let a higher one hand it over (a trait)";
    Violation::new(&member.manifest_path, what, mend)
}

/// Some foreign crates have one user of ours each.
pub fn single_users(members: &[Member]) -> Vec<Violation> {
    let mut broken = Vec::new();
    for member in members.iter().filter(|m| !PLAYS_PEERS.contains(&&*m.name)) {
        for dependency in &member.dependencies {
            let user = SINGLE_USERS.iter().find(|(name, _)| *name == dependency.name);
            let Some((name, user)) = user.filter(|(_, user)| *user != member.name) else {
                continue;
            };
            let what = format!("`{}` uses `{name}`, which only `{user}` may", member.name);
            let mend = "let that crate translate to the project's own types";
            broken.push(Violation::new(&member.manifest_path, what, mend));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, ours: &[&str], foreign: &[&str]) -> Member {
        let dependency = |name: &&str, path: Option<&str>| Dependency {
            name: (*name).to_owned(),
            path: path.map(str::to_owned),
        };
        let ours = ours.iter().map(|name| dependency(name, Some("somewhere")));
        let foreign = foreign.iter().map(|name| dependency(name, None));
        Member {
            name: name.to_owned(),
            manifest_path: format!("crates/{name}/Cargo.toml"),
            manifest: toml::Table::new(),
            dependencies: ours.chain(foreign).collect(),
        }
    }

    #[test]
    fn downward_is_allowed() {
        let good = [
            member("sfu", &["types", "rtp", "udp"], &[]),
            member("api", &["conference", "web"], &[]),
            member("plenum", &["api", "livekit", "types"], &[]),
        ];
        assert_eq!(directions(&good), []);
    }

    #[test]
    fn upward_sideways_and_unplaced_are_not() {
        let bad = [
            member("rtp", &["room"], &[]),
            member("sfu", &["mcu"], &[]),
            member("api", &["livekit"], &[]),
            member("web", &["api"], &[]),
            member("misc", &[], &[]),
            member("plenum", &["misc"], &[]),
        ];
        let broken = directions(&bad);
        assert_eq!(broken.len(), bad.len(), "{broken:#?}");
        assert_eq!(broken[0].at, "crates/rtp/Cargo.toml");
    }

    #[test]
    fn a_second_user_of_a_foreign_stack_is_found() {
        let good =
            [member("livekit", &[], &["livekit-protocol"]), member("tests", &[], &["str0m"])];
        assert_eq!(single_users(&good), []);
        for (name, _) in SINGLE_USERS {
            assert_eq!(single_users(&[member("conference", &[], &[name])]).len(), 1, "{name}");
        }
    }
}
