//! `STRAT.ALERTS user [TAG t] [CURSOR c] [COUNT n] [WITHVALUES]`

use super::list::reply_page;
use crate::args::Args;
use crate::server::{may_read, selected_db};
use crate::state;
use redis_module::{Context, RedisString, RedisValue};
use strat_core::book::AlertPage;
use strat_core::key::{alerts_of, check_id};
use strat_core::{AlertKey, Code, Refusal};

/// Where a walk begins, and what the last page answers.
const ENDS: &str = "0";

/// Pages through a user's alerts in the order of their ids, armed and fired ones. Only what the caller's user may read is
/// listed. Replies the next cursor ("0" at the end) and the keys, or maps.
pub(crate) fn run(ctx: &Context, args: &[RedisString]) -> Result<RedisValue, Refusal> {
    let mut args = Args::new("STRAT.ALERTS", args);
    let request = parse(&mut args)?;
    let db = selected_db(ctx);
    let start = alerts_of(&request.prefix, request.user);
    let (visible, cursor) = walk(
        |after, count| state::with(|state| state.book(db).alerts(&start, after, count)),
        |key| may_read(ctx, key),
        &request,
    );
    Ok(reply_page(ctx, cursor, visible, request.with_values))
}

/// The next page of readable keys and its cursor. What may not be read is passed over: the cursor is a key, and says nothing that
/// the page does not; a page that ended with an unreadable one would have none, and look like the last. A walk is no longer than a
/// user's alerts.
fn walk(
    page_of: impl Fn(Option<&str>, usize) -> AlertPage,
    may_read: impl Fn(&str) -> bool,
    request: &Request<'_>,
) -> (Vec<String>, String) {
    let mut visible: Vec<String> = Vec::new();
    let mut after = request.after.map(str::to_owned);
    loop {
        let page = page_of(after.as_deref(), request.count - visible.len());
        after = page.keys.last().cloned();
        visible.extend(page.keys.into_iter().filter(|key| may_read(key)));
        if !page.more {
            return (visible, ENDS.to_owned());
        }
        // As many as were asked for in this step: so all of them could be read, and the last one is the cursor.
        if visible.len() == request.count {
            return (visible, after.unwrap_or_else(|| ENDS.to_owned()));
        }
    }
}

struct Request<'a> {
    prefix: String,
    user: &'a str,
    /// The key that the page before ended with.
    after: Option<&'a str>,
    count: usize,
    with_values: bool,
}

fn parse<'a>(args: &mut Args<'a>) -> Result<Request<'a>, Refusal> {
    let user = args.text()?;
    check_id("user", user)?;
    let mut request =
        Request { prefix: String::new(), user, after: None, count: super::list::COUNT_DEFAULT, with_values: false };
    while !args.is_empty() {
        if args.option("TAG") {
            request.prefix = args.tag()?;
        } else if args.option("CURSOR") {
            request.after = cursor(args.text()?)?;
        } else if args.option("COUNT") {
            request.count = super::list::count(args)?;
        } else if args.option("WITHVALUES") {
            request.with_values = true;
        } else {
            return Err(args.syntax());
        }
    }
    Ok(request)
}

fn cursor(text: &str) -> Result<Option<&str>, Refusal> {
    match text {
        ENDS => Ok(None),
        key if AlertKey::parse(key).is_some() => Ok(Some(key)),
        _ => Err(Refusal::new(Code::Err, "CURSOR must be 0 or what the page before answered")),
    }
}
