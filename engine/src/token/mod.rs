//! Users' bearer tokens: JWTs, signed with `http.jwt_secret` by HS256, and no other way.
//!
//! `sub` is the user's id, `role` is `user` or `admin`, `exp` must be there. A token is good by itself until then, unless it
//! was revoked: see `strat_client::sessions::RevokedTokens`.

mod hs256;

use clap::ValueEnum;
use data_encoding::HEXLOWER;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strat_core::key::is_id;

/// How far the clock of who issued a token may be ahead of, or behind, this one.
const LEEWAY_SECONDS: u64 = 30;
/// Longest token that is looked at.
const BYTES_MAX: usize = 4_096;
/// Longest life of a token that is issued here.
pub const TTL_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What is his own, and what is everybody's.
    #[default]
    User,
    /// Everything.
    Admin,
}

impl Role {
    /// As in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// User id.
    pub sub: String,
    /// Role; a token that says none is a user's.
    #[serde(default)]
    pub role: Role,
    /// When it runs out, epoch seconds.
    pub exp: u64,
    /// When it was issued, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// Its id, by which it can be revoked without knowing it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

/// Why a token is not taken, or none is issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It was good once.
    #[error("the token has run out: get a new one")]
    Expired,
    /// Not of the form, not signed with the secret by HS256, without `exp` or `sub`, or not good yet.
    #[error("this is no token that was signed for this engine, with exp and sub, by HS256")]
    Bad,
    /// `sub` is no user id.
    #[error("the token's sub, or the user id, is not 1 to 128 of A-Z a-z 0-9 _ . @ -")]
    User,
    /// A life that a token cannot have.
    #[error("a token lives from 1 second to {} days", TTL_MAX.as_secs() / 86_400)]
    Life,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
}

/// Signs and checks tokens with one secret.
#[derive(Clone)]
pub struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Keys {
    /// With this secret, as the settings have checked it.
    #[must_use]
    pub fn new(secret: &SecretString) -> Self {
        hs256::install();
        let secret = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), validation }
    }

    /// A token for a user, good for `ttl` from `now_s`, epoch seconds.
    ///
    /// # Errors
    /// For a user id or a life that cannot be.
    pub fn issue(&self, user: &str, role: Role, ttl: Duration, now_s: u64) -> Result<(String, Claims), TokenError> {
        if !is_id(user) {
            return Err(TokenError::User);
        }
        if ttl.as_secs() == 0 || ttl > TTL_MAX {
            return Err(TokenError::Life);
        }
        let claims = Claims {
            sub: user.to_owned(),
            role,
            exp: now_s.saturating_add(ttl.as_secs()),
            iat: Some(now_s),
            jti: Some(random_id().ok_or(TokenError::Random)?),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding);
        Ok((token.map_err(|_| TokenError::Bad)?, claims))
    }

    /// What a token says, if it is good by itself.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > BYTES_MAX {
            return Err(TokenError::Bad);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation);
        let claims = claims.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            _ => TokenError::Bad,
        })?;
        if is_id(&claims.claims.sub) { Ok(claims.claims) } else { Err(TokenError::User) }
    }
}

/// 128 random bits in hex. `None` where the operating system gives none.
#[must_use]
pub fn random_id() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::BASE64URL_NOPAD;
    use ring::hmac;
    use serde_json::{Value, json};

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn keys(secret: &str) -> Keys {
        Keys::new(&SecretString::from(secret.to_owned()))
    }

    fn now_s() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    fn by_hand(header: &Value, claims: &Value, algorithm: Option<hmac::Algorithm>) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let tag =
            algorithm.map(|algorithm| hmac::sign(&hmac::Key::new(algorithm, SECRET.as_bytes()), message.as_bytes()));
        let tag = tag.map_or_else(String::new, |tag| BASE64URL_NOPAD.encode(tag.as_ref()));
        format!("{message}.{tag}")
    }

    #[test]
    fn a_token_comes_back_as_it_was_issued() {
        let (token, claims) = keys(SECRET).issue("alice@x", Role::Admin, Duration::from_secs(60), now_s()).unwrap();
        assert_eq!(keys(SECRET).verify(&token).unwrap(), claims);
        assert_ne!(keys(SECRET).issue("alice@x", Role::Admin, Duration::from_secs(60), now_s()).unwrap().0, token);
        for (user, ttl) in [("a b", 60), ("", 60), ("a", 0), ("a", TTL_MAX.as_secs() + 1)] {
            assert!(keys(SECRET).issue(user, Role::User, Duration::from_secs(ttl), now_s()).is_err(), "{user} {ttl}");
        }
    }

    #[test]
    fn what_others_signed_or_nobody_did_is_not_taken() {
        let (hs256, exp) = (json!({"alg": "HS256", "typ": "JWT"}), now_s() + 60);
        let alice = json!({"sub": "alice", "exp": exp});
        let good = by_hand(&hs256, &alice, Some(hmac::HMAC_SHA256));
        assert_eq!(keys(SECRET).verify(&good).unwrap().role, Role::User);
        assert!(matches!(keys(&SECRET.replace('0', "1")).verify(&good), Err(TokenError::Bad)));
        for (header, claims, algorithm) in [
            (json!({"alg": "none"}), alice.clone(), None),
            (json!({"alg": "HS512"}), alice.clone(), Some(hmac::HMAC_SHA512)),
            (json!({"alg": "HS384"}), alice.clone(), Some(hmac::HMAC_SHA384)),
            (json!({"alg": "RS256"}), alice.clone(), Some(hmac::HMAC_SHA256)),
            (hs256.clone(), alice.clone(), Some(hmac::HMAC_SHA512)),
            (hs256.clone(), alice, None),
            (hs256.clone(), json!({"sub": "alice"}), Some(hmac::HMAC_SHA256)),
            (hs256.clone(), json!({"sub": "alice", "exp": "soon"}), Some(hmac::HMAC_SHA256)),
            (hs256.clone(), json!({"exp": exp}), Some(hmac::HMAC_SHA256)),
            (hs256.clone(), json!({"sub": "alice", "exp": exp, "role": "root"}), Some(hmac::HMAC_SHA256)),
            (hs256.clone(), json!({"sub": "alice", "exp": exp, "nbf": exp}), Some(hmac::HMAC_SHA256)),
        ] {
            let token = by_hand(&header, &claims, algorithm);
            assert!(matches!(keys(SECRET).verify(&token), Err(TokenError::Bad)), "{header} {claims}");
        }
        let old = by_hand(&hs256, &json!({"sub": "alice", "exp": now_s() - 60}), Some(hmac::HMAC_SHA256));
        assert!(matches!(keys(SECRET).verify(&old), Err(TokenError::Expired)));
        let just_now = by_hand(&hs256, &json!({"sub": "alice", "exp": now_s() - 10}), Some(hmac::HMAC_SHA256));
        assert!(keys(SECRET).verify(&just_now).is_ok(), "clocks differ by seconds");
        let stranger = by_hand(&hs256, &json!({"sub": "a:b", "exp": exp}), Some(hmac::HMAC_SHA256));
        assert!(matches!(keys(SECRET).verify(&stranger), Err(TokenError::User)));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sent_it_is_no_token(text in "(\\PC{0,20}|[A-Za-z0-9_.-]{0,60})") {
            proptest::prop_assert!(keys(SECRET).verify(&text).is_err());
        }
    }
}
