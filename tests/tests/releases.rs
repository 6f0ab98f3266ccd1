//! What earlier versions kept lives on in this one: a house of each schema that was ever in use stands
//! in `tests/data`, as the program of its time left it.
//!
//! A new schema gets a house of its own: `cargo test -p tests --test releases -- --ignored`, with
//! [`SCHEMA`] raised. What stands there already is never written again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::admin::{CommandLine, PASSWORD};
use tests::server::{Server, program};
use tests::story::{Story, workspace};

/// The newest schema of which a house is kept.
const SCHEMA: u32 = 1;
/// What is listed of a house.
const LISTS: [&[&str]; 9] = [
    &["account", "list"],
    &["group", "list"],
    &["template", "list"],
    &["meeting", "list"],
    &["device", "list"],
    &["trunk", "list"],
    &["dial-rule", "list"],
    &["contact", "list"],
    &["key", "list"],
];

fn house(schema: u32) -> PathBuf {
    workspace().join(format!("tests/data/house-{schema}"))
}

fn listed(admin: &CommandLine) -> Value {
    LISTS.iter().map(|list| (list[0].to_owned(), admin.json(list))).collect()
}

/// Whether all of `before` is in `now`, which may say more.
fn holds(now: &Value, before: &Value) -> bool {
    match (now, before) {
        (Value::Object(now), Value::Object(before)) => {
            before.iter().all(|(name, before)| now.get(name).is_some_and(|now| holds(now, before)))
        }
        (Value::Array(now), Value::Array(before)) => {
            now.len() == before.len() && now.iter().zip(before).all(|(now, it)| holds(now, it))
        }
        _ => now == before,
    }
}

/// Restores a backup into the story's data folder, as `docs/backup.md` says.
fn restore(story: &Story, house: &Path) {
    let data = story.file("data");
    fs::create_dir_all(&data).expect("a folder");
    let key = data.join("secret.key");
    fs::copy(house.join("secret.key"), &key).expect("the server's own key");
    // A checkout lets everybody read it, with which no server starts.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("its rights");
    let done = Command::new(program())
        .args(["restore", "--config", "/dev/null"])
        .arg(house.join("house.gz"))
        .env("PLENUM_DATA_DIR", &data)
        .output()
        .expect("the program starts");
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{complaint}");
}

#[test]
fn a_house_of_every_earlier_schema_lives_on() {
    for schema in 1..=SCHEMA {
        let story = Story::begin_beside_others(&format!("a_house_of_schema_{schema}_lives_on"));
        restore(&story, &house(schema));
        let server = Server::start(&story);
        assert_eq!(server.first, None, "the house has its people");
        let admin = CommandLine::new(&story, &server, "admin");
        // Its password's hash was made with the house's own key.
        let done = admin.run(&["sign-in", "admin"], &format!("{PASSWORD}\n"));
        assert_eq!(done.code, 0, "{done:?}");
        let before = fs::read(house(schema).join("house.json")).expect("what was listed");
        let before: Value = serde_json::from_slice(&before).expect("JSON");
        let now = listed(&admin);
        for (name, before) in before.as_object().expect("lists") {
            // Who signed in meanwhile is told of an account.
            assert!(
                name == "account" || holds(&now[name], before),
                "{name}: {before:#}\nis now\n{:#}",
                now[name]
            );
        }
        let names = |lists: &Value| -> Vec<Value> {
            let accounts = lists["account"].as_array().cloned().unwrap_or_default();
            accounts.iter().map(|it| json!([it["name"], it["role"], it["email"]])).collect()
        };
        assert_eq!(names(&now), names(&before));
        let verified = admin.run(&["audit", "verify"], "");
        assert_eq!(verified.code, 0, "{verified:?}");
        // And life goes on.
        admin.json(&["meeting", "change", "weekly", "--lobby", "false"]);
        server.stop();
    }
}

#[test]
#[ignore = "writes the house of this version's schema, once"]
fn this_versions_house_is_kept() {
    let house = house(SCHEMA);
    assert!(!house.exists(), "{} is there: it never changes", house.display());
    let story = Story::begin_beside_others("this_versions_house_is_kept");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let commands: [&[&str]; 10] = [
        &["account", "change", "admin", "--email", "admin@example.org"],
        &["account", "create", "anna", "--email", "anna@example.org", "--role", "organiser"],
        &["group", "create", "IT", "--member", "anna"],
        &["template", "create", "Standard", "--lobby", "true", "--mute-on-entry", "true"],
        &[
            "meeting",
            "create",
            "Совет",
            "--alias",
            "weekly",
            "--template",
            "Standard",
            "--guest-pin",
            "1234",
            "--host-pin",
            "98765",
            "--start",
            "2099-03-04T09:00",
            "--minutes",
            "60",
            "--time-zone",
            "Europe/Berlin",
            "--rrule",
            "FREQ=WEEKLY",
            "--invite",
            "anna=host",
            "--invite",
            "guest@example.com",
        ],
        &["device", "create", "Hall", "--extension", "101", "--network", "10.1.0.0/16"],
        &[
            "trunk",
            "create",
            "PBX",
            "--kind",
            "by_address",
            "--host",
            "pbx.example.org",
            "--network",
            "10.2.0.0/16",
        ],
        &[
            "dial-rule",
            "create",
            "Outside",
            "--order",
            "10",
            "--direction",
            "out",
            "--called",
            "9(\\d+)",
            "--to-trunk",
            "PBX=$1",
        ],
        &["contact", "create", "Branch", "--address", "sip:hall@branch.example.org"],
        &["key", "create", "portal"],
    ];
    for command in commands {
        admin.json(command);
    }
    fs::create_dir_all(&house).expect("a folder");
    let lists = serde_json::to_string_pretty(&listed(&admin)).expect("JSON");
    fs::write(house.join("house.json"), lists + "\n").expect("what is listed");
    let made = Command::new(program())
        .args(["backup", "--config", "/dev/null"])
        .arg(house.join("house.gz"))
        .env("PLENUM_DATA_DIR", story.file("data"))
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::copy(story.file("data").join("secret.key"), house.join("secret.key")).expect("the key");
    server.stop();
}
