//! The same for every broker.

use crate::stage::{Stage, TIMEOUT, name, report, request, until};
use std::time::Duration;
use strat_core::ExecType;
use strat_core::Leg;
use strat_engine::broker::{BrokerError, Idempotency, OrderRequest, OrderSide};
use strat_fakes::{Fills, Lie, Outcome, Updates};

/// Runs every test of the suite on a stage.
macro_rules! suite {
    ($stage:ty) => {
        suite!(@ $stage:
            an_order_is_placed_once_and_told,
            an_id_that_is_in_use_makes_no_second_order,
            parts_add_up,
            a_refusal_is_what_its_code_says,
            a_cancellation_ends_an_order_once,
            an_answer_that_comes_too_late_is_no_refusal,
            an_answer_that_breaks_off_is_no_refusal,
            an_order_that_arrives_after_the_time_out_is_found,
            an_expired_token_sends_nothing_and_proves_nothing,
            a_limit_says_how_long_to_wait,
            a_silent_socket_is_left_and_what_it_kept_back_is_told,
            a_socket_that_breaks_in_a_frame_is_opened_anew,
            a_repeated_update_counts_once,
            updates_out_of_order_take_nothing_back,
            a_protected_exit_rests_beyond_its_protection,
        );
    };
    (@ $stage:ty: $($test:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            crate::suite::$test::<$stage>().await;
        })*
    };
}

pub(crate) async fn an_order_is_placed_once_and_told<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_price(S::symbol(), "99.5");
    let state = broker.submit(&request::<S>("PLACED1", "10")).await.unwrap();
    assert_eq!(state.client_order_id, "PLACED1");
    let told = report(&**broker, "PLACED1", ExecType::Fill, "10").await;
    assert_eq!(told.avg_px, Some("99.5".parse().unwrap()));
    let found = broker.lookup(name::<S>("PLACED1")).await.unwrap().unwrap();
    assert_eq!((found.status, found.cum_qty, found.avg_px), (told.status, told.cum_qty, told.avg_px));
    let orders = broker.orders().await.unwrap();
    let own: Vec<_> = orders.iter().filter(|order| order.state.client_order_id == "PLACED1").collect();
    assert_eq!((own.len(), own[0].quantity, own[0].symbol.as_str()), (1, "10".parse().unwrap(), S::symbol()));
    assert_eq!((own[0].user.as_str(), &own[0].state), (crate::stage::USER, &found));
    let positions = broker.positions().await.unwrap();
    let held: Vec<_> = positions.iter().filter(|held| held.symbol == S::symbol()).collect();
    assert_eq!((held.len(), held[0].quantity.to_string().as_str()), (1, "10"), "{positions:?}");
    assert_eq!(fake.placed(&S::tag("PLACED1")), 1);
    assert_eq!(broker.lookup(name::<S>("NEVERSEEN")).await, Ok(None));
}

pub(crate) async fn an_id_that_is_in_use_makes_no_second_order<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    let order = request::<S>("TWICE1", "10");
    broker.submit(&order).await.unwrap();
    if broker.idempotency() == Idempotency::None {
        // Nobody sends it again; the look-up is what answers.
        let found = broker.lookup(name::<S>("TWICE1")).await.unwrap().unwrap();
        assert_eq!(found.status, ExecType::New);
    } else {
        let again = broker.submit(&order).await;
        let harmless = matches!(&again, Err(BrokerError::Unknown(_)))
            || again.as_ref().is_ok_and(|state| state.client_order_id == "TWICE1");
        assert!(harmless, "{again:?}");
    }
    assert_eq!(fake.placed(&S::tag("TWICE1")), 1);
}

pub(crate) async fn parts_add_up<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    let tag = S::tag("PARTS1");
    broker.submit(&request::<S>("PARTS1", "10")).await.unwrap();
    fake.fill(&tag, "4", "100");
    let part = report(&**broker, "PARTS1", ExecType::PartialFill, "4").await;
    assert_eq!(part.avg_px, Some("100".parse().unwrap()));
    fake.fill(&tag, "6", "100.5");
    let whole = report(&**broker, "PARTS1", ExecType::Fill, "10").await;
    assert_eq!(whole.avg_px, Some("100.3".parse().unwrap()));
}

pub(crate) async fn a_refusal_is_what_its_code_says<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    let refusals = fake.refusals();
    assert!(!refusals.is_empty());
    for (number, refusal) in refusals.iter().enumerate() {
        let id = format!("REFUSED{number}");
        fake.lie(Lie::Refuse(refusal.code));
        let answer = broker.submit(&request::<S>(&id, "10")).await;
        let outcome = match &answer {
            Err(BrokerError::Rejected(_)) => Some(Outcome::Rejected),
            Err(BrokerError::Unknown(_)) => Some(Outcome::Unknown),
            Err(BrokerError::RateLimited { .. }) => Some(Outcome::RateLimited),
            Err(BrokerError::Unavailable(_)) => Some(Outcome::Unavailable),
            _ => None,
        };
        assert_eq!(outcome, Some(refusal.outcome), "{}: {answer:?}", refusal.code);
        assert_eq!(fake.placed(&S::tag(&id)), 0);
    }
}

pub(crate) async fn a_cancellation_ends_an_order_once<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    broker.submit(&request::<S>("CANCEL1", "10")).await.unwrap();
    fake.fill(&S::tag("CANCEL1"), "3", "100");
    report(&**broker, "CANCEL1", ExecType::PartialFill, "3").await;
    broker.cancel(name::<S>("CANCEL1")).await.unwrap();
    let told = report(&**broker, "CANCEL1", ExecType::Canceled, "3").await;
    broker.cancel(name::<S>("CANCEL1")).await.unwrap();
    let found = broker.lookup(name::<S>("CANCEL1")).await.unwrap().unwrap();
    assert_eq!((found.status, found.cum_qty, found.avg_px), (ExecType::Canceled, told.cum_qty, told.avg_px));
    broker.cancel(name::<S>("NEVERSEEN")).await.unwrap();
}

pub(crate) async fn an_answer_that_comes_too_late_is_no_refusal<S: Stage>() {
    let stage = S::start().await;
    stage.fake().lie(Lie::AnswerLate(4 * TIMEOUT));
    is_unknown_and_found(&stage, "LATE1").await;
}

pub(crate) async fn an_answer_that_breaks_off_is_no_refusal<S: Stage>() {
    let stage = S::start().await;
    stage.fake().lie(Lie::AnswerLost);
    is_unknown_and_found(&stage, "LOST1").await;
}

pub(crate) async fn an_order_that_arrives_after_the_time_out_is_found<S: Stage>() {
    let stage = S::start().await;
    stage.fake().lie(Lie::PlaceLate(2 * TIMEOUT));
    is_unknown_and_found(&stage, "LATER1").await;
}

async fn is_unknown_and_found<S: Stage>(stage: &S, id: &str) {
    let (fake, broker) = (stage.fake(), stage.broker());
    let answer = broker.submit(&request::<S>(id, "10")).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    let tag = S::tag(id);
    until("the order is placed", || fake.placed(&tag) == 1).await;
    let found = broker.lookup(name::<S>(id)).await.unwrap();
    assert_eq!(found.map(|state| state.cum_qty), Some("10".parse().unwrap()));
    report(&**broker, id, ExecType::Fill, "10").await;
    assert_eq!(fake.placed(&tag), 1, "sent once");
}

pub(crate) async fn an_expired_token_sends_nothing_and_proves_nothing<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    broker.submit(&request::<S>("BEFORE1", "10")).await.unwrap();
    fake.set_expired(true);
    let answer = broker.submit(&request::<S>("EXPIRED1", "10")).await;
    assert!(matches!(answer, Err(BrokerError::Unavailable(_))), "{answer:?}");
    assert_eq!(fake.placed(&S::tag("EXPIRED1")), 0);
    let looked = broker.lookup(name::<S>("BEFORE1")).await;
    assert!(matches!(looked, Err(BrokerError::Unavailable(_))), "no answer is no proof: {looked:?}");
    assert!(broker.orders().await.is_err() && broker.positions().await.is_err());
    fake.set_expired(false);
    broker.submit(&request::<S>("EXPIRED1", "10")).await.unwrap();
    assert_eq!(fake.placed(&S::tag("EXPIRED1")), 1);
}

pub(crate) async fn a_limit_says_how_long_to_wait<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.limit(1, Duration::from_secs(3));
    let answer = broker.submit(&request::<S>("LIMITED1", "10")).await;
    // An end of the wait that is told as a time of day is up to a second off.
    let about = matches!(&answer, Err(BrokerError::RateLimited { retry_after })
        if (Duration::from_secs(2)..=Duration::from_secs(4)).contains(retry_after));
    assert!(about, "{answer:?}");
    assert_eq!(fake.placed(&S::tag("LIMITED1")), 0);
}

pub(crate) async fn a_silent_socket_is_left_and_what_it_kept_back_is_told<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    broker.submit(&request::<S>("SILENT1", "10")).await.unwrap();
    let opened = fake.hub.opened();
    fake.hub.mute();
    // To the mute connection: nobody hears it.
    fake.fill(&S::tag("SILENT1"), "10", "101");
    report(&**broker, "SILENT1", ExecType::Fill, "10").await;
    until("another connection", || fake.hub.opened() > opened).await;
}

pub(crate) async fn a_socket_that_breaks_in_a_frame_is_opened_anew<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    broker.submit(&request::<S>("CUT1", "10")).await.unwrap();
    let opened = fake.hub.opened();
    fake.set_updates(Updates::Dropped);
    fake.fill(&S::tag("CUT1"), "4", "101");
    fake.hub.cut();
    report(&**broker, "CUT1", ExecType::PartialFill, "4").await;
    until("another connection", || fake.hub.opened() > opened).await;
    // And the new connection tells what follows.
    fake.set_updates(Updates::Once);
    fake.fill(&S::tag("CUT1"), "6", "101");
    report(&**broker, "CUT1", ExecType::Fill, "10").await;
}

pub(crate) async fn a_repeated_update_counts_once<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    fake.set_updates(Updates::Twice);
    broker.submit(&request::<S>("AGAIN1", "10")).await.unwrap();
    fake.fill(&S::tag("AGAIN1"), "4", "100");
    report(&**broker, "AGAIN1", ExecType::PartialFill, "4").await;
    fake.fill(&S::tag("AGAIN1"), "6", "101");
    let whole = report(&**broker, "AGAIN1", ExecType::Fill, "10").await;
    assert_eq!(whole.avg_px, Some("100.6".parse().unwrap()));
}

pub(crate) async fn updates_out_of_order_take_nothing_back<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_fills(Fills::ByHand);
    fake.set_updates(Updates::Kept);
    broker.submit(&request::<S>("ORDER1", "10")).await.unwrap();
    fake.fill(&S::tag("ORDER1"), "4", "100");
    fake.fill(&S::tag("ORDER1"), "6", "100");
    fake.tell_kept_backwards();
    report(&**broker, "ORDER1", ExecType::Fill, "10").await;
    // Old news that comes behind is told as old: the engine takes the fuller one.
    let found = broker.lookup(name::<S>("ORDER1")).await.unwrap().unwrap();
    assert_eq!((found.status, found.cum_qty), (ExecType::Fill, "10".parse().unwrap()));
    let mut behind = Vec::new();
    while let Some(state) = broker.reports().try_next() {
        behind.push(state);
    }
    assert!(behind.iter().all(|state| state.cum_qty <= found.cum_qty), "{behind:?}");
}

pub(crate) async fn a_protected_exit_rests_beyond_its_protection<S: Stage>() {
    let stage = S::start().await;
    let (fake, broker) = (stage.fake(), stage.broker());
    fake.set_price(S::symbol(), "100");
    broker.submit(&request::<S>("HELD1", "10")).await.unwrap();
    report(&**broker, "HELD1", ExecType::Fill, "10").await;
    // Nobody bids near the last price any more.
    fake.set_quote(S::symbol(), "95");
    let exit = |id: &str, percent: &str| OrderRequest {
        side: OrderSide::Sell,
        leg: Leg::Exit,
        protection: Some(percent.parse().unwrap()),
        last_price: Some("100".parse().unwrap()),
        ..request::<S>(id, "10")
    };
    broker.submit(&exit("NEAR1", "2")).await.unwrap();
    let limit = fake.book(|book| book.by_id(&S::tag("NEAR1")).unwrap().asked.limit);
    assert_eq!(limit, Some("98".parse().unwrap()));
    let rests = broker.lookup(name::<S>("NEAR1")).await.unwrap().unwrap();
    assert_eq!((rests.status, rests.cum_qty), (ExecType::New, strat_core::Quantity::ZERO));
    broker.cancel(name::<S>("NEAR1")).await.unwrap();
    report(&**broker, "NEAR1", ExecType::Canceled, "0").await;
    broker.submit(&exit("FAR1", "6")).await.unwrap();
    let sold = report(&**broker, "FAR1", ExecType::Fill, "10").await;
    assert_eq!(sold.avg_px, Some("95".parse().unwrap()));
}
