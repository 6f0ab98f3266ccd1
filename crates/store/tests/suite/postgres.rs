//! A PostgreSQL server of the test's own, in a temporary folder.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::kit::{Database, Folder};

/// With a character that a URL must encode.
const PASSWORD: &str = "hush!hush";
const IN_URL: &str = "hush%21hush";
const STARTS: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

pub struct Server {
    programs: PathBuf,
    data: PathBuf,
    port: u16,
    process: Child,
    _folder: Folder,
}

/// Debian keeps the server's programs apart by version.
fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|it| {
            let it = it.ok()?;
            Some((it.file_name().to_str()?.parse().ok()?, it.path().join("bin")))
        })
        .filter(|(_, it)| it.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop().expect("PostgreSQL's server: scripts/setup.sh --test installs it").1
}

/// The server refuses to run as root: who is root is Debian's user for it instead.
fn command(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn other_user() -> Option<(u32, u32)> {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find_map(|it| it.strip_prefix("postgres:x:")).unwrap();
    let mut numbers = user.split(':').map(|it| it.parse().unwrap());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

fn run(mut command: Command) {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
}

impl Server {
    pub fn start() -> Self {
        let (programs, folder) = (programs(), Folder::new("postgres"));
        if let Some((user, group)) = other_user() {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let data = folder.path().join("data");
        let secret = folder.path().join("password");
        std::fs::write(&secret, PASSWORD).unwrap();
        let mut made = command(programs.join("initdb"));
        made.arg("--pgdata").arg(&data).arg("--pwfile").arg(&secret);
        made.args(["--username", "plenum", "--auth", "scram-sha-256", "--encoding", "UTF8"]);
        // An order that is not that of bytes, as many servers have one.
        made.args(["--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "ru"]);
        made.arg("--no-sync");
        run(made);
        let port = free_port();
        let process = serve(&programs, &data, folder.path(), port);
        let mut server = Self { programs, data, port, process, _folder: folder };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while !self.sql("SELECT 1").output().unwrap().status.success() {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("PostgreSQL ended: {status}");
            }
            assert!(begun.elapsed() < STARTS, "PostgreSQL answers");
            std::thread::sleep(LOOK);
        }
    }

    fn sql(&self, text: &str) -> Command {
        let mut command = command(self.programs.join("psql"));
        let port = self.port.to_string();
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "plenum",
            "-d",
            "postgres",
            "-c",
            text,
        ]);
        command.env("PGPASSWORD", PASSWORD);
        command
    }

    /// A new database.
    pub fn database(&self, name: &str) -> Database {
        run(self.sql(&format!("CREATE DATABASE {name}")));
        Database { url: format!("postgres://plenum:{IN_URL}@127.0.0.1:{}/{name}", self.port) }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn serve(programs: &Path, data: &Path, sockets: &Path, port: u16) -> Child {
    let mut server = command(programs.join("postgres"));
    server.arg("-D").arg(data).arg("-k").arg(sockets).arg("-p").arg(port.to_string());
    // What is synchronised here outlives a crash of the machine, which no story has.
    server.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = command(self.programs.join("pg_ctl"));
        stop.arg("stop").arg("-D").arg(&self.data).args(["-m", "immediate"]);
        let stopped = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !stopped.is_ok_and(|it| it.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
