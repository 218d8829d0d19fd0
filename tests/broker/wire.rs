//! JSON of the wire, and answers that are none.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strat_core::Quantity;

/// Side of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Side {
    Buy,
    Sell,
}

/// Body of a submission.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Submission {
    pub(crate) client_order_id: String,
    pub(crate) user: String,
    pub(crate) symbol: String,
    pub(crate) side: Side,
    pub(crate) quantity: String,
}

/// A submission that makes sense.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) client_order_id: String,
    pub(crate) user: String,
    pub(crate) symbol: String,
    pub(crate) side: Side,
    pub(crate) quantity: Quantity,
}

impl TryFrom<Submission> for Request {
    type Error = String;

    fn try_from(from: Submission) -> Result<Self, String> {
        let quantity = Quantity::parse_positive(from.quantity.as_bytes())
            .map_err(|why| format!("quantity '{}' {why}", from.quantity))?;
        if from.client_order_id.is_empty() || from.client_order_id.len() > 128 {
            return Err("client_order_id must have 1 to 128 bytes".to_owned());
        }
        let (client_order_id, user, symbol, side) = (from.client_order_id, from.user, from.symbol, from.side);
        Ok(Self { client_order_id, user, symbol, side, quantity })
    }
}

/// `{"error": text}`.
pub(crate) fn refusal(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({ "error": text }))).into_response()
}

/// Ways in which any answer can be unusable.
pub(crate) const GARBAGE_KINDS: usize = 4;
/// Ways in which an answer about one order can be, those included.
pub(crate) const ORDER_GARBAGE_KINDS: usize = 8;

/// An unusable answer made of a good one.
pub(crate) fn garbage(kind: usize, good: &Value) -> Response {
    let text = good.to_string();
    let cut = text.len() / 2;
    let changed = |field: &str, value: &str| {
        let mut changed = good.clone();
        changed[field] = Value::from(value);
        axum::Json(changed).into_response()
    };
    match kind {
        0 => ([(header::CONTENT_TYPE, "text/html")], "<html><body>Please log in</body></html>").into_response(),
        1 => text[..cut].to_owned().into_response(),
        2 => StatusCode::OK.into_response(),
        3 => broken_off(&text, cut),
        4 => text.replace(":\"0\"", ":\"NaN\"").replace("\"quantity\":\"", "\"quantity\":\"NaN").into_response(),
        5 => changed("client_order_id", "SOMEBODYELSES"),
        6 => changed("status", "MAYBE"),
        _ => changed("cum_qty", "999999999"),
    }
}

/// Promises more bytes than come before the connection is closed.
fn broken_off(text: &str, cut: usize) -> Response {
    let parts: [Result<Bytes, std::io::Error>; 2] = [
        Ok(Bytes::copy_from_slice(&text.as_bytes()[..cut])),
        Err(std::io::Error::other("the connection is reset on purpose")),
    ];
    let mut response = Response::new(Body::from_stream(futures_util::stream::iter(parts)));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}
