//! What is answered on the streams.

use super::{KEY_ID, SECRET_KEY, say};
use crate::hub::ORDERS;
use crate::{Line, Message, World};
use serde_json::{Value, json};

/// The stream of updates: an answer to everything.
pub(super) fn updates(world: &World, line: &mut Line, said: &Value) -> Value {
    match said["action"].as_str() {
        Some("authenticate") => {
            let (id, secret) = (&said["data"]["key_id"], &said["data"]["secret_key"]);
            line.known = id == KEY_ID && secret == SECRET_KEY && !world.is_expired();
            let status = if line.known { "authorized" } else { "unauthorized" };
            json!({"stream": "authorization", "data": {"status": status, "action": "authenticate"}})
        }
        Some("listen") if line.known => {
            line.topics.insert(ORDERS.to_owned());
            json!({"stream": "listening", "data": {"streams": ["trade_updates"]}})
        }
        _ => json!({"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}}),
    }
}

/// The market data.
pub(super) fn market(world: &World, line: &mut Line, said: &Value) -> Vec<Message> {
    let error = |code: u16, words: &str| vec![say(&json!([{"T": "error", "code": code, "msg": words}]))];
    match said["action"].as_str() {
        Some("auth") if said["key"] == KEY_ID && said["secret"] == SECRET_KEY && !world.is_expired() => {
            line.known = true;
            vec![say(&json!([{"T": "success", "msg": "authenticated"}]))]
        }
        Some("auth") => error(402, "auth failed"),
        Some("subscribe") if line.known => {
            let trades = said["trades"].as_array().cloned().unwrap_or_default();
            line.topics.extend(trades.iter().filter_map(Value::as_str).map(str::to_owned));
            vec![say(&json!([{"T": "subscription", "trades": line.topics, "quotes": [], "bars": []}]))]
        }
        Some("subscribe") => error(401, "not authenticated"),
        _ => error(400, "invalid syntax"),
    }
}
