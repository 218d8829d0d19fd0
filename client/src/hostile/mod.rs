//! What servers, streams and settings may say: whatever it is, reading it never panics, a complaint names what is
//! wrong, and what the other side of strat writes is read back as it was written.

mod replies;
mod streams;
mod texts;
mod values;
