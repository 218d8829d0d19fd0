//! The seam to the server's C API: the only place with `unsafe`. Everything above it sees safe
//! functions, owned values and our own types.
#![allow(unsafe_code)]

mod acl;
mod api;
mod argv;
mod call;
mod docs;
mod events;
mod guard;
mod hash;
mod info;
mod log;
mod rehearsal;
mod reply;
mod timer;
mod write;

pub(crate) use acl::may_read;
pub(crate) use api::{
    KeyKind, Priced, command_db, databases, in_database, is_cluster, is_loading, is_primary, key_kind,
    keys_of_database, selected_db, store_price, turn_clock_ms, wall_clock_ms, without_implicit_signals,
    writes_are_paused,
};
pub(crate) use argv::{Argv, register_slcheck};
pub(crate) use call::{Reply, read, string, write, write_strings};
pub(crate) use docs::describe_commands;
pub(crate) use events::{after_own_write, subscribe, write_trails_soon};
pub(crate) use guard::{attempt, check_ready, command, note_panics, shielded, survive};
pub(crate) use hash::{Found, Texts, all_fields, each_strategy, find_alert, find_strategy, find_strategy_and_db};
pub(crate) use info::register as register_info;
pub(crate) use log::{log_notice, log_warning};
pub(crate) use rehearsal::{Point, Rehearsal, arm as arm_panic, check_allowed as check_panic_allowed, reach};
pub(crate) use reply::reply_map;
pub(crate) use timer::{start as start_timer, stop as stop_timer};
pub(crate) use write::{hash_set, is_direct, publish, stream_add};
