use super::super::Instruments;
use super::*;

fn day() -> (Arc<Day>, Instruments) {
    let instruments = Instruments::with_shares(30);
    let script = Script { symbols: 30, per_second: 5, seconds: 6, stops_per_second: 4 };
    (Arc::new(Day::new(script, instruments.shares())), instruments)
}

/// Everything at once, whatever the clock says.
fn tell_all(player: &mut Player) {
    while player.scroll.prices.len() < player.ticks() && !player.scroll.tokens.is_empty() {
        let _ = player.frame();
        player.told(Instant::now());
    }
}

#[test]
fn what_was_told_meets_as_many_stops_as_were_planned_each_by_one_tick() {
    let (day, instruments) = day();
    // Two connections, of which one has a frame that is not full.
    for part in instruments.shares().chunks(17) {
        tell_all(&mut day.player(part));
    }
    assert!(day.is_over());
    assert_eq!(day.told_ticks(), 30 * 5 * 6);
    let touched = day.touched();
    assert_eq!(touched.len(), 16, "4 a second, without the first and the last second");
    let sides = |buys| touched.keys().filter(|level| level.buys == buys).count();
    assert!(sides(true) > 0 && sides(false) > 0);
    assert!(touched.iter().any(|(level, told)| told.raw == level.raw), "one lies exactly at its stop");
    for level in touched.keys() {
        let scrolls = day.scrolls();
        let scroll = scrolls.iter().find(|scroll| scroll.tokens.contains(&day_token(&day, level))).unwrap();
        let at = scroll.tokens.iter().position(|token| *token == day_token(&day, level)).unwrap();
        let prices: Vec<_> = scroll.prices.iter().skip(at).step_by(scroll.tokens.len()).collect();
        assert_eq!(prices.iter().filter(|raw| level.is_met_by(***raw)).count(), 1, "{level:?}: {prices:?}");
        assert!(prices.windows(2).all(|two| two[0] != two[1]), "every tick is another price: {prices:?}");
    }
}

fn day_token(day: &Day, level: &Level) -> u32 {
    day.shares.values().find(|share| share.symbol == level.symbol).unwrap().token
}

#[tokio::test]
async fn nothing_is_told_before_the_day_begins_and_frames_keep_to_its_time() {
    let (day, instruments) = day();
    let mut player = day.player(instruments.shares());
    assert!(tokio::time::timeout(Duration::from_millis(50), player.next()).await.is_err());
    let begun = day.begin();
    assert_eq!(player.due().await, Some(begun));
    let _ = player.next().await;
    player.told(Instant::now());
    // 150 ticks a second, 25 in a frame.
    assert_eq!(player.due().await, Some(begun + Duration::from_secs(25) / 150));
}
