//! Real servers under the program: served from, killed, stopped, restarted, given another
//! configuration by a signal, their logs rotated; and what a database has promised is there after a
//! kill.
//!
//! `tests/servers/install.sh` installs them. Where one is not installed, its test is skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "nobody listens here but a server")]
mod port;
#[expect(dead_code, reason = "other tests use more of it")]
mod program;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use port::Port;
use program::waiting::{runs, until};
use program::{Running, monitor};
use tempfile::TempDir;
use trials::{Outcome, Skipped, require, trials};

trials! {
    nginx_is_served_from_whatever_happens_to_it,
    redis_is_back_after_a_kill,
    no_row_that_postgres_has_promised_is_missing_after_a_kill,
}

/// A server under a monitor, with a folder for its files.
struct Server {
    folder: TempDir,
    port: u16,
    running: Running,
}

impl Server {
    fn start(folder: TempDir, port: u16, options: &[&str], command: &[&str]) -> Self {
        let state = folder.path().join("state");
        let state = ["--state", state.to_str().unwrap()];
        let policy = ["--restart", "always", "--backoff-initial", "10ms", "--jitter", "0"];
        let running = Running::start(&[&policy[..], &state, options, &["--"], command].concat());
        Self { folder, port, running }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks the monitor; returns what it prints.
    fn ask(&self, task: &str, words: &[&str]) -> String {
        let state = self.path("state");
        let command = [&[task, "--state", state.to_str().unwrap()], words].concat();
        let output = monitor(&command).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{task}: {said}{:?}", String::from_utf8(output.stderr));
        said
    }

    /// The main process, if there is one at the moment.
    fn pid(&self) -> Option<u64> {
        let status: serde_json::Value =
            serde_json::from_str(&self.ask("status", &["--json"])).unwrap();
        status["pid"].as_u64()
    }

    /// Waits until there is another main process than this one.
    fn wait_for_another_than(&self, pid: u64) {
        until(|| self.pid().is_some_and(|next| next != pid));
        assert!(!runs(&pid.to_string()));
    }

    /// Kills the main process, and waits until another is there.
    fn kill(&self) {
        let pid = self.pid().unwrap();
        let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        assert!(killed.unwrap().success());
        self.wait_for_another_than(pid);
    }

    /// Asks for a restart, and waits for it.
    fn restart(&self) {
        let pid = self.pid().unwrap();
        self.ask("restart", &[]);
        self.wait_for_another_than(pid);
    }

    /// Stops it, and looks that nothing of it is left.
    fn stop(self) {
        let pid = self.pid().unwrap().to_string();
        let said = self.ask("stop", &["--wait"]);
        assert_eq!(said, "stopped: it ended when it was asked to\n");
        assert_eq!(self.running.finish().0, 0);
        assert!(!runs(&pid));
        assert!(TcpStream::connect(("127.0.0.1", self.port)).is_err(), "somebody still listens");
    }
}

/// Says something on a connection of its own, and returns all that is answered; nothing if nobody
/// listens.
fn talk(port: u16, text: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = Vec::new();
    // A server that is killed meanwhile has answered nothing.
    stream.write_all(text.as_bytes()).and_then(|()| stream.read_to_end(&mut answer)).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn require_installed(program: &str) -> Outcome {
    let found = Command::new("sh").args(["-c", "command -v \"$0\" > /dev/null", program]).status();
    require(found.unwrap().success(), &missing(program))
}

fn missing(program: &str) -> String {
    format!("{program} is not installed; tests/servers/install.sh installs it")
}

fn nginx_conf(folder: &Path, port: u16, page: &str) -> String {
    let folder = folder.display();
    format!(
        "user root; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ }}\n\
         http {{ access_log {folder}/access.log; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"{page}\"; }} }} }}\n"
    )
}

fn nginx_is_served_from_whatever_happens_to_it() -> Outcome {
    require_installed("nginx")?;
    let (folder, held) = (TempDir::new().unwrap(), Port::new());
    let port = held.address().port();
    let conf = folder.path().join("nginx.conf");
    fs::write(&conf, nginx_conf(folder.path(), port, "one")).unwrap();
    let conf = conf.to_str().unwrap().to_owned();
    let server = Server::start(
        folder,
        port,
        &["--stop-signal", "QUIT"],
        &["nginx", "-c", &conf, "-g", "daemon off;"],
    );
    let page = || talk(port, "GET / HTTP/1.0\r\n\r\n");
    until(|| page().ends_with("one"));

    // Its workers outlive a killed master and would keep the port.
    server.kill();
    until(|| page().ends_with("one"));

    fs::write(&conf, nginx_conf(server.folder.path(), port, "two")).unwrap();
    server.ask("signal", &["HUP"]);
    until(|| page().ends_with("two"));

    let (log, old) = (server.path("access.log"), server.path("access.log.1"));
    fs::rename(&log, &old).unwrap();
    server.ask("signal", &["USR1"]);
    // The worker opens the new log some time after its master.
    let lines = |log: &Path| fs::read_to_string(log).map_or(0, |text| text.lines().count());
    until(|| page().ends_with("two") && lines(&log) > 0);
    let (before, seen) = (lines(&old), lines(&log));
    until(|| page().ends_with("two") && lines(&log) > seen);
    assert_eq!(lines(&old), before, "the old log still grows");

    server.restart();
    until(|| page().ends_with("two"));
    server.stop();
    Ok(())
}

fn redis_is_back_after_a_kill() -> Outcome {
    require_installed("redis-server")?;
    let (folder, held) = (TempDir::new().unwrap(), Port::new());
    let port = held.address().port();
    let number = port.to_string();
    let log = folder.path().join("log");
    let dir = folder.path().to_str().unwrap().to_owned();
    let server = Server::start(
        folder,
        port,
        &[],
        &[
            "redis-server",
            "--port",
            &number,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            &dir,
            "--logfile",
            log.to_str().unwrap(),
        ],
    );
    let say = |text: &str| talk(port, &format!("{text}\r\nQUIT\r\n"));
    until(|| say("PING").starts_with("+PONG"));
    assert!(say("SET key kept").starts_with("+OK"));
    assert!(say("GET key").contains("kept"));

    server.kill();
    until(|| say("PING").starts_with("+PONG"));
    // It was told to keep nothing.
    assert!(say("GET key").starts_with("$-1"));

    // It opens its log for each line.
    fs::rename(&log, server.path("log.1")).unwrap();
    server.restart();
    until(|| say("PING").starts_with("+PONG") && log.exists());
    server.stop();
    Ok(())
}

fn no_row_that_postgres_has_promised_is_missing_after_a_kill() -> Outcome {
    let bin = postgres_bin().ok_or_else(|| Skipped(missing("postgres")))?;
    // Whoever it runs as must be able to reach its folder.
    let (folder, held) = (TempDir::new().unwrap(), Port::new());
    let port = held.address().port();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap().to_owned();
    fs::create_dir(&data).unwrap();
    let done = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // It refuses to run as root, and nobody else may run it as another user.
    let is_root = rustix::process::geteuid().is_root();
    let initdb = bin.join("initdb");
    let initdb = [initdb.to_str().unwrap(), "-A", "trust", "-U", "postgres", "-D", &data];
    if is_root {
        done(Command::new("chown").args(["postgres", &data]));
        done(Command::new("runuser").args(["-u", "postgres", "--"]).args(initdb).current_dir("/"));
    } else {
        done(Command::new(initdb[0]).args(&initdb[1..]).current_dir("/"));
    }
    let user = if is_root { &["--user", "postgres"][..] } else { &[] };

    let (number, postgres) = (port.to_string(), bin.join("postgres"));
    let server = Server::start(
        folder,
        port,
        &[user, &["--stop-signal", "INT", "--cwd", "/"]].concat(),
        &[
            postgres.to_str().unwrap(),
            "-D",
            &data,
            "-p",
            &number,
            "-k",
            "",
            "-h",
            "127.0.0.1",
            "-c",
            "logging_collector=on",
            "-c",
            "log_filename=server.log",
        ],
    );
    let sql = |text: &str| {
        let output = Command::new("psql")
            .args(["-h", "127.0.0.1", "-p", &number, "-U", "postgres", "-qAtX", "-c", text])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        output.status.success().then_some(said)
    };
    until(|| sql("select 1").as_deref() == Some("1"));
    sql("create table promised (id int primary key)").unwrap();

    // Each row counts from the moment at which its commit was answered; the kill comes in the
    // middle of another.
    let mut promised = 0;
    for round in 0..3 {
        for _ in 0..10 {
            promised += 1;
            sql(&format!("insert into promised values ({promised})")).unwrap();
        }
        let busy = format!(
            "insert into promised select i from generate_series({}, {}) i",
            1_000_000 * (round + 1),
            1_000_000 * (round + 1) + 500_000
        );
        let busy = Command::new("psql")
            .args(["-h", "127.0.0.1", "-p", &number, "-U", "postgres", "-qAtX", "-c", &busy])
            .stderr(std::process::Stdio::null())
            .spawn();
        until(|| {
            sql("select count(*) from pg_stat_activity where state = 'active'") >= Some("2".into())
        });
        server.kill();
        // Its connection was cut.
        busy.unwrap().wait().unwrap();
        until(|| sql("select 1").as_deref() == Some("1"));
        let kept = format!("select count(*) from promised where id <= {promised}");
        assert_eq!(sql(&kept), Some(promised.to_string()), "rows are missing");
    }

    let conf = Path::new(&data).join("postgresql.conf");
    fs::OpenOptions::new()
        .append(true)
        .open(conf)
        .unwrap()
        .write_all(b"work_mem = '7MB'\n")
        .unwrap();
    server.ask("signal", &["HUP"]);
    until(|| sql("show work_mem").as_deref() == Some("7MB"));

    let log = Path::new(&data).join("log/server.log");
    fs::rename(&log, Path::new(&data).join("log/server.log.1")).unwrap();
    fs::write(Path::new(&data).join("logrotate"), "").unwrap();
    server.ask("signal", &["USR1"]);
    until(|| log.exists());

    server.restart();
    until(|| sql("select 1").as_deref() == Some("1"));
    server.stop();
    Ok(())
}

/// Where the programs of the newest `PostgreSQL` are, if one is installed.
fn postgres_bin() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let bins = versions.map(|version| version.unwrap().path().join("bin"));
    bins.filter(|bin| bin.join("postgres").exists()).max()
}
