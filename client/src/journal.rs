//! The journal: every state change of every strategy, in order, for whoever keeps a durable copy.

use crate::connection::Connection;
use crate::entry::{BadEntry, RawEntry};
use crate::error::Result;
use crate::group::GroupReader;
use crate::reply::count_of_text;
use serde_json::{Map, Value};
use std::time::Duration;
use strat_core::event::{OrderReport, journal_field};
use strat_core::field::parse_count;
use strat_core::{EventType, key};

/// The consumer group that feeds the durable copy.
pub const SYNC_GROUP: &str = "sync";

/// One state change of one strategy.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Id in the stream; a change's identity for ever.
    pub id: String,
    /// Times that it was handed out, this one included.
    pub deliveries: u64,
    /// Key of the strategy's hash.
    pub key: String,
    /// Version that the change led to.
    pub version: u64,
    /// Type as text; newer servers may send types that this client does not know.
    pub kind: String,
    /// Epoch ms.
    pub ts_ms: i64,
    /// The changed fields, `version` and `updated_at` among them; an empty text clears a field.
    pub data: Map<String, Value>,
    /// The execution report behind the change, if it came from one.
    pub order: Option<OrderReport>,
    /// `data` is the whole strategy, not just some fields.
    pub replace: bool,
}

impl JournalEntry {
    /// The type, if this client knows it.
    #[must_use]
    pub fn event_type(&self) -> Option<EventType> {
        EventType::parse(&self.kind)
    }
}

/// What a read hands out: a change, or an entry that is none.
pub type JournalDelivery = std::result::Result<JournalEntry, BadEntry>;

/// Reads the journal of one partition as a member of the group [`SYNC_GROUP`].
///
/// After a start, read what was handed out before ([`JournalReader::read_unacknowledged`]) until nothing comes, then what is
/// new. Acknowledge after the durable copy has it.
#[derive(Debug)]
pub struct JournalReader {
    group: GroupReader,
    journal: String,
}

impl JournalReader {
    /// A reader named `consumer`, in the partition of `prefix` (`{tag}` or empty), with a connection of its own for
    /// blocking reads of up to `block_max`. Keep the name across restarts: it owns what it has not acknowledged.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an address that this build cannot connect to.
    pub fn new(commands: &Connection, prefix: &str, consumer: &str, block_max: Duration) -> Result<Self> {
        let journal = key::journal(prefix);
        Ok(Self { group: GroupReader::new(commands, SYNC_GROUP, consumer, vec![journal.clone()], block_max)?, journal })
    }

    /// Creates stream and group where they are missing. Reading does so too when it finds them gone.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn ensure_groups(&mut self) -> Result<()> {
        self.group.ensure_groups().await
    }

    /// The oldest changes that this consumer was given and has not acknowledged. Acknowledge them to see the next ones.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn read_unacknowledged(&mut self, count: usize) -> Result<Vec<JournalDelivery>> {
        let entries = self.group.read_own_pending(&self.journal, count).await?;
        Ok(entries.into_iter().map(typed).collect())
    }

    /// Changes that nobody was given yet; none if none comes within `block` (at most `block_max`).
    ///
    /// Not cancel-safe: what was handed out to a future that is dropped, or lost with the connection, comes back by
    /// [`JournalReader::read_unacknowledged`].
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn read(&mut self, count: usize, block: Duration) -> Result<Vec<JournalDelivery>> {
        let entries = self.group.read_new(&self.journal, count, Some(block)).await?;
        Ok(entries.into_iter().map(typed).collect())
    }

    /// Takes over what another consumer was given `min_idle` ago or earlier and has not acknowledged.
    ///
    /// # Errors
    /// Whatever the server or the connection says.
    pub async fn claim(&mut self, min_idle: Duration, count: usize) -> Result<Vec<JournalDelivery>> {
        let entries = self.group.claim(&self.journal, min_idle, count).await?;
        Ok(entries.into_iter().map(typed).collect())
    }

    /// Marks changes as kept. They stay in the stream, for other readers, until it is trimmed.
    ///
    /// # Errors
    /// Whatever the server or the connection says; to acknowledge twice does no harm.
    pub async fn acknowledge(&mut self, ids: &[&str]) -> Result<()> {
        self.group.acknowledge(&self.journal, ids).await
    }
}

pub(crate) fn typed(raw: RawEntry) -> JournalDelivery {
    let data = raw.need(journal_field::DATA)?;
    let data = serde_json::from_str(data).map_err(|why| raw.bad(format!("data is not a JSON object: {why}")))?;
    let order = match raw.get(journal_field::ORDER).filter(|json| !json.is_empty()) {
        None => None,
        Some(json) => Some(serde_json::from_str(json).map_err(|why| raw.bad(format!("order does not read: {why}")))?),
    };
    let ts = raw.need(journal_field::TS)?;
    let version = raw.need(journal_field::VERSION)?;
    Ok(JournalEntry {
        key: raw.need(journal_field::KEY)?.to_owned(),
        version: count_of_text(version, "version").map_err(|why| raw.bad(why.to_string()))?,
        kind: raw.need(journal_field::TYPE)?.to_owned(),
        ts_ms: parse_count(ts.as_bytes()).ok_or_else(|| raw.bad(format!("ts '{ts}' is not epoch ms")))?,
        replace: raw.get(journal_field::REPLACE) == Some("1"),
        data,
        order,
        deliveries: raw.deliveries,
        id: raw.id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(fields: &[(&str, &str)]) -> RawEntry {
        RawEntry {
            stream: "journal".into(),
            id: "7-0".into(),
            deliveries: 1,
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    const HEAD: [(&str, &str); 4] =
        [("key", "user:a:strategy:s"), ("version", "4"), ("type", "ORDER_EXECUTED"), ("ts", "9")];

    #[test]
    fn a_change_with_its_execution_report() {
        let order = r#"{"order_id":"A","action":"BUY","leg":"ENTRY","cycle":1,"attempt":0,"exec_type":"FILL","cum_qty":"10","avg_px":"2500.5","text":""}"#;
        let mut fields = HEAD.to_vec();
        fields.extend([("data", r#"{"position":"BOUGHT","version":"4"}"#), ("order", order)]);
        let entry = typed(raw(&fields)).unwrap();
        assert_eq!((entry.version, entry.ts_ms, entry.event_type()), (4, 9, Some(EventType::OrderExecuted)));
        assert_eq!(entry.data["position"], "BOUGHT");
        assert_eq!(entry.order.unwrap().avg_px, "2500.5");
        assert!(!entry.replace);
    }

    #[test]
    fn a_replacement_says_so_and_an_unknown_type_is_kept() {
        let fields = [
            ("key", "k"),
            ("version", "1"),
            ("type", "FROM_THE_FUTURE"),
            ("ts", "9"),
            ("data", "{}"),
            ("replace", "1"),
        ];
        let entry = typed(raw(&fields)).unwrap();
        assert_eq!((entry.replace, entry.event_type(), entry.kind.as_str()), (true, None, "FROM_THE_FUTURE"));
    }

    #[test]
    fn an_entry_that_does_not_read_is_handed_out_as_such() {
        for bad in [("data", "[1]"), ("data", "{"), ("other", "x")] {
            let mut fields = HEAD.to_vec();
            fields.push(bad);
            assert!(typed(raw(&fields)).is_err(), "{bad:?}");
        }
        let mut fields = HEAD.to_vec();
        fields.extend([("data", "{}"), ("order", "{}")]);
        assert!(typed(raw(&fields)).unwrap_err().reason.contains("order"));
    }
}
