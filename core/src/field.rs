//! The fields of a strategy's hash: what each may hold and who may write it.

use crate::decimal::{DecimalError, Price, Quantity};
use crate::key::{check_symbol, is_id};
use crate::order::{Action, wire_enum};
use crate::refusal::{Code, Refusal, shown};
use crate::strategy::{Offset, Position, Side, Status};
use crate::time::TimeOfDay;

/// Longest field name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest field value, in bytes. Keeps journal entries and events small.
pub const VALUE_BYTES_MAX: usize = 65_536;
/// Largest count or epoch ms that commands take: room to count on, and exact in every JSON reader.
pub const COUNT_MAX: i64 = (1 << 53) - 1;
/// Most fields in one hash that commands will write.
pub const FIELDS_MAX: usize = 256;

wire_enum! {
    /// What happens to an open position when its strategy is stopped (field `on_stop`).
    OnStop {
        /// Exit at the market; the default.
        SquareOff = "SQUAREOFF",
        /// Leave it to the user, with an event that says that it is unguarded.
        Leave = "LEAVE",
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exchange symbol.
    Symbol,
    /// LONG or SHORT.
    Side,
    /// Decimal above 0.
    Quantity,
    /// Decimal of 0 or more, kept by the server.
    Filled,
    /// Price, or empty for none.
    Price,
    /// Trailing distance: a price such as `5.00` or a percentage such as `1.5%`; empty for none.
    Trail,
    /// Local time of day; empty for none.
    TimeOfDay,
    /// IANA zone or calendar name: a short word; empty for the default.
    Word,
    /// RUNNING, STOPPED, COMPLETED, FAILED.
    Status,
    /// NONE, BOUGHT, ...
    Position,
    /// An action, or empty.
    Action,
    /// SQUAREOFF or LEAVE.
    OnStop,
    /// Whole number of 0 or more (epoch ms, counts); empty for none.
    Count,
    /// Any UTF-8.
    Text,
}

/// Who may write a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// `SET` and `UPDATE`.
    Anyone,
    /// `SET` only, to restore a strategy; afterwards the state machine keeps it.
    Restore,
    /// Nobody: derived from the key or written with each change. `SET` takes it and overrules it.
    Server,
}

/// One field of the hash.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Who writes it.
    pub writer: Writer,
    /// One line for documentation.
    pub about: &'static str,
}

const fn spec(name: &'static str, kind: Kind, writer: Writer, about: &'static str) -> Spec {
    Spec { name, kind, writer, about }
}

/// Every field that has a meaning. Any other name is the user's own and kept as it is.
pub const SPECS: &[Spec] = &[
    spec("id", Kind::Text, Writer::Server, "strategy id, for readers; identity comes from the key"),
    spec("user_id", Kind::Text, Writer::Server, "user id, for readers"),
    spec("symbol", Kind::Symbol, Writer::Anyone, "exchange symbol; required"),
    spec("side", Kind::Side, Writer::Anyone, "LONG (default) or SHORT"),
    spec("quantity", Kind::Quantity, Writer::Anyone, "quantity of the entry, above 0; required"),
    spec("buy_time", Kind::TimeOfDay, Writer::Anyone, "local time HH:MM[:SS] to buy"),
    spec("sell_time", Kind::TimeOfDay, Writer::Anyone, "local time HH:MM[:SS] to sell"),
    spec(
        "repeat",
        Kind::Word,
        Writer::Anyone,
        "daily: begins again at the next session when it has completed; empty for once",
    ),
    spec("timezone", Kind::Word, Writer::Anyone, "IANA zone of the local times"),
    spec("calendar", Kind::Word, Writer::Anyone, "session calendar; empty trades every day"),
    spec("stop_loss", Kind::Price, Writer::Anyone, "price that ends the position at a loss; empty for none"),
    spec("take_profit", Kind::Price, Writer::Anyone, "price that ends the position at a gain; empty for none"),
    spec("trail", Kind::Trail, Writer::Anyone, "trailing distance, 5.00 or 1.5%; empty for none"),
    spec(
        "trail_ref",
        Kind::Price,
        Writer::Anyone,
        "best price that the trailing stop begins with; by default the entry's. Written again, following begins anew",
    ),
    spec(
        "reference_price",
        Kind::Price,
        Writer::Anyone,
        "price that the entry reckons with: the price collar (limit `price_collar_percent`) is around it",
    ),
    spec("trail_from", Kind::Count, Writer::Restore, "epoch ms from which on prices count for the trailing stop"),
    spec("on_stop", Kind::OnStop, Writer::Anyone, "SQUAREOFF (default) or LEAVE an open position when stopped"),
    spec("status", Kind::Status, Writer::Anyone, "RUNNING (default), STOPPED, COMPLETED, FAILED"),
    spec(
        "position",
        Kind::Position,
        Writer::Anyone,
        "NONE (default), BOUGHT, SHORTED, SOLD, COVERED, EXITED_BY_SL, EXITED_BY_TP",
    ),
    spec("entry_price", Kind::Price, Writer::Anyone, "average price of the entry's fills"),
    spec("exit_price", Kind::Price, Writer::Anyone, "average price of the exits' fills"),
    spec(
        "filled_quantity",
        Kind::Filled,
        Writer::Anyone,
        "filled by the entry of this cycle; a position given without it counts as filled by quantity",
    ),
    spec("exit_quantity", Kind::Filled, Writer::Anyone, "filled by the exits of this cycle"),
    spec("prior_exit_quantity", Kind::Filled, Writer::Restore, "filled by exit attempts that are dead"),
    spec("prior_exit_price", Kind::Price, Writer::Restore, "average price of those"),
    spec("attempt", Kind::Count, Writer::Restore, "attempt of the exit leg"),
    spec("retry_at", Kind::Count, Writer::Restore, "epoch ms before which no further exit attempt is made"),
    spec("retry_action", Kind::Action, Writer::Restore, "the exit to try again then"),
    spec("pending", Kind::Action, Writer::Restore, "empty, or the action that is enqueued"),
    spec("working", Kind::Action, Writer::Restore, "empty, or the action whose order works at the broker"),
    spec("last_action", Kind::Text, Writer::Restore, "the last action reported by the broker"),
    spec("last_buy_order", Kind::Text, Writer::Restore, "order id of the last buy"),
    spec("last_sell_order", Kind::Text, Writer::Restore, "order id of the last sell, take-profit or square-off"),
    spec("last_sl_order", Kind::Text, Writer::Restore, "order id of the last stop-loss exit"),
    spec("buy_at", Kind::Count, Writer::Anyone, "epoch ms to buy; computed by the engine from buy_time"),
    spec("sell_at", Kind::Count, Writer::Anyone, "epoch ms to sell; computed by the engine from sell_time"),
    spec("cycle", Kind::Count, Writer::Anyone, "counts entries"),
    spec(
        "cycle_at",
        Kind::Count,
        Writer::Restore,
        "epoch ms when the cycle began; an older order is none of its orders",
    ),
    spec("version", Kind::Count, Writer::Server, "rises by one per change"),
    spec("updated_at", Kind::Count, Writer::Server, "epoch ms of the last change"),
    spec("terminated_at", Kind::Count, Writer::Restore, "epoch ms when the strategy ended"),
    spec("error", Kind::Text, Writer::Anyone, "last error, in words"),
];

/// The spec of a field with a meaning.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.name == name)
}

/// Checks a name and its value as a command argument.
///
/// # Errors
/// `BADPRICE` for prices, `BADFIELD` for the rest; the text names the field and shows the value.
pub fn check(name: &[u8], value: &[u8]) -> Result<(), Refusal> {
    let bad = |why: &str| Refusal::new(Code::BadField, format!("field {} {why}", shown(name)));
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(bad("must have a name of 1 to 128 bytes"));
    }
    if value.len() > VALUE_BYTES_MAX {
        return Err(bad("is longer than 65536 bytes"));
    }
    let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
        return Err(bad("is not UTF-8"));
    };
    lookup(name).map_or(Ok(()), |spec| check_kind(spec, value))
}

fn check_kind(spec: &Spec, value: &str) -> Result<(), Refusal> {
    let refuse =
        |why: &str| Err(Refusal::new(Code::BadField, format!("{} {} {why}", spec.name, shown(value.as_bytes()))));
    let one_of = |known: Vec<&str>, found: bool| {
        if found { Ok(()) } else { refuse(&format!("must be one of {}", known.join(", "))) }
    };
    match spec.kind {
        Kind::Text => Ok(()),
        Kind::Symbol => check_symbol(value),
        Kind::Quantity => decimal(spec, value, Code::BadField, Quantity::parse_positive(value.as_bytes()).err()),
        Kind::Side => one_of(Side::ALL.iter().map(|v| v.as_str()).collect(), Side::parse(value).is_some()),
        Kind::Status => one_of(Status::ALL.iter().map(|v| v.as_str()).collect(), Status::parse(value).is_some()),
        Kind::Position => one_of(Position::ALL.iter().map(|v| v.as_str()).collect(), Position::parse(value).is_some()),
        Kind::OnStop => one_of(OnStop::ALL.iter().map(|v| v.as_str()).collect(), OnStop::parse(value).is_some()),
        // Empty clears every kind below.
        _ if value.is_empty() => Ok(()),
        Kind::Filled => {
            let wrong = match Quantity::parse(value.as_bytes()) {
                Ok(quantity) if quantity < Quantity::ZERO => Some(DecimalError::Malformed),
                other => other.err(),
            };
            decimal(spec, value, Code::BadField, wrong)
        }
        Kind::Price => decimal(spec, value, Code::BadPrice, Price::parse(value.as_bytes()).err()),
        Kind::Trail => match Offset::parse(value.as_bytes()) {
            Err(DecimalError::TooLarge) if value.ends_with('%') => Err(Refusal::new(
                Code::BadPrice,
                format!("{} {} must be below 100%", spec.name, shown(value.as_bytes())),
            )),
            parsed => decimal(spec, value, Code::BadPrice, parsed.err()),
        },
        Kind::TimeOfDay if TimeOfDay::parse(value).is_some() => Ok(()),
        Kind::TimeOfDay => refuse("must be a local time HH:MM or HH:MM:SS"),
        Kind::Word if value.split('/').all(is_word) => Ok(()),
        Kind::Word => refuse("must be a short name such as Asia/Kolkata"),
        Kind::Action => one_of(Action::ALL.iter().map(|v| v.as_str()).collect(), Action::parse(value).is_some()),
        Kind::Count if parse_count(value.as_bytes()).is_some_and(|n| n <= COUNT_MAX) => Ok(()),
        Kind::Count => refuse("must be a whole number from 0 to 9007199254740991"),
    }
}

fn is_word(part: &str) -> bool {
    is_id(&part.replace('+', "_"))
}

fn decimal(spec: &Spec, value: &str, code: Code, wrong: Option<DecimalError>) -> Result<(), Refusal> {
    wrong.map_or(Ok(()), |why| Err(Refusal::new(code, format!("{} {} {why}", spec.name, shown(value.as_bytes())))))
}

/// A whole number of 0 or more that fits `i64`, digits only.
#[must_use]
pub fn parse_count(text: &[u8]) -> Option<i64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(name: &str, value: &str) -> Option<Code> {
        check(name.as_bytes(), value.as_bytes()).err().map(|refusal| refusal.code)
    }

    #[test]
    fn each_kind_takes_its_values_and_refuses_others() {
        let good = [
            ("symbol", "M&M"),
            ("side", "SHORT"),
            ("quantity", "0.001"),
            ("stop_loss", "2500.00"),
            ("stop_loss", ""),
            ("trail", "1.5%"),
            ("trail", "5.00"),
            ("buy_time", "09:30:00"),
            ("timezone", "America/New_York"),
            ("timezone", "Etc/GMT+5"),
            ("calendar", "XNYS"),
            ("status", "STOPPED"),
            ("position", "EXITED_BY_TP"),
            ("pending", ""),
            ("buy_at", "1760000000000"),
            ("note", "anything \u{20ac}"),
            ("on_stop", "LEAVE"),
            ("filled_quantity", "0"),
        ];
        for (name, value) in good {
            assert_eq!(check(name.as_bytes(), value.as_bytes()), Ok(()), "{name} {value}");
        }
        let bad = [
            ("symbol", "A:B", Code::BadField),
            ("symbol", "", Code::BadField),
            ("side", "long", Code::BadField),
            ("quantity", "0", Code::BadField),
            ("quantity", "-1", Code::BadField),
            ("quantity", "1e5", Code::BadField),
            ("stop_loss", "nan", Code::BadPrice),
            ("stop_loss", "inf", Code::BadPrice),
            ("take_profit", "1e5", Code::BadPrice),
            ("stop_loss", "1.123456789", Code::BadPrice),
            ("stop_loss", "90000000000", Code::BadPrice),
            ("trail", "0", Code::BadPrice),
            ("trail", "%", Code::BadPrice),
            ("trail", "100%", Code::BadPrice),
            ("buy_time", "9:30", Code::BadField),
            ("timezone", "no zone", Code::BadField),
            ("status", "PAUSED", Code::BadField),
            ("position", "FLAT", Code::BadField),
            ("buy_at", "-1", Code::BadField),
            ("pending", "HOLD", Code::BadField),
            ("filled_quantity", "-1", Code::BadField),
        ];
        for (name, value, expected) in bad {
            assert_eq!(code(name, value), Some(expected), "{name} {value}");
        }
        assert_eq!(check(b"", b"x").map_err(|r| r.code), Err(Code::BadField));
        assert_eq!(check(b"note", b"\xff").map_err(|r| r.code), Err(Code::BadField));
    }

    #[test]
    fn a_refusal_names_the_field_and_stays_on_one_line_of_ascii() {
        let refusal = check(b"stop_loss", "25\u{20ac}\n".as_bytes()).unwrap_err();
        assert_eq!(refusal.to_string(), "BADPRICE stop_loss '25??' is not a plain decimal number such as 2500.00");
    }

    #[test]
    fn field_names_are_unique() {
        for (i, spec) in SPECS.iter().enumerate() {
            assert!(SPECS[i + 1..].iter().all(|other| other.name != spec.name), "{}", spec.name);
        }
    }

    /// Values of every kind, and others.
    fn value() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::sample::select(vec![
                "", "LONG", "SHORT", "RUNNING", "BOUGHT", "SHORTED", "NONE", "BUY", "STOPLOSS", "LEAVE"
            ])
            .prop_map(|word| word.as_bytes().to_vec()),
            "-?[0-9]{1,20}(\\.[0-9]{0,9})?%?".prop_map(String::into_bytes),
            "[0-9:]{1,9}".prop_map(String::into_bytes),
            "\\PC{0,8}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..12),
        ]
    }

    fn hash() -> impl proptest::strategy::Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
        let name = prop::sample::select(SPECS.iter().map(|spec| spec.name).collect::<Vec<_>>());
        prop::collection::vec((name, value()), 0..12).prop_map(|mut fields| {
            // So that some parse as a whole.
            fields.extend([("symbol", b"IBM".to_vec()), ("quantity", b"10".to_vec())]);
            fields
        })
    }

    proptest! {
        #[test]
        fn no_name_and_value_make_it_panic(name in value(), value in value()) {
            for name in SPECS.iter().map(|spec| spec.name.as_bytes()).chain([name.as_slice()]) {
                if let Err(refusal) = check(name, &value) {
                    prop_assert!(refusal.to_string().bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{refusal}");
                }
            }
        }

        #[test]
        fn what_a_command_accepts_the_hash_reads(spec in prop::sample::select(SPECS), value in value()) {
            if check(spec.name.as_bytes(), &value).is_ok() {
                let given: [(&str, &[u8]); 3] = [(spec.name, &value), ("symbol", b"IBM"), ("quantity", b"10")];
                let get = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
                prop_assert!(crate::Strategy::read(get).is_ok(), "{} {:?}", spec.name, crate::Strategy::read(get));
            }
        }

        #[test]
        fn salvage_tells_of_a_sound_hash_what_reading_it_does(fields in hash()) {
            let get = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_slice());
            let salvaged = crate::Strategy::salvage(get);
            if let Ok(strategy) = crate::Strategy::read(get) {
                prop_assert_eq!(salvaged, crate::strategy::Salvaged::from(&strategy));
                // Nothing that it is asked may panic either.
                let _ = (strategy.arming(), strategy.due(i64::MAX), strategy.fire(Price::ZERO, None, "0", i64::MAX), strategy.remove());
            }
            let _ = salvaged.remove();
        }

        #[test]
        fn counts_are_digits_that_fit(bytes in prop::collection::vec(any::<u8>(), 0..24), number in 0..=i64::MAX) {
            let _ = parse_count(&bytes);
            prop_assert_eq!(parse_count(number.to_string().as_bytes()), Some(number));
        }
    }
}
