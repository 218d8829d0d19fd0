//! Values that several settings have: secrets, users, addresses.

use super::Settings;
use super::table::{Secret, Setting, row};
use crate::net::AddressError;
use secrecy::{ExposeSecret as _, SecretString};

/// Longest key of an account.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// Whether there is a secret at all; an empty one is none.
#[must_use]
pub fn is_set(secret: &SecretString) -> bool {
    !secret.expose_secret().is_empty()
}

/// A setting that is never shown.
pub(super) const fn secret_row(
    name: &'static str,
    env: &'static str,
    about: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), String>,
    get: fn(&Settings) -> String,
) -> Setting {
    Setting { secret: Secret::Whole, ..row(name, env, about, set, get) }
}

/// What is shown of a secret: whether there is one.
pub(super) fn shown(secret: &SecretString) -> String {
    if is_set(secret) { "***".to_owned() } else { String::new() }
}

/// Empty for nobody.
pub(super) fn user(value: &str) -> Result<String, String> {
    if !value.is_empty() {
        strat_core::key::check_id("user", value).map_err(|refusal| refusal.detail)?;
    }
    Ok(value.to_owned())
}

/// What a header can carry; empty for none.
pub(super) fn key(value: &str) -> Result<SecretString, String> {
    if value.len() <= KEY_BYTES_MAX && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(SecretString::from(value.to_owned()));
    }
    Err(format!("is not up to {KEY_BYTES_MAX} printable ASCII bytes without blanks"))
}

/// An address that `check` takes.
pub(super) fn checked(check: fn(&str) -> Result<String, AddressError>, value: &str) -> Result<String, String> {
    check(value).map_err(|why| why.to_string())
}
