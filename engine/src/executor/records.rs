//! What must have heard of an entry before it is sent.

use async_trait::async_trait;

/// Whoever keeps strategies durable.
#[async_trait]
pub trait Records: Send + Sync {
    /// Whether what keeps things durable knows of this cycle of a strategy. No answer is a no.
    async fn knows(&self, key: &str, cycle: u64) -> bool;
}
