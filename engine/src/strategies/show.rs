//! What the commands on strategies print.

use super::{Clerk, report};
use crate::cli::Output;
use crate::store::{Filter, Row};
use crate::sync;
use color_eyre::Result;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use strat_core::StrategyKey;

/// Rows per query.
const PAGE: i64 = 1_000;
/// Columns of the list.
const LISTED: [&str; 10] = [
    "symbol",
    "side",
    "quantity",
    "status",
    "position",
    "entry_price",
    "exit_price",
    "stop_loss",
    "take_profit",
    "pending",
];

impl Clerk {
    pub(super) fn say(&self, user: &str, strategy: &str, what: &str, version: u64) {
        match self.output {
            Output::Table => print_line(&format!("strategy {strategy} of {user}: {what} (version {version})")),
            Output::Json => print_line(
                &json!({"user_id": user, "strategy_id": strategy, "result": what, "version": version}).to_string(),
            ),
        }
    }

    pub(super) fn print_import(&self, added: u64, existing: u64, bad: u64) {
        match self.output {
            Output::Table => {
                print_line(&format!("{added} added, {existing} were there already, {bad} bad lines passed over"))
            }
            Output::Json => print_line(&json!({"added": added, "existing": existing, "bad": bad}).to_string()),
        }
    }

    pub(super) async fn list(&self, filter: Filter) -> Result<()> {
        let mut last: Option<Row> = None;
        let mut lines: Vec<[String; 12]> = Vec::new();
        loop {
            let after = last.as_ref().map(|row| (row.user.as_str(), row.strategy.as_str()));
            let rows = self.desk.store.page(&filter, after, PAGE).await?;
            for row in &rows {
                match self.output {
                    Output::Json => print_line(&as_json(row).to_string()),
                    Output::Table => lines.push(cells(row)),
                }
            }
            if (rows.len() as i64) < PAGE {
                break;
            }
            last = rows.into_iter().next_back();
        }
        if self.output == Output::Table {
            print_table(&lines);
        }
        self.warn_if_behind().await;
        Ok(())
    }

    /// The hash, which is the truth of the moment; the row of a strategy that Redis does not hold any more.
    pub(super) async fn show(&self, id: &StrategyKey<'_>) -> Result<()> {
        let fields = self.desk.read(id).await.map_err(report)?;
        match self.output {
            Output::Json => {
                let object: Map<String, Value> =
                    fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
                print_line(&Value::Object(object).to_string());
            }
            Output::Table => {
                let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                fields.iter().for_each(|(name, value)| print_line(&format!("{name:width$}  {value}")));
            }
        }
        Ok(())
    }

    /// The list comes from Postgres, which follows the journal while an engine runs.
    async fn warn_if_behind(&self) {
        if let Ok(backlog) = sync::backlog(&mut self.desk.redis.clone()).await
            && (backlog.unread != Some(0) || backlog.pending > 0)
        {
            tracing::warn!(
                unread = backlog.unread,
                "some changes are not in Postgres yet; is `strat-engine run` running?"
            );
        }
    }
}

fn cells(row: &Row) -> [String; 12] {
    std::array::from_fn(|at| match at {
        0 => row.user.clone(),
        1 => row.strategy.clone(),
        _ => match row.text(LISTED[at - 2]) {
            "" if LISTED[at - 2] == "status" => "RUNNING".to_owned(),
            _ if LISTED[at - 2] == "status" && row.removed => "REMOVED".to_owned(),
            text => text.to_owned(),
        },
    })
}

fn as_json(row: &Row) -> Value {
    let mut object: Map<String, Value> =
        row.fields.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    object.insert("user_id".to_owned(), row.user.clone().into());
    object.insert("strategy_id".to_owned(), row.strategy.clone().into());
    object.insert("removed".to_owned(), row.removed.into());
    Value::Object(object)
}

fn print_table(lines: &[[String; 12]]) {
    let mut header: [String; 12] =
        std::array::from_fn(|at| if at < 2 { String::new() } else { LISTED[at - 2].to_owned() });
    (header[0], header[1]) = ("user".to_owned(), "strategy".to_owned());
    let width = |at: usize| lines.iter().map(|line| line[at].len()).max().unwrap_or(0).max(header[at].len());
    let widths: [usize; 12] = std::array::from_fn(width);
    for line in std::iter::once(&header).chain(lines) {
        let padded: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        print_line(padded.join("  ").trim_end());
    }
    print_line(&format!("{} strategies", lines.len()));
}

/// A reader that went away (`| head`) is no error.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
