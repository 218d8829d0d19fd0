//! The settings of the engine and the module, and the fields of a strategy.

use super::pages::NOTE;
use std::fmt::Write as _;
use strat_core::field::{self, Writer};
use strat_core::manual::settings::SETTINGS;
use strat_engine::config::{Secret, Setting, Settings, TABLE};

/// A `|` would end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// `docs/configuration.md`
pub(super) fn settings() -> String {
    let mut page = format!(
        "{NOTE}# Configuration\n\n## The engine\n\nA setting comes from, later ones win: its default, the TOML file named by \
         `--config` or `STRAT_CONFIG`, its environment variable, `--set name=value`. `strat-engine settings` prints each with \
         its value and where that came from. A bad value or an unknown name ends the program before it does anything, with \
         the setting's name and what is allowed.\n\n```toml\n# strat.toml\n[feed]\nkind = \"lines\"\naddress = \
         \"127.0.0.1:9100\"\n\n[guard]\nnotice_ms = 150\n```\n\nPasswords in URLs and tokens are never printed.\n"
    );
    let defaults = Settings::default();
    let section = |setting: &Setting| setting.name.split('.').next().unwrap_or_default();
    let mut sections: Vec<_> = Vec::new();
    for setting in TABLE {
        if !sections.contains(&section(setting)) {
            sections.push(section(setting));
        }
    }
    for own in sections {
        write!(page, "\n### {own}\n\n| setting | environment | default | what it is |\n|---|---|---|---|\n").unwrap();
        for setting in TABLE.iter().filter(|setting| section(setting) == own) {
            page.push_str(&row(setting, &defaults));
        }
    }
    page.push_str(
        "\n## The module\n\nIn redis.conf behind `loadmodule`, or while the server runs: `CONFIG SET strat.price-ttl-ms 5000`, \
         and `CONFIG REWRITE` to keep it.\n\n| setting | default | from | to | what it is |\n|---|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let (name, default, min, max) = (setting.name, setting.default, setting.min, setting.max);
        writeln!(page, "| `strat.{name}` | `{default}` | {min} | {max} | {} |", cell(setting.about)).unwrap();
    }
    page.push_str(
        "\nWhat else of redis.conf matters (`appendonly`, `appendfsync`, `maxmemory-policy`, `notify-keyspace-events` is not \
         needed) stands in the annotated [redis.conf](../redis.conf), and `strat-engine doctor` looks at it.\n",
    );
    page
}

fn row(setting: &Setting, defaults: &Settings) -> String {
    let default = match (setting.name, (setting.get)(defaults)) {
        // It names the machine and the process.
        ("engine.name", _) => "`host:pid`".to_owned(),
        (_, value) if value.is_empty() => String::new(),
        (_, value) => format!("`{value}`"),
    };
    let secret = if setting.secret == Secret::Whole { " (secret)" } else { "" };
    let (name, env, about) = (setting.name, setting.env, cell(setting.about));
    format!("| `{name}` | `{env}` | {} | {about}{secret} |\n", cell(&default))
}

/// `docs/fields.md`
pub(super) fn fields() -> String {
    let mut page = format!(
        "{NOTE}# The fields of a strategy\n\nA strategy is a plain hash at `user:<user_id>:strategy:<strategy_id>`. Fields that \
         are not here are yours and are kept as they are. A price is an exact decimal of at most 8 places; the text stays as \
         it was given.\n\n| field | holds | written by | what it is |\n|---|---|---|---|\n"
    );
    for spec in field::SPECS {
        let writer = match spec.writer {
            Writer::Anyone => "`SET`, `UPDATE`",
            Writer::Restore => "`SET` (to restore), then the module",
            Writer::Server => "the module",
        };
        let kind = match spec.kind {
            field::Kind::TimeOfDay => "time of day".to_owned(),
            field::Kind::OnStop => "word".to_owned(),
            field::Kind::Filled => "quantity".to_owned(),
            field::Kind::Count => "whole number".to_owned(),
            kind => format!("{kind:?}").to_lowercase(),
        };
        writeln!(page, "| `{}` | {kind} | {writer} | {} |", spec.name, cell(spec.about)).unwrap();
    }
    page
}

#[test]
fn the_modules_settings_are_those_of_the_server() {
    let redis = crate::servers::Redis::start();
    let mut conn = redis.conn();
    let told = conn.run("CONFIG GET strat.*").fields();
    assert_eq!(told.len(), SETTINGS.len(), "{told:?}");
    for setting in SETTINGS {
        let name = format!("strat.{}", setting.name);
        assert_eq!(told.get(&name), Some(&setting.default.to_string()), "{name}");
        for bound in [setting.min, setting.max] {
            conn.run(&format!("CONFIG SET {name} {bound}"));
        }
        for beyond in [setting.min - 1, setting.max + 1] {
            assert!(conn.raw(&format!("CONFIG SET {name} {beyond}")).is_error(), "{name} {beyond}");
        }
    }
}

#[test]
fn every_setting_has_a_variable_of_its_own() {
    let mut names: Vec<_> = TABLE.iter().map(|setting| setting.env).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len());
}
