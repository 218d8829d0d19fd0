//! Postgres: whether it answers, has the schema, keeps what it commits, and what its strategies name.

use super::Finding;
use crate::config::Settings;
use crate::failure::{one_line, sentence};
use crate::store::{Store, tls_step};

/// Most time zones that are looked at.
const ZONES_MAX: i64 = 1_000;

pub(super) async fn examine(settings: &Settings, findings: &mut Vec<Finding>) {
    let fix = "start it, or set database.url (DATABASE_URL) to postgres://user@host/database";
    let store = match Store::lazy(&settings.database_url, "strat-engine doctor") {
        Ok(store) => store,
        Err(error) => return findings.push(Finding::fail(format!("Postgres: {}", sentence(&error)), fix)),
    };
    let ping = match store.reach().await {
        Ok(()) => store.ping().await,
        Err(error) => Err(error),
    };
    match ping {
        Ok(ping) => {
            let major: u32 = ping.version.split(['.', ' ']).next().and_then(|major| major.parse().ok()).unwrap_or(0);
            let what = format!("Postgres {} answers", ping.version);
            findings.push(if major >= 13 {
                Finding::ok(what)
            } else {
                Finding::fail(what, "Postgres 13 or newer is needed")
            });
        }
        Err(error) => {
            let fix = tls_step(&error).unwrap_or(fix);
            return findings.push(Finding::fail(format!("Postgres is not reachable: {error}"), fix));
        }
    }
    findings.push(durability(&store).await);
    let schema = match store.migrations_due().await {
        Ok(due) if due.is_empty() => {
            let zones = zones(&store).await;
            findings.push(zones);
            Finding::ok("the database schema is up to date")
        }
        Ok(due) => Finding::fail(format!("the database lacks migrations: {}", due.join(", ")), "strat-engine migrate"),
        Err(error) => {
            Finding::fail(format!("the database schema: {}", sentence(&error)), "does the URL's user own the tables?")
        }
    };
    findings.push(schema);
}

/// What was committed is what a flushed Redis is restored from.
async fn durability(store: &Store) -> Finding {
    let ask =
        sqlx::query_as::<_, (String, String)>("SELECT current_setting('fsync'), current_setting('synchronous_commit')");
    match ask.fetch_one(store.pool()).await {
        Ok((fsync, commit)) => kept(&fsync, &commit),
        Err(error) => Finding::warn(format!("Postgres does not tell its settings: {error}"), "see the cause"),
    }
}

fn kept(fsync: &str, commit: &str) -> Finding {
    let fix = "in postgresql.conf: fsync = on, synchronous_commit = on; a crash loses committed orders otherwise";
    match (fsync, commit) {
        ("off", _) => Finding::warn("Postgres runs with fsync off", fix),
        (_, "off") => Finding::warn("Postgres runs with synchronous_commit off", fix),
        _ => Finding::ok("Postgres keeps what it commits"),
    }
}

/// A strategy whose zone is not known never trades.
async fn zones(store: &Store) -> Finding {
    let ask = sqlx::query_scalar(
        "SELECT DISTINCT fields ->> 'timezone' FROM strategies WHERE status = 'RUNNING' AND removed_at IS NULL \
         AND fields ->> 'timezone' <> '' LIMIT $1",
    );
    let zones: Vec<String> = match ask.bind(ZONES_MAX).fetch_all(store.pool()).await {
        Ok(zones) => zones,
        Err(error) => return Finding::warn(format!("the strategies' time zones: {error}"), "see the cause"),
    };
    let unknown: Vec<_> = zones.iter().filter(|zone| jiff::tz::TimeZone::get(zone).is_err()).cloned().collect();
    if unknown.is_empty() {
        return Finding::ok(format!("the time zones of running strategies are known ({})", zones.len()));
    }
    Finding::fail(
        format!("running strategies name time zones that are not known here: {}", one_line(&unknown.join(", "))),
        "strat-engine strategy update USER STRATEGY timezone=…, or apt-get install tzdata (tzdata-legacy for old names)",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Mark;
    use super::*;

    #[test]
    fn a_postgres_that_forgets_is_told() {
        for (fsync, commit, mark) in
            [("on", "on", Mark::Ok), ("on", "local", Mark::Ok), ("off", "on", Mark::Warn), ("on", "off", Mark::Warn)]
        {
            assert_eq!(kept(fsync, commit).mark, mark, "{fsync} {commit}");
        }
    }
}
