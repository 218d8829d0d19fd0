//! A circuit breaker, retries, optimistic transactions and batches around a connection.
