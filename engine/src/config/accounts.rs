//! Accounts of single users, each in a file of its own: the settings of a broker, over those of the main file.

use super::{BrokerKind, Settings, Sources, read_file};
use crate::failure::{OrFail as _, failure};
use color_eyre::Result;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a file of an account may set.
const PREFIXES: [&str; 4] = ["broker.", "alpaca.", "kite.", "binance."];
/// Accounts that one engine trades; each has streams of its own.
const ACCOUNTS_MAX: usize = 1_000;

impl Settings {
    /// The accounts of single users: user, and the settings of his account.
    ///
    /// # Errors
    /// Where a file cannot be read, is not right, may be read by others, or names a user that another one names.
    pub fn accounts(&self) -> Result<Vec<(String, Self)>> {
        let Some(folder) = &self.broker.accounts_dir else { return Ok(Vec::new()) };
        let mut accounts: Vec<(String, Self)> = Vec::new();
        let mut users: BTreeSet<String> = self.user().map(str::to_owned).into_iter().collect();
        for path in files(folder)? {
            let settings = self.account(&path)?;
            let shown = path.display();
            let user = settings.user().map(str::to_owned).unwrap_or_default();
            if user.is_empty() {
                let hint = "broker.kind has to be alpaca, kite or binance, and alpaca.user, kite.user or binance.user the user's id";
                return Err(failure(format!("the account in {shown} is nobody's"), hint));
            }
            if !users.insert(user.clone()) {
                let hint = "remove one of them: orders of a user go to one account";
                return Err(failure(format!("the account in {shown} is of {user}, who has another one"), hint));
            }
            accounts.push((user, settings));
        }
        Ok(accounts)
    }

    fn account(&self, path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let mode = std::fs::metadata(path).or_fail(format!("cannot read {shown}"), "check broker.accounts_dir")?.mode();
        if mode & 0o077 != 0 {
            return Err(failure(
                format!("the account in {shown} holds secrets, and others may read it"),
                format!("chmod 600 {shown}"),
            ));
        }
        let mut settings = self.clone();
        settings.broker.accounts_dir = None;
        let mut sources = Sources::new();
        for (name, value) in read_file(path)? {
            if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || name == "broker.accounts_dir" {
                let hint = "a file of an account sets broker.*, alpaca.*, kite.* and binance.* only";
                return Err(failure(format!("setting {name} in {shown} is none of an account"), hint));
            }
            settings.apply(&name, &value, &shown, &mut sources)?;
        }
        Ok(settings)
    }

    /// Whose account it is, where it is one user's.
    fn user(&self) -> Option<&str> {
        match self.broker.kind {
            BrokerKind::Paper | BrokerKind::Bridge => None,
            BrokerKind::Alpaca => Some(&self.alpaca.user),
            BrokerKind::Kite => Some(self.kite_user()),
            BrokerKind::Binance => Some(&self.binance.user),
        }
    }
}

/// The `*.toml` of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder).or_fail(
        format!("the folder of accounts {shown} cannot be read"),
        "check broker.accounts_dir (STRAT_BROKER_ACCOUNTS_DIR)",
    )?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.or_fail(format!("the folder of accounts {shown} cannot be read"), "see the cause")?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
        if files.len() > ACCOUNTS_MAX {
            let hint = "let several engines share them";
            return Err(failure(format!("more than {ACCOUNTS_MAX} accounts in {shown}"), hint));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use tempfile::TempDir;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        folder
    }

    fn accounts(folder: &TempDir) -> Result<Vec<(String, Settings)>> {
        let mut settings = Settings::default();
        settings.broker.accounts_dir = Some(folder.path().to_owned());
        settings.broker.limits.per_minute = 7;
        settings.accounts()
    }

    #[test]
    fn an_account_is_the_main_settings_and_what_its_file_says() {
        let folder = folder(&[
            ("a.toml", "broker.kind = \"alpaca\"\nalpaca.user = \"alice\"\n[broker]\n"),
            ("b.toml", "[broker]\nkind = \"kite\"\ncalls_per_minute = 9\n[kite]\nuser = \"bob\"\n"),
            ("notes.txt", "no account"),
        ]);
        std::fs::write(folder.path().join("a.toml"), "[broker]\nkind = \"alpaca\"\n[alpaca]\nuser = \"alice\"\n")
            .unwrap();
        let accounts = accounts(&folder).unwrap();
        let shown: Vec<_> =
            accounts.iter().map(|(user, s)| (user.as_str(), s.broker.kind, s.broker.limits.per_minute)).collect();
        assert_eq!(shown, [("alice", BrokerKind::Alpaca, 7), ("bob", BrokerKind::Kite, 9)]);
    }

    #[test]
    fn what_is_wrong_with_an_account_is_said() {
        let alice = "[broker]\nkind = \"alpaca\"\n[alpaca]\nuser = \"alice\"\n";
        for (files, wrong) in [
            (&[("a.toml", alice), ("b.toml", alice)][..], "who has another one"),
            (&[("a.toml", "[broker]\nkind = \"paper\"\n")], "is nobody's"),
            (&[("a.toml", "[broker]\nkind = \"alpaca\"\n")], "is nobody's"),
            (&[("a.toml", "[redis]\nurl = \"redis://elsewhere/\"\n")], "is none of an account"),
            (&[("a.toml", "[alpaca]\nnosuch = \"1\"\n")], "is not known"),
        ] {
            let error = accounts(&folder(files)).unwrap_err();
            assert!(format!("{error:#}").contains(wrong), "{error:#}");
        }
        let open = folder(&[("a.toml", alice)]);
        std::fs::set_permissions(open.path().join("a.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(format!("{:#}", accounts(&open).unwrap_err()).contains("others may read it"));
    }
}
