//! What comes over the account's stream ("User Data Streams"; "Response format" of the WebSocket API).

use super::super::wire::read::json;
use super::codes::Coded;
use super::wire::Facts;
use crate::broker::{BrokerOrder, OrderSide};
use serde::Deserialize;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The answer to a request, by its id.
    Answer { id: u64, outcome: Result<(), Denied> },
    /// An order changed.
    Execution(Execution),
    /// The stream ends, or the server is about to.
    Ending(String),
    /// Nothing that concerns orders.
    Other,
}

/// Why a request over the stream failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) status: u16,
    pub(super) coded: Coded,
    /// Epoch ms until when nothing is to be sent.
    pub(super) retry_after_ms: Option<i64>,
}

/// `executionReport`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Execution {
    pub(super) order: BrokerOrder,
    /// The asset that a commission was taken in, where one was.
    pub(super) commission_asset: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Option<&'a serde_json::value::RawValue>,
    id: Option<u64>,
    status: Option<u16>,
    error: Option<StreamError>,
}

#[derive(Deserialize)]
struct StreamError {
    #[serde(flatten)]
    coded: Coded,
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorData {
    retry_after: Option<i64>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    e: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Report {
    s: String,
    c: String,
    /// The id of the order that is cancelled; then `c` is the cancellation's own.
    #[serde(rename = "C")]
    original: Option<String>,
    #[serde(rename = "S")]
    side: OrderSide,
    q: String,
    #[serde(rename = "X")]
    status: String,
    r: Option<String>,
    z: String,
    #[serde(rename = "Z")]
    cum_quote: String,
    #[serde(rename = "N")]
    commission_asset: Option<String>,
    #[serde(rename = "T")]
    ts_ms: i64,
    #[serde(rename = "eR")]
    expiry_reason: Option<String>,
}

/// A message of the account's stream.
pub(super) fn message(bytes: &[u8], user: &str) -> Result<Message, String> {
    let envelope: Envelope<'_> = json(bytes)?;
    if let Some(event) = envelope.event {
        return happening(event.get().as_bytes(), user);
    }
    let (Some(id), Some(status)) = (envelope.id, envelope.status) else { return Ok(Message::Other) };
    let outcome = match envelope.error {
        None if status == 200 => Ok(()),
        None => Err(Denied { status, coded: Coded { code: 0, msg: String::new() }, retry_after_ms: None }),
        Some(error) => {
            let retry_after_ms = error.data.and_then(|data| data.retry_after);
            Err(Denied { status, coded: error.coded, retry_after_ms })
        }
    };
    Ok(Message::Answer { id, outcome })
}

fn happening(event: &[u8], user: &str) -> Result<Message, String> {
    match &*json::<Kind<'_>>(event)?.e {
        "executionReport" => Ok(Message::Execution(json::<Report>(event)?.checked(user)?)),
        kind @ ("eventStreamTerminated" | "serverShutdown") => Ok(Message::Ending(kind.to_owned())),
        _ => Ok(Message::Other),
    }
}

impl Report {
    fn checked(self, user: &str) -> Result<Execution, String> {
        let refused = self.r.filter(|reason| reason != "NONE");
        let facts = Facts {
            client_order_id: self.original.filter(|id| !id.is_empty()).unwrap_or(self.c),
            symbol: self.s,
            side: self.side,
            quantity: &self.q,
            cum_qty: &self.z,
            cum_quote: &self.cum_quote,
            status: &self.status,
            text: self.expiry_reason.or(refused).unwrap_or_default(),
            ts_ms: self.ts_ms,
        };
        Ok(Execution { order: facts.checked(user)?, commission_asset: self.commission_asset })
    }
}
