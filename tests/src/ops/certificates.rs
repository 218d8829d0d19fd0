//! An authority of the test's own, and certificates for the loopback that it signs; by openssl, as an operator would.

use super::done;
use crate::servers::paths;
use crate::servers::process::temp_dir;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// A folder with `ca.crt`, and `NAME.crt` and `NAME.key` for each that was signed.
pub(super) struct Authority {
    dir: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let authority = Self { dir: temp_dir() };
        authority.openssl(
            &["req", "-x509", "-days", "2", "-subj", "/CN=authority of a test", "-keyout", "ca.key", "-out", "ca.crt"],
            &KEY,
        );
        authority
    }

    /// Made by the commands of docs/operations.md, for the loopback in place of the page's names.
    pub(super) fn of_the_page() -> Self {
        let page = std::fs::read_to_string(paths::root().join("docs/operations.md")).unwrap();
        let after = page.split_once("With an authority of your own:\n\n```sh\n").expect("the commands stand there").1;
        let commands =
            after.split("```").next().unwrap().replace("redis.example", "localhost").replace("10.0.0.5", "127.0.0.1");
        let authority = Self { dir: temp_dir() };
        done(Command::new("bash").args(["-euo", "pipefail", "-c", &commands]).current_dir(authority.dir.path()));
        for end in ["crt", "key"] {
            std::fs::rename(authority.path(&format!("redis.{end}")), authority.path(&format!("server.{end}"))).unwrap();
        }
        authority
    }

    /// Makes a certificate for the loopback.
    pub(super) fn sign(&self, name: &str) {
        self.sign_for(name, "DNS:localhost, IP:127.0.0.1");
    }

    /// Makes one for names as openssl writes them.
    pub(super) fn sign_for(&self, name: &str, names: &str) {
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        std::fs::write(self.path("names"), format!("subjectAltName = {names}\n")).unwrap();
        let subject = format!("/CN={name}");
        self.openssl(&["req", "-new", "-subj", &subject, "-keyout", &key, "-out", &request], &KEY);
        let signed = ["x509", "-req", "-days", "2", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(&signed, &["-extfile", "names", "-in", &request, "-out", &certificate]);
    }

    pub(super) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(super) fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    fn openssl(&self, arguments: &[&str], more: &[&str]) {
        done(Command::new("openssl").args(arguments).args(more).current_dir(self.dir.path()));
    }
}
