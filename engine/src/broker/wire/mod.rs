//! What all roads to brokers share: requests over HTTP, and reading answers strictly.

#[allow(dead_code, reason = "each road uses a part of it")]
pub(crate) mod http;
#[allow(dead_code, reason = "each road uses a part of it")]
pub(crate) mod read;
