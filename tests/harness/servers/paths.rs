//! Where the programs under test and the servers are.

use std::path::{Path, PathBuf};

/// The top of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// The module under test: `STRAT_MODULE`, else the newest of what cargo built.
pub fn module() -> PathBuf {
    built("STRAT_MODULE", "libstrat.so")
}

/// The engine under test: `STRAT_ENGINE`, else the newest of what cargo built.
pub fn engine() -> PathBuf {
    built("STRAT_ENGINE", "strat-engine")
}

/// A release build is preferred: that is what users run, and what the time limits are made for.
fn built(variable: &str, file: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        let path = PathBuf::from(named);
        assert!(path.is_file(), "{variable} names {}, which is not there", path.display());
        return path;
    }
    let target = root().join("target");
    let places = [target.join("release").join(file), target.join("debug").join(file)];
    places.iter().find(|path| path.is_file()).cloned().unwrap_or_else(|| {
        panic!("no {file} in target/release or target/debug: run `cargo build --release`, or name it in {variable}")
    })
}

/// A program of `PATH`.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The machine's redis-server, or `REDIS_SERVER`.
pub fn redis_server() -> PathBuf {
    std::env::var_os("REDIS_SERVER")
        .map(PathBuf::from)
        .or_else(|| in_path("redis-server"))
        .expect("no redis-server in PATH: run `make setup`, or name one in REDIS_SERVER")
}

/// The machine's redis-cli.
pub fn redis_cli() -> PathBuf {
    in_path("redis-cli").expect("no redis-cli in PATH: run `make setup`")
}

/// The newest Postgres programs' folder.
pub fn postgres_bin() -> PathBuf {
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version =
        |path: &Path| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
    let newest = packaged
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").is_file())
        .max_by_key(|path| version(path));
    newest
        .map(|path| path.join("bin"))
        .or_else(|| in_path("initdb")?.parent().map(Path::to_path_buf))
        .expect("no Postgres programs (initdb) found: run `make setup`")
}

/// The folder of node-redis: `STRAT_NODE_MODULES`, else what `make setup-test` made; with Node itself in `PATH`.
pub fn node_modules() -> Option<PathBuf> {
    let modules =
        std::env::var_os("STRAT_NODE_MODULES").map_or_else(|| root().join(".run/node/node_modules"), PathBuf::from);
    (modules.join("redis").is_dir() && in_path("node").is_some()).then_some(modules)
}

/// A Python with redis-py: `STRAT_PYTHON`, else what `make setup-test` made.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("STRAT_PYTHON").map_or_else(|| root().join(".run/venv/bin/python"), PathBuf::from);
    python.is_file().then_some(python)
}
