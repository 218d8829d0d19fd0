//! Calls of `strat_client::upkeep`.

use crate::{Call, Case};
use redis::Value;
use redis::aio::MultiplexedConnection;
use std::sync::Arc;
use strat_client::upkeep::{Upkeep, UpkeepSettings};
use tokio::sync::OnceCell;

/// Keys on the server.
const KEYS: usize = 200;
/// Keys in a slice.
const SLICE: usize = 20;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case { name: "upkeep/run_once, one slice of 20", ours: Box::new(run_once), bare: Box::new(bare) }]
}

async fn fill(mut connection: MultiplexedConnection) {
    let mut pipeline = redis::pipe();
    for key in 0..KEYS {
        pipeline.cmd("SET").arg(format!("price:{key}")).arg("186.20").ignore();
    }
    pipeline.exec_async(&mut connection).await.unwrap();
}

fn run_once(connection: MultiplexedConnection) -> Call {
    let filled: Arc<OnceCell<()>> = Arc::default();
    Box::new(move |_| {
        let (connection, filled) = (connection.clone(), filled.clone());
        Box::pin(async move {
            filled.get_or_init(|| fill(connection.clone())).await;
            let settings = UpkeepSettings { slice: SLICE, slices_per_run: 1, ..UpkeepSettings::default() };
            let report = Upkeep::new(connection, settings).unwrap().run_once(0).await.unwrap();
            assert!(report.scanned > 0);
        })
    })
}

fn bare(connection: MultiplexedConnection) -> Call {
    let filled: Arc<OnceCell<()>> = Arc::default();
    Box::new(move |_| {
        let (mut connection, filled) = (connection.clone(), filled.clone());
        Box::pin(async move {
            filled.get_or_init(|| fill(connection.clone())).await;
            let mut info = redis::cmd("INFO");
            let info: String = info.arg("memory").arg("stats").query_async(&mut connection).await.unwrap();
            let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
            assert!(used.trim().parse::<u64>().unwrap() > 0);
            let mut scan = redis::cmd("SCAN");
            scan.arg(0).arg("COUNT").arg(SLICE);
            let (_, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut connection).await.unwrap();
            let mut pipeline = redis::pipe();
            for key in &keys {
                pipeline.cmd("PTTL").arg(key).cmd("TYPE").arg(key);
            }
            let _: Vec<Value> = pipeline.query_async(&mut connection).await.unwrap();
            let mut pipeline = redis::pipe();
            for key in &keys {
                pipeline.cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(5).cmd("STRLEN").arg(key);
            }
            let _: Vec<Option<u64>> = pipeline.query_async(&mut connection).await.unwrap();
        })
    })
}
