use super::*;
use std::collections::BTreeSet;

#[test]
fn syntax_is_written_as_people_write_it() {
    let cases = [
        ("strat.set", "key [NX | RESTORE epoch version] field value [field value ...]"),
        ("STRAT.GET", "key"),
        ("STRAT.UPDATE", "key [IFVERSION v] [TOKEN t] field value [field value ...]"),
        ("STRAT.LIST", "[TAG t] [USER u] [SYMBOL s] [STATUS st] [CURSOR c] [COUNT n] [WITHVALUES]"),
        ("STRAT.SLCHECK", "symbol price [symbol price ...] [TS ms]"),
        (
            "STRAT.REPORT",
            "key token exec-type [CUMQTY q AVGPX p] [ORDER id] [ACTION a] [ACK stream entry] [TEXT t] [TS ms]",
        ),
        ("STRAT.ALERT", "alert-key symbol ABOVE|BELOW price [EX seconds]"),
        ("STRAT.EPOCH", ""),
        ("STRAT.DEBUG", "VERIFY | PANIC COMMAND|EVENT|SERVER|TIMER|INFO|SCAN|FIRE|WRITE [AFTER n] [TIMES n]"),
    ];
    for (name, syntax) in cases {
        assert_eq!(Command::find(name).unwrap().syntax(), syntax, "{name}");
    }
}

/// Fewest words of a command, its name among them; and whether there may be more.
fn words(arguments: &[Argument]) -> (i32, bool) {
    arguments.iter().fold((0, false), |(count, more), argument| {
        let (own, open) = match argument.kind {
            Kind::Block(parts) => words(parts),
            Kind::OneOf(choices) => {
                let each: Vec<_> = choices.iter().map(|choice| words(std::slice::from_ref(choice))).collect();
                let fewest = each.iter().map(|(count, _)| *count).min().unwrap_or(0);
                (fewest, each.iter().any(|(count, open)| *open || *count != fewest))
            }
            _ => (1, false),
        };
        let token = i32::from(argument.token.is_some() && argument.kind != Kind::Flag);
        match argument.is_optional {
            true => (count, true),
            false => (count + own + token, more || open || argument.is_repeated),
        }
    })
}

#[test]
fn arities_follow_from_the_arguments() {
    for command in COMMANDS {
        let (fewest, more) = words(command.arguments);
        let arity = if more { -(fewest + 1) } else { fewest + 1 };
        assert_eq!(command.arity, arity, "{}", command.name);
    }
}

#[test]
fn nothing_is_left_unsaid() {
    let names: BTreeSet<_> = COMMANDS.iter().map(|command| command.name).collect();
    assert_eq!(names.len(), COMMANDS.len());
    for command in COMMANDS {
        assert!(!command.summary.is_empty() && !command.summary.ends_with('.'), "{}", command.name);
        assert!(!command.complexity.is_empty() && !command.replies.is_empty(), "{}", command.name);
        assert!(command.example.contains(command.name), "{} stands in its own example", command.name);
        let keyed =
            command.arguments.iter().any(|a| a.kind == Kind::Key || a.parts().iter().any(|p| p.kind == Kind::Key));
        assert_eq!(keyed, command.access != Access::NoKey, "{}", command.name);
        for (code, _) in command.errors {
            assert!(EVERYWHERE.iter().all(|(known, _)| known != code), "{}: {code:?} is said of all", command.name);
        }
    }
}
