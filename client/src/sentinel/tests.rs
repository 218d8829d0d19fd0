//! Against sentinels and primaries of a few lines.

use crate::config::Place;
use crate::error::Error;
use crate::events::{EventStream, Notice};
use crate::fake::{Does, Server, bulks, impatient, nobody, say};
use crate::{Config, Connection};
use futures_util::StreamExt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Longest wait for something that has to happen.
const LIMIT: Duration = Duration::from_secs(10);

/// What a sentinel names, to be changed in the middle.
#[derive(Clone, Default)]
struct Name(Arc<Mutex<Option<SocketAddr>>>);

impl Name {
    fn of(address: SocketAddr) -> Self {
        let name = Self::default();
        name.set(address);
        name
    }

    fn set(&self, address: SocketAddr) {
        *self.0.lock().unwrap() = Some(address);
    }

    /// The reply to whoever asks for `main`.
    fn reply(&self, command: &str) -> Does {
        let place = *self.0.lock().unwrap();
        match (command, place) {
            ("SENTINEL GET-MASTER-ADDR-BY-NAME main", Some(place)) => {
                bulks(&[&place.ip().to_string(), &place.port().to_string()])
            }
            ("SENTINEL GET-MASTER-ADDR-BY-NAME main", None) => say("*-1\r\n"),
            _ => say("-ERR not for a sentinel\r\n"),
        }
    }
}

async fn sentinel(name: &Name) -> Server {
    let name = name.clone();
    Server::start(move |_, command| name.reply(command)).await
}

/// A server with a role, which answers `number` to everything else.
async fn server(role: &'static str, number: u8) -> Server {
    Server::start(move |_, command| match command {
        "HELLO" => bulks(&["server", "redis", "role", role]),
        "SUBSCRIBE events:al" => say("*3\r\n$9\r\nsubscribe\r\n$9\r\nevents:al\r\n:1\r\n"),
        "SLOW" => Does::Nothing,
        _ if command.starts_with("AUTH") => say("+OK\r\n"),
        "WRITE" if role == "slave" => say("-READONLY You can't write against a read only replica.\r\n"),
        _ => say(format!(":{number}\r\n")),
    })
    .await
}

fn config(sentinels: &[SocketAddr]) -> Config {
    let hosts: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
    impatient(&format!("redis+sentinel://{}/main?protocol=resp2", hosts.join(",")))
}

async fn ask(connection: &mut Connection, what: &str) -> crate::Result<i64> {
    Ok(redis::cmd(what).query_async(connection).await?)
}

/// Waits for a condition that somebody else brings about.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let look = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, look).await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"));
}

#[tokio::test]
async fn a_dead_sentinel_is_passed_over_and_asked_last_from_then_on() {
    let primary = server("master", 1).await;
    let alive = sentinel(&Name::of(primary.address)).await;
    let config = config(&[nobody().await, alive.address]);
    let mut connection = Connection::open(&config).await.unwrap();
    assert_eq!(ask(&mut connection, "WRITE").await.unwrap(), 1);
    assert_eq!(connection.address(), primary.address.to_string());
    // Remembered by everything that was made from these settings.
    let Place::Asked(sentinels) = config.place() else { panic!("no sentinels") };
    assert_eq!(sentinels.ordered(), [1, 0]);
}

#[tokio::test]
async fn a_silent_sentinel_costs_its_share_once() {
    let primary = server("master", 1).await;
    let silent = Server::start(|_, _| Does::Nothing).await;
    let alive = sentinel(&Name::of(primary.address)).await;
    let config = config(&[silent.address, alive.address]).with_connect_timeout(Duration::from_millis(600));
    let begun = Instant::now();
    let mut first = Connection::open(&config).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200), "a third of the whole is for the silent one");
    assert_eq!(ask(&mut first, "GET").await.unwrap(), 1);
    let mut second = Connection::open(&config).await.unwrap();
    assert_eq!(ask(&mut second, "GET").await.unwrap(), 1);
    assert_eq!(silent.seen().len(), 1, "the second search began with the other one");
}

#[tokio::test]
async fn a_search_that_was_given_up_is_not_begun_with_the_same_silence() {
    let primary = server("master", 1).await;
    let silent = Server::start(|_, _| Does::Nothing).await;
    let alive = sentinel(&Name::of(primary.address)).await;
    let config = config(&[silent.address, alive.address]).with_reconnect_wait(Duration::from_millis(200));
    let mut connection = Connection::lazy(&config).unwrap();
    assert!(matches!(ask(&mut connection, "GET").await, Err(Error::Unavailable { .. })));
    assert_eq!(ask(&mut connection, "GET").await.unwrap(), 1);
}

#[tokio::test]
async fn a_name_that_one_sentinel_does_not_know_is_asked_of_the_next_and_one_that_none_knows_is_said() {
    let primary = server("master", 1).await;
    let (without, with) = (sentinel(&Name::default()).await, sentinel(&Name::of(primary.address)).await);
    Connection::open(&config(&[without.address, with.address])).await.unwrap();
    let error = Connection::open(&config(&[without.address])).await.unwrap_err();
    assert!(error.is_retryable() && !error.outcome_unknown(), "{error:?}");
    let text = error.to_string();
    let said = format!("sentinel {} watches nothing named 'main'", without.address);
    assert!(text.contains(&said) && text.contains("SENTINEL MASTERS"), "{text}");
}

#[tokio::test]
async fn a_replica_is_not_used_whoever_names_it() {
    let (primary, replica) = (server("master", 1).await, server("replica", 2).await);
    let (stale, right) = (sentinel(&Name::of(replica.address)).await, sentinel(&Name::of(primary.address)).await);
    let mut connection = Connection::open(&config(&[stale.address, right.address])).await.unwrap();
    assert_eq!(ask(&mut connection, "WRITE").await.unwrap(), 1);
    let again = sentinel(&Name::of(replica.address)).await;
    let text = Connection::open(&config(&[stale.address, again.address])).await.unwrap_err().to_string();
    assert!(text.contains("it says that it is a replica"), "{text}");
    assert!(replica.seen().iter().all(|(_, command)| command == "HELLO"), "{:?}", replica.seen());
    // Named twice, asked once.
    assert_eq!(replica.seen().len(), 2);
}

#[tokio::test]
async fn a_request_waits_for_the_promotion() {
    let (old, new) = (nobody().await, server("master", 2).await);
    let name = Name::of(old);
    let watcher = sentinel(&name).await;
    let mut connection = Connection::lazy(&config(&[watcher.address])).unwrap();
    let waiting = tokio::spawn(async move { ask(&mut connection, "WRITE").await });
    until("a few vain searches", || watcher.accepted() >= 3).await;
    name.set(new.address);
    assert_eq!(timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap(), 2);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left_at_its_first_refusal() {
    let (old, new) = (server("slave", 1).await, server("master", 2).await);
    // At first it says that it is the primary; then it refuses, before any watch could have seen it.
    let turned = Server::start({
        let old = old.address;
        move |_, command| match command {
            "HELLO" => bulks(&["role", "master"]),
            _ => say(format!("-READONLY {old} You can't write against a read only replica.\r\n")),
        }
    })
    .await;
    let name = Name::of(turned.address);
    let watcher = sentinel(&name).await;
    let mut connection = Connection::open(&config(&[watcher.address])).await.unwrap();
    name.set(new.address);
    assert!(ask(&mut connection, "WRITE").await.unwrap_err().is_retryable());
    assert_eq!(ask(&mut connection, "WRITE").await.unwrap(), 2);
}

#[tokio::test]
async fn a_move_is_noticed_while_nothing_is_asked_and_ends_what_is_under_way() {
    let (old, new) = (server("master", 1).await, server("master", 2).await);
    let name = Name::of(old.address);
    let watcher = sentinel(&name).await;
    let config = config(&[watcher.address]).with_response_timeout(LIMIT * 2);
    let idle = Connection::open(&config).await.unwrap();
    let mut busy = Connection::open(&config).await.unwrap();
    let under_way = tokio::spawn(async move {
        let error = ask(&mut busy, "SLOW").await.unwrap_err();
        (error, ask(&mut busy, "WRITE").await)
    });
    until("the slow request is under way", || old.seen().iter().any(|(_, command)| command == "SLOW")).await;
    name.set(new.address);
    let (error, next) = timeout(LIMIT, under_way).await.expect("it must not wait for its reply").unwrap();
    assert!(matches!(error, Error::Lost { .. }) && error.outcome_unknown(), "{error:?}");
    assert_eq!(next.unwrap(), 2);
    until("the idle one has left as well", || idle.address() != old.address.to_string()).await;
    assert_eq!(ask(&mut idle.clone(), "WRITE").await.unwrap(), 2);
    assert_eq!(idle.address(), new.address.to_string());
}

#[tokio::test]
async fn a_place_that_does_not_call_itself_primary_moves_nobody() {
    let (primary, replica) = (server("master", 1).await, server("replica", 2).await);
    let name = Name::of(primary.address);
    let watcher = sentinel(&name).await;
    let mut connection = Connection::open(&config(&[watcher.address])).await.unwrap();
    name.set(replica.address);
    until("the replica was looked at", || replica.seen().len() >= 2).await;
    assert_eq!(ask(&mut connection, "WRITE").await.unwrap(), 1);
    assert_eq!(primary.accepted(), 1, "over the same socket");
}

#[tokio::test]
async fn the_watch_ends_with_its_connection() {
    let primary = server("master", 1).await;
    let watcher = sentinel(&Name::of(primary.address)).await;
    let connection = Connection::open(&config(&[watcher.address])).await.unwrap();
    // The search has its own line; the watch has one to ask and one for news.
    until("the watch asks", || watcher.accepted() == 3 && watcher.open() == 1).await;
    until("and asks again", || watcher.seen().len() >= 6).await;
    assert_eq!(watcher.accepted(), 3, "over the same line");
    drop(connection);
    until("nobody is connected any more", || watcher.open() == 0 && primary.open() == 0).await;
}

#[tokio::test]
async fn news_of_a_move_is_not_waited_for_by_asking() {
    let (old, new) = (server("master", 1).await, server("master", 2).await);
    let (name, ring) = (Name::of(old.address), Arc::new(Notify::new()));
    let publishes = Server::start({
        let (name, ring) = (name.clone(), ring.clone());
        move |_, command| match command {
            "SUBSCRIBE +switch-master" => Does::SayTwice(
                "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n".into(),
                ring.clone(),
                "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$4\r\nmain\r\n".into(),
            ),
            _ => name.reply(command),
        }
    })
    .await;
    let config = config(&[publishes.address]).with_watch_every(LIMIT * 10);
    let connection = Connection::open(&config).await.unwrap();
    let asked = || publishes.seen().iter().filter(|(_, command)| command.starts_with("SENTINEL")).count();
    until("the watch stands", || asked() == 2).await;
    name.set(new.address);
    ring.notify_one();
    until("the move is noticed", || connection.address() != old.address.to_string()).await;
}

#[tokio::test]
async fn the_watch_goes_on_with_another_sentinel() {
    let (old, new) = (server("master", 1).await, server("master", 2).await);
    let name = Name::of(old.address);
    // Answers the search, and is mute when the watch comes.
    let dying = Server::start({
        let name = name.clone();
        move |number, command| if number == 1 { name.reply(command) } else { Does::Nothing }
    })
    .await;
    let other = sentinel(&name).await;
    let config = config(&[dying.address, other.address]).with_connect_timeout(Duration::from_millis(300));
    let connection = Connection::open(&config).await.unwrap();
    until("the other one is asked", || !other.seen().is_empty()).await;
    name.set(new.address);
    until("the move is noticed", || connection.address() != old.address.to_string()).await;
}

#[tokio::test]
async fn events_follow_the_primary_and_name_the_gap() {
    let (old, new) = (server("master", 1).await, server("master", 2).await);
    let name = Name::of(old.address);
    let watcher = sentinel(&name).await;
    let mut events = EventStream::subscribe(&config(&[watcher.address]), "al").await.unwrap();
    name.set(new.address);
    let next = |notice: Option<crate::Result<Notice>>| notice.unwrap().unwrap();
    let gap = next(timeout(LIMIT, events.next()).await.unwrap());
    assert!(
        matches!(&gap, Notice::Gap { reason, listening: false } if reason.contains(&new.address.to_string())),
        "{gap:?}"
    );
    assert_eq!(next(timeout(LIMIT, events.next()).await.unwrap()), Notice::Reconnected);
    assert!(new.seen().iter().any(|(_, command)| command == "SUBSCRIBE events:al"));
}

#[tokio::test]
async fn each_login_goes_where_it_belongs_and_is_in_no_text() {
    let primary = server("master", 1).await;
    let name = Name::of(primary.address);
    let guarded = Server::start(move |_, command| match command {
        "AUTH eve pa/ss" => say("+OK\r\n"),
        _ if command.starts_with("AUTH") => say("-WRONGPASS invalid username-password pair\r\n"),
        _ => name.reply(command),
    })
    .await;
    let url = |password: &str| {
        let address = guarded.address;
        format!("redis+sentinel://bob:s3cret@{address}/main?sentinel_user=eve&sentinel_password={password}")
    };
    let config = impatient(&(url("pa%2Fss") + "&protocol=resp2"));
    let connection = Connection::open(&config).await.unwrap();
    let sent = |server: &Server, word: &str| server.seen().iter().any(|(_, command)| command.contains(word));
    assert!(sent(&primary, "AUTH bob s3cret") && !sent(&guarded, "s3cret") && !sent(&primary, "eve"));
    let error = Connection::open(&impatient(&url("wr0ng"))).await.unwrap_err();
    assert!(error.to_string().contains("sentinel_password"), "{error}");
    for text in [format!("{connection:?} {config:?} {}", connection.address()), format!("{error} {error:?}")] {
        assert!(!["s3cret", "pa/ss", "pa%2Fss", "wr0ng"].iter().any(|secret| text.contains(secret)), "{text}");
    }
}
