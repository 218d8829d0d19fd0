//! Against a connection that answers like the module's lock, on tokio's paused clock.

use super::*;
use redis::{Cmd, Pipeline, RedisError, RedisFuture, Value};
use std::sync::{Arc, Mutex};
use strat_core::ExecType;

#[derive(Default)]
struct Server {
    /// First words of what was asked, in order.
    asked: Vec<String>,
    /// The lock is ours.
    held: bool,
    /// Requests fail as if the connection were gone.
    away: bool,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Server>>);

impl Fake {
    fn holding() -> Self {
        let fake = Self::default();
        fake.0.lock().unwrap().held = true;
        fake
    }

    fn asked(&self, name: &str) -> usize {
        self.0.lock().unwrap().asked.iter().filter(|asked| *asked == name).count()
    }
}

impl ConnectionLike for Fake {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let words = crate::request::tests::words(cmd);
        let name = words.split(' ').next().unwrap_or_default().to_owned();
        let terminal = words.contains(" FILL ");
        let mut server = self.0.lock().unwrap();
        server.asked.push(name.clone());
        let held = server.held;
        let reply = match name.as_str() {
            _ if server.away => Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe))),
            "STRAT.LOCK" if held => Ok(Value::BulkString(b"5-1".to_vec())),
            "STRAT.LOCK" => Ok(Value::Nil),
            "STRAT.REPORT" => {
                server.held = held && !terminal;
                Ok(Value::Int(9))
            }
            "STRAT.UNLOCK" => {
                server.held = false;
                Ok(Value::Int(i64::from(held)))
            }
            _ => Ok(Value::Int(i64::from(held))),
        };
        Box::pin(std::future::ready(reply))
    }

    fn req_packed_commands<'a>(&'a mut self, _: &'a Pipeline, _: usize, _: usize) -> RedisFuture<'a, Vec<Value>> {
        unreachable!("locks send no pipelines")
    }

    fn get_db(&self) -> i64 {
        0
    }
}

const TTL: Duration = Duration::from_secs(3);

async fn acquire(fake: &Fake) -> Option<OrderLock<Fake>> {
    OrderLock::acquire(fake.clone(), "user:a:strategy:s", Action::Buy, "worker", TTL, None).await.unwrap()
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_extended_every_third_of_its_life_until_it_is_released() {
    let fake = Fake::holding();
    let lock = acquire(&fake).await.unwrap();
    pass(10).await;
    assert!((9..=10).contains(&fake.asked("STRAT.EXTEND")), "{}", fake.asked("STRAT.EXTEND"));
    assert!(!lock.is_lost());
    assert!(lock.release().await.unwrap());
    pass(10).await;
    assert_eq!((fake.asked("STRAT.UNLOCK"), fake.asked("STRAT.EXTEND") <= 10), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_somebody_holds_is_none() {
    assert!(acquire(&Fake::default()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn dropping_it_gives_it_back() {
    let fake = Fake::holding();
    drop(acquire(&fake).await);
    pass(1).await;
    assert_eq!(fake.asked("STRAT.UNLOCK"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_the_server_gave_away_is_lost() {
    let fake = Fake::holding();
    let lock = acquire(&fake).await.unwrap();
    let lost = lock.lost();
    fake.0.lock().unwrap().held = false;
    tokio::time::timeout(TTL, lost).await.expect("told within its life");
    assert!(lock.is_lost());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_cannot_be_extended_is_lost_when_its_life_is_over_and_not_before() {
    let fake = Fake::holding();
    let lock = acquire(&fake).await.unwrap();
    fake.0.lock().unwrap().away = true;
    let begun = Instant::now();
    lock.lost().await;
    assert_eq!(begun.elapsed().as_secs(), TTL.as_secs());
    assert!(fake.asked("STRAT.EXTEND") > 1, "it is tried again while it lives");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_does_not_lose_it() {
    let fake = Fake::holding();
    let lock = acquire(&fake).await.unwrap();
    fake.0.lock().unwrap().away = true;
    pass(2).await;
    fake.0.lock().unwrap().away = false;
    pass(5).await;
    assert!(!lock.is_lost());
}

#[tokio::test(start_paused = true)]
async fn after_a_terminal_report_it_is_neither_extended_nor_lost_nor_unlocked() {
    let fake = Fake::holding();
    let mut lock = acquire(&fake).await.unwrap();
    let fill = ReportRequest::new(ExecType::Fill).cumulative("1".parse().unwrap(), "2".parse().unwrap());
    assert_eq!(lock.report(&ReportRequest::new(ExecType::New)).await.unwrap(), 9);
    assert_eq!(lock.report(&fill).await.unwrap(), 9);
    pass(10).await;
    assert!(!lock.is_lost());
    drop(lock);
    pass(1).await;
    assert_eq!((fake.asked("STRAT.EXTEND"), fake.asked("STRAT.UNLOCK")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_terminal_report_that_failed_it_is_held_on() {
    let fake = Fake::holding();
    let mut lock = acquire(&fake).await.unwrap();
    fake.0.lock().unwrap().away = true;
    assert!(lock.report(&ReportRequest::new(ExecType::Canceled)).await.is_err());
    fake.0.lock().unwrap().away = false;
    pass(5).await;
    assert!(!lock.is_lost() && fake.asked("STRAT.EXTEND") > 2);
}

#[tokio::test(start_paused = true)]
async fn a_disarmed_lock_is_left_to_run_out() {
    let fake = Fake::holding();
    acquire(&fake).await.unwrap().disarm();
    pass(10).await;
    assert_eq!((fake.asked("STRAT.EXTEND"), fake.asked("STRAT.UNLOCK")), (0, 0));
}
