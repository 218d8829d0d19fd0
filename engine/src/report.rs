//! What became of each strategy of a replay: one JSON per line, and a table for people.

use crate::store::Store;
use crate::strategies_csv::StrategyLine;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use strat_core::{Leg, Money, Position, Price, Quantity, Side};

/// One strategy's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportLine {
    /// User id.
    pub user_id: String,
    /// Strategy id.
    pub strategy_id: String,
    /// Position at the end.
    pub position: String,
    /// Status at the end.
    pub status: String,
    /// Average price of the entry; null if it never filled.
    pub entry_price: Option<String>,
    /// Time of the tick that filled it, epoch ms.
    pub entry_ts_ms: Option<i64>,
    /// Average price of the exit; null if there was none.
    pub exit_price: Option<String>,
    /// Time of the tick that filled it, epoch ms.
    pub exit_ts_ms: Option<i64>,
    /// SELL, BUY, STOPLOSS, TAKEPROFIT or null.
    pub exit_reason: Option<String>,
    /// Quantity of the strategy.
    pub quantity: String,
    /// Exact profit or loss of the closed trade; `0` if it never entered, null while the position is open.
    pub pnl: Option<String>,
}

/// What one leg of a strategy filled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fill {
    action: String,
    quantity: Quantity,
    price: Price,
    ts_ms: i64,
}

/// What Postgres knows at the end.
#[derive(Debug, Default)]
struct Books {
    /// Position and status by user and strategy.
    states: HashMap<(String, String), (String, String)>,
    /// Entry and exit.
    fills: HashMap<(String, String), [Option<Fill>; 2]>,
}

/// The reports of `lines`, in their order, from what has reached Postgres.
///
/// # Errors
/// Where Postgres fails, or holds something that is not a decimal.
pub async fn collect(store: &Store, lines: &[StrategyLine]) -> color_eyre::Result<Vec<ReportLine>> {
    let books = read(store).await?;
    Ok(lines.iter().map(|line| of_line(line, &books)).collect())
}

async fn read(store: &Store) -> color_eyre::Result<Books> {
    type State = (String, String, String, String);
    type Filled = (String, String, String, String, String, String, i64);
    let mut books = Books::default();
    let states: Vec<State> =
        sqlx::query_as("SELECT user_id, strategy_id, position, status FROM strategies").fetch_all(store.pool()).await?;
    for (user, strategy, position, status) in states {
        books.states.insert((user, strategy), (position, status));
    }
    // The last report of each order that speaks of a fill: its cumulative numbers, and when the last part was filled.
    let fills: Vec<Filled> = sqlx::query_as(
        "SELECT o.user_id, o.strategy_id, o.leg, o.action, e.cum_qty::TEXT, e.avg_px::TEXT, e.ts_ms
         FROM orders o
         JOIN LATERAL (
             SELECT cum_qty, avg_px, ts_ms FROM order_events
             WHERE client_order_id = o.client_order_id AND cum_qty > 0 AND exec_type IN ('FILL', 'PARTIAL_FILL')
             ORDER BY version DESC LIMIT 1
         ) e ON TRUE
         ORDER BY o.cycle, o.attempt",
    )
    .fetch_all(store.pool())
    .await?;
    for (user, strategy, leg, action, quantity, price, ts_ms) in fills {
        let fill = Fill { action, quantity: plain(&quantity).parse()?, price: plain(&price).parse()?, ts_ms };
        let leg = usize::from(Leg::parse(&leg) == Some(Leg::Exit));
        books.fills.entry((user, strategy)).or_default()[leg] = Some(fill);
    }
    Ok(books)
}

/// NUMERIC prints a scale of its own: `180.10000000000` is as good as `180.1`.
fn plain(numeric: &str) -> &str {
    if numeric.contains('.') { numeric.trim_end_matches('0').trim_end_matches('.') } else { numeric }
}

fn of_line(line: &StrategyLine, books: &Books) -> ReportLine {
    let id = (line.user.clone(), line.strategy.clone());
    let (position, status) = books.states.get(&id).cloned().unwrap_or_default();
    let [entry, exit] = books.fills.get(&id).cloned().unwrap_or_default();
    let side = Side::parse(line.text("side")).unwrap_or(Side::Long);
    let quantity = line.text("quantity").parse::<Quantity>().unwrap_or_default();
    let open = Position::parse(&position).is_some_and(Position::is_open);
    let pnl = match (&entry, &exit) {
        _ if open => None,
        (Some(entry), Some(exit)) => Some(profit(side, entry, exit).to_string()),
        _ => Some(Money::ZERO.to_string()),
    };
    ReportLine {
        user_id: id.0,
        strategy_id: id.1,
        position,
        status,
        entry_price: entry.as_ref().map(|fill| fill.price.to_string()),
        entry_ts_ms: entry.as_ref().map(|fill| fill.ts_ms),
        exit_price: exit.as_ref().map(|fill| fill.price.to_string()),
        exit_ts_ms: exit.as_ref().map(|fill| fill.ts_ms),
        exit_reason: exit.map(|fill| fill.action),
        quantity: quantity.to_string(),
        pnl,
    }
}

fn profit(side: Side, entry: &Fill, exit: &Fill) -> Money {
    let (paid, got) = (Money::of(entry.price, entry.quantity), Money::of(exit.price, exit.quantity));
    match side {
        Side::Long => got - paid,
        Side::Short => paid - got,
    }
}

/// Writes the report whole, or not at all.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, lines: &[ReportLine]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = std::path::PathBuf::from(name);
    let mut file = BufWriter::new(std::fs::File::create(&part)?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(part, path)
}

/// Trades, exits by reason, and profit and loss, for people.
#[must_use]
pub fn table(lines: &[StrategyLine], report: &[ReportLine]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<12} {:<14} {:<10} {:<5} {:>10} {:>12} {:>12} {:<10} {:>14}",
        "user", "strategy", "symbol", "side", "quantity", "entry", "exit", "reason", "p&l"
    );
    let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let mut reasons: BTreeMap<String, (u64, Money)> = BTreeMap::new();
    let mut total = Money::ZERO;
    for (line, result) in lines.iter().zip(report) {
        let profit = result.pnl.as_deref().map_or(Money::ZERO, money);
        let reason = match (&result.exit_reason, &result.entry_price) {
            (Some(reason), _) => reason.clone(),
            (None, Some(_)) => "still open".to_owned(),
            (None, None) => "not entered".to_owned(),
        };
        let sum = reasons.entry(reason).or_insert((0, Money::ZERO));
        *sum = (sum.0 + 1, sum.1 + profit);
        total = total + profit;
        if result.entry_price.is_some() {
            let side = if line.text("side").is_empty() { "LONG" } else { line.text("side") };
            let _ = writeln!(
                text,
                "{:<12} {:<14} {:<10} {:<5} {:>10} {:>12} {:>12} {:<10} {:>14}",
                result.user_id,
                result.strategy_id,
                line.text("symbol"),
                side,
                result.quantity,
                show(&result.entry_price),
                show(&result.exit_price),
                show(&result.exit_reason),
                show(&result.pnl)
            );
        }
    }
    let _ = writeln!(text, "\n{:<12} {:>10} {:>18}", "exit", "strategies", "p&l");
    for (reason, (count, profit)) in &reasons {
        let _ = writeln!(text, "{reason:<12} {count:>10} {:>18}", profit.to_string());
    }
    let _ = writeln!(text, "{:<12} {:>10} {:>18}", "total", report.len(), total.to_string());
    text
}

/// The amount that [`Money`] printed, which may have twice the decimals of a price.
fn money(text: &str) -> Money {
    let (sign, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let quantity = |text: &str| text.parse::<Quantity>().unwrap_or_default();
    let one = Price::from_units(strat_core::decimal::SCALE);
    let padded = format!("{fraction:0<16}");
    // 10^-8 steps of the fraction's halves: the second half counts in units of 10^-16.
    let high = quantity(&format!("0.{}", &padded[..8]));
    let low = quantity(&format!("0.{}", &padded[8..16]));
    let amount = Money::of(one, quantity(whole)) + Money::of(one, high) + Money::of(Price::from_units(1), low);
    if sign { Money::ZERO - amount } else { amount }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(side: &str) -> StrategyLine {
        let fields = [("symbol", "IBM"), ("side", side), ("quantity", "10.50")];
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        StrategyLine { user: "a".into(), strategy: "s".into(), fields }
    }

    fn books(position: &str, entry: Option<&str>, exit: Option<&str>) -> Books {
        let id = ("a".to_owned(), "s".to_owned());
        let fill = |price: &str| Fill {
            action: "STOPLOSS".into(),
            quantity: "10.5".parse().unwrap(),
            price: price.parse().unwrap(),
            ts_ms: 7,
        };
        Books {
            states: HashMap::from([(id.clone(), (position.to_owned(), "COMPLETED".to_owned()))]),
            fills: HashMap::from([(id, [entry.map(fill), exit.map(fill)])]),
        }
    }

    #[test]
    fn profit_is_exact_and_has_the_sides_sign() {
        let long = of_line(&line("LONG"), &books("EXITED_BY_SL", Some("180.1"), Some("179.95000001")));
        assert_eq!((long.pnl.as_deref(), long.quantity.as_str()), (Some("-1.574999895"), "10.5"));
        let short = of_line(&line("SHORT"), &books("EXITED_BY_SL", Some("180.1"), Some("179.95000001")));
        assert_eq!(short.pnl.as_deref(), Some("1.574999895"));
    }

    #[test]
    fn what_never_entered_made_nothing_and_what_is_open_is_not_known() {
        let never = of_line(&line("LONG"), &books("NONE", None, None));
        assert_eq!((never.pnl.as_deref(), never.entry_price), (Some("0"), None));
        let open = of_line(&line("LONG"), &books("BOUGHT", Some("1"), None));
        assert_eq!((open.pnl, open.entry_ts_ms, open.exit_reason), (None, Some(7), None));
    }

    #[test]
    fn a_line_has_the_documented_members_in_order() {
        let json = serde_json::to_string(&of_line(&line("LONG"), &books("BOUGHT", Some("180.10"), None))).unwrap();
        assert_eq!(
            json,
            r#"{"user_id":"a","strategy_id":"s","position":"BOUGHT","status":"COMPLETED","entry_price":"180.1","entry_ts_ms":7,"exit_price":null,"exit_ts_ms":null,"exit_reason":null,"quantity":"10.5","pnl":null}"#
        );
    }

    #[test]
    fn amounts_are_read_back_to_the_last_digit() {
        for text in ["0", "-1.574999895", "12", "0.0000000000000001", "-90000.5", "3.00000001"] {
            assert_eq!(money(text).to_string(), text);
        }
        assert_eq!(plain("180.10000000000"), "180.1");
        assert_eq!(plain("100"), "100");
    }

    #[test]
    fn the_table_sums_up_by_reason() {
        let report = [of_line(&line("LONG"), &books("EXITED_BY_SL", Some("2"), Some("1")))];
        let text = table(&[line("LONG")], &report);
        assert!(text.contains("STOPLOSS              1              -10.5"), "{text}");
    }
}
