//! `make install` and `make release`: what they put where runs as it is.

use super::{LIMIT, done, text};
use crate::resp::{Conn, Value};
use crate::servers::process::{Process, free_port, temp_dir};
use crate::servers::{Postgres, engine, paths};
use std::path::Path;
use std::process::Command;

/// An installation below a folder of the test's.
struct Installed {
    dir: tempfile::TempDir,
}

fn script(name: &str) -> Command {
    let mut command = Command::new(paths::root().join("scripts").join(name));
    command.env("STRAT_ENGINE", paths::engine()).env("STRAT_MODULE", paths::module());
    for name in ["PREFIX", "DESTDIR", "SYSCONFDIR", "STATEDIR", "RUNDIR", "MODULEDIR"] {
        command.env_remove(name);
    }
    command
}

impl Installed {
    fn new() -> Self {
        let installed = Self { dir: temp_dir() };
        installed.install(&mut script("install.sh"));
        for folder in ["var/redis-strat", "run/redis-strat"] {
            std::fs::create_dir_all(installed.dir.path().join(folder)).unwrap();
        }
        installed
    }

    fn install(&self, installer: &mut Command) -> String {
        for (name, folder) in [("PREFIX", "usr"), ("SYSCONFDIR", "etc"), ("STATEDIR", "var"), ("RUNDIR", "run")] {
            installer.env(name, self.dir.path().join(folder));
        }
        let output = installer.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr)
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// As the unit starts it, less systemd.
    fn start_redis(&self) -> (Process, Conn) {
        let unit = self.read("usr/lib/systemd/system/redis-strat.service");
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let config = line.split(' ').nth(1).unwrap();
        let socket = self.path("run/redis-strat/redis.sock");
        let mut redis =
            Process::start("redis-server", &paths::redis_server(), &self.path("redis.log"), None, |command| {
                command.arg(config);
            });
        let conn = redis.wait_ready(LIMIT, || Conn::open(&socket).ok());
        (redis, conn)
    }
}

#[test]
fn what_is_installed_runs() {
    let installed = Installed::new();
    let engine = installed.path("usr/bin/strat-engine");
    let version = done(Command::new(&engine).arg("--version"));
    assert_eq!(version.trim(), format!("strat-engine {}", env!("CARGO_PKG_VERSION")));
    let settings =
        done(Command::new(&engine).arg("settings").arg("--config").arg(installed.path("etc/strat/engine.toml")));
    assert!(settings.contains("redis-strat/redis.sock") && !settings.contains("CHANGE-ME"), "{settings}");
    let users = installed.path("etc/strat/acl/users.acl");
    let tool = installed.path("usr/bin/strat-passwords");
    let printed = done(Command::new(&tool).arg(&users).args(["admin", "engine"]));
    let again = Command::new(&tool).arg(&users).arg("admin").output().unwrap();
    assert!(!again.status.success(), "a password that is in use is not replaced: {}", text(&again.stderr));
    let password = |user: &str| printed.lines().find_map(|line| line.strip_prefix(user)).unwrap().trim();
    let (_redis, mut conn) = installed.start_redis();
    assert_eq!(conn.code("PING"), "NOAUTH");
    conn.run(&format!("AUTH admin {}", password("admin")));
    assert!(conn.run("INFO strat").text().contains("strat_version"), "the module is there");
    for (name, wanted) in
        [("appendfsync", "always"), ("maxmemory-policy", "noeviction"), ("strat.price-ttl-ms", "10000")]
    {
        assert_eq!(conn.run(&format!("CONFIG GET {name}")).texts()[1], wanted, "{name}");
    }
    assert_eq!(conn.run("STRAT.SET user:a:strategy:s symbol IBM quantity 1").int(), 1);
    settings_fit(&installed, password("engine"));
    // The unit lets it write there.
    conn.run("ACL SETUSER feed +strat.symbols");
    assert_eq!(conn.run("ACL SAVE"), Value::Status("OK".into()));
    assert!(installed.read("etc/strat/acl/users.acl").contains("strat.symbols"));
}

/// The settings file needs the password and the database, and nothing else.
fn settings_fit(installed: &Installed, password: &str) {
    let postgres = Postgres::start();
    let given = installed.read("etc/strat/engine.toml");
    let filled = given.replace("CHANGE-ME", password);
    let filled = filled.replace("postgres://strat@localhost/strat?host=/var/run/postgresql", &postgres.url());
    std::fs::create_dir_all(installed.path("var/strat")).unwrap();
    std::fs::write(installed.path("etc/strat/engine.toml"), filled).unwrap();
    // As the unit starts it, less systemd.
    let unit = installed.read("usr/lib/systemd/system/strat-engine.service");
    for (start, ends) in [("ExecStartPre=", true), ("ExecStart=", false)] {
        let line = unit.lines().find_map(|line| line.strip_prefix(start)).unwrap();
        let line = line.replace("${CREDENTIALS_DIRECTORY}", &installed.path("etc/strat").display().to_string());
        let words: Vec<_> = line.split(' ').collect();
        if ends {
            done(Command::new(words[0]).args(&words[1..]));
            continue;
        }
        let log = installed.path("engine.log");
        let port = free_port();
        let mut engine = Process::start("strat-engine", Path::new(words[0]), &log, None, |command| {
            command.args(&words[1..]).env("STRAT_HTTP_ADDR", format!("127.0.0.1:{port}"));
        });
        engine.wait_ready(LIMIT, || engine::http_get(port, "/health").filter(|(status, _)| *status == 200));
    }
}

#[test]
fn an_operators_files_stay_and_what_is_new_is_beside_them() {
    let installed = Installed::new();
    let file = installed.path("etc/strat/redis.conf");
    std::fs::write(&file, "port 1\n").unwrap();
    let said = installed.install(&mut script("install.sh"));
    assert!(said.contains("etc/strat/redis.conf.new"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "port 1\n");
    assert!(installed.read("etc/strat/redis.conf.new").contains("libstrat.so"));
    assert!(!installed.path("etc/strat/engine.toml.new").exists(), "it was not changed");
}

#[test]
fn a_package_is_built_in_a_folder_of_its_own() {
    let dir = temp_dir();
    done(script("install.sh").env("DESTDIR", dir.path()));
    for file in ["usr/lib/redis/modules/libstrat.so", "usr/local/bin/strat-engine", "etc/strat/engine.toml"] {
        assert!(dir.path().join(file).is_file(), "{file}");
    }
    let unit = std::fs::read_to_string(dir.path().join("usr/local/lib/systemd/system/strat-engine.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/strat-engine run"), "{unit}");
    let refused = script("install.sh").env("DESTDIR", dir.path()).env("PREFIX", "/a b").output().unwrap();
    assert!(!refused.status.success(), "a path that would need quotes");
}

#[test]
fn the_units_are_sound_and_closed() {
    let Some(analyze) = paths::in_path("systemd-analyze") else {
        return crate::support::skip("the check of the units", "systemd-analyze");
    };
    let installed = Installed::new();
    for unit in ["strat-engine", "redis-strat"] {
        let file = installed.path(&format!("usr/lib/systemd/system/{unit}.service"));
        let output = Command::new(&analyze).arg("verify").arg(&file).output().unwrap();
        let said = text(&output.stderr);
        // Whatever is wrong with other units of this machine is not ours.
        assert!(!said.contains(unit), "{said}");
        // Its scale is from 0 (closed) to 10; 1.4 was measured.
        let limit = ["security", "--offline=true", "--threshold=20"];
        done(Command::new(&analyze).args(limit).arg(&file));
    }
}

#[test]
fn a_release_is_the_same_bytes_each_time_and_installs() {
    let dir = temp_dir();
    let make = || {
        done(script("release.sh").env("CARGO_TARGET_DIR", dir.path()).env("SOURCE_DATE_EPOCH", "1760000000"));
        let folder = dir.path().join("release-tarball");
        done(Command::new("sha256sum").args(["--check", "--status"]).arg(checksum(&folder)).current_dir(&folder));
        std::fs::read_to_string(checksum(&folder)).unwrap()
    };
    let first = make();
    assert_eq!(first, make());
    let name = first.split_whitespace().nth(1).unwrap().trim_end_matches(".tar.gz").to_owned();
    assert!(name.starts_with(&format!("strat-{}-linux-", env!("CARGO_PKG_VERSION"))), "{name}");
    let folder = dir.path().join("release-tarball");
    done(Command::new("tar").arg("-xzf").arg(format!("{name}.tar.gz")).current_dir(&folder));
    let installed = Installed { dir: temp_dir() };
    installed.install(&mut Command::new(folder.join(&name).join("scripts/install.sh")));
    let version = done(Command::new(installed.path("usr/bin/strat-engine")).arg("--version"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert!(installed.path("usr/share/doc/strat/LICENSE").is_file());
}

/// The checksum's file of the one release that was made.
fn checksum(folder: &Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == "sha256")).expect("a checksum")
}
