//! How arguments are written down.

use super::{Argument, Kind};

/// `key [NX] field value [field value ...]`
pub(super) fn of(arguments: &[Argument]) -> String {
    arguments.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn one(argument: &Argument) -> String {
    let plain = bare(argument);
    let whole = if argument.is_repeated { format!("{plain} [{plain} ...]") } else { plain };
    if argument.is_optional { format!("[{whole}]") } else { whole }
}

/// Once, whether it may be left out or not.
fn bare(argument: &Argument) -> String {
    let value = match argument.kind {
        Kind::Flag => return argument.token.unwrap_or(argument.name).to_owned(),
        Kind::Block(parts) => of(parts),
        Kind::OneOf(choices) => {
            // Bare words stand close together, as people write them.
            let close = choices.iter().all(|choice| choice.kind == Kind::Flag) && !argument.is_optional;
            choices.iter().map(bare).collect::<Vec<_>>().join(if close { "|" } else { " | " })
        }
        _ => argument.name.to_owned(),
    };
    argument.token.map_or_else(|| value.clone(), |token| format!("{token} {value}"))
}
