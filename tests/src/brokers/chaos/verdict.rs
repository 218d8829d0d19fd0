//! What is promised at the end of a passage: at the broker, in Redis, in Postgres.

use super::passage::Trip;
use crate::brokers::Desk;
use crate::chaos::Class;
use crate::chaos::points::Stage;
use std::collections::BTreeMap;
use strat_core::Leg;
use strat_fakes::Order;

type Fields = BTreeMap<String, String>;

/// An empty text and no text are the same.
fn given(fields: Fields) -> Fields {
    fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The strategy's row, as its hash would be.
fn row(desk: &Desk) -> Fields {
    let lines = desk.books.sql("SELECT fields FROM strategies WHERE removed_at IS NULL");
    assert_eq!(lines.len(), 1, "{lines:?}");
    given(serde_json::from_str(&lines[0]).unwrap())
}

fn orders(desk: &Desk) -> Vec<Order> {
    desk.fake.book(|book| book.orders().to_vec())
}

impl Trip {
    /// Bought once and sold once, and everybody says the same.
    pub(super) fn check_end(mut self) {
        let sides: Vec<_> =
            orders(&self.desk).iter().map(|order| (order.asked.buy, order.filled.to_string())).collect();
        assert_eq!(sides, [(true, "10".to_owned()), (false, "10".to_owned())], "{}", self.shown());
        assert!(self.desk.fake.book(|book| book.positions().is_empty()));
        self.check_requests();
        self.check_hash();
        self.check_row();
        self.check_orders_in_postgres();
        self.check_clean_end();
    }

    /// Nothing was sent for the leg that the dead engine had in hand, and whoever looks at the strategy sees why.
    pub(super) fn check_alarm(mut self) {
        let bought = usize::from(self.passage.leg == Leg::Exit);
        assert_eq!(self.desk.orders(), bought, "{}", self.shown());
        self.check_requests();
        let fields = self.desk.fields();
        assert!(fields["error"].contains("a person must decide"), "{fields:?}");
        assert_eq!(fields.get("position").map_or("", String::as_str), ["NONE", "BOUGHT"][bought], "{fields:?}");
        assert_eq!(fields.get("filled_quantity").map_or("0", String::as_str), ["0", "10"][bought], "{fields:?}");
        self.check_row();
        let rows = self.desk.books.sql("SELECT client_order_id FROM orders");
        assert_eq!(rows.len(), bought, "{rows:?}");
        self.check_clean_end();
    }

    /// Each order was asked for once. Where a repeat would be a second order, or may have been sent by the dead engine, it was
    /// looked for before.
    fn check_requests(&self) {
        let (venue, requests, orders) = (self.passage.venue, self.desk.fake.requests(), orders(&self.desk));
        let placed: Vec<_> = (0..requests.len()).filter(|&at| requests[at].starts_with(venue.places)).collect();
        assert_eq!(placed.len(), orders.len(), "{requests:#?}");
        let mut since = 0;
        for (&at, order) in placed.iter().zip(&orders) {
            let leg = if order.asked.buy { Leg::Entry } else { Leg::Exit };
            let is_again = leg == self.passage.leg && self.passage.point.stage == Stage::InHand;
            let looks = |request: &String| {
                request == venue.asks || request.starts_with(venue.asks) && request.contains(&order.asked.id)
            };
            let looked = requests[since..at].iter().any(looks);
            assert!(looked || venue.class == Class::Dedupes && !is_again, "sent without a look: {requests:#?}");
            since = at;
        }
    }

    fn check_hash(&mut self) {
        let fields = self.desk.fields();
        let expected = [
            ("status", "COMPLETED"),
            ("position", "EXITED_BY_SL"),
            ("pending", ""),
            ("working", ""),
            ("error", ""),
            ("cycle", "1"),
            ("filled_quantity", "10"),
            ("entry_price", "100"),
            ("exit_quantity", "10"),
            ("exit_price", "94.8"),
        ];
        for (field, wanted) in expected {
            assert_eq!(fields.get(field).map_or("", String::as_str), wanted, "{field} of {fields:?}");
        }
        for queue in ["queue:orders", "queue:exits"] {
            let is_empty = |desk: &mut Desk| (desk.redis.conn().run(&format!("XLEN {queue}")).int() == 0).then_some(());
            self.wait(&format!("{queue} is worked off"), is_empty);
        }
        assert_eq!(self.desk.redis.conn().run("STRAT.DEBUG VERIFY").texts(), Vec::<String>::new());
    }

    /// The journal reaches Postgres a moment later.
    fn check_row(&mut self) {
        let same = |desk: &mut Desk| (row(desk) == given(desk.fields())).then_some(());
        self.wait("Postgres has the strategy as Redis has it", same);
        assert_eq!(self.desk.books.sql("SELECT count(*) FROM journal_rejects"), ["0"]);
    }

    /// One row for each order, with one fill.
    fn check_orders_in_postgres(&self) {
        let placed = orders(&self.desk);
        let (entry, exit) = (&placed[0].asked.id, &placed[1].asked.id);
        let rows = self.desk.books.sql(
            "SELECT client_order_id, leg, attempt, status, trim_scale(cum_qty), trim_scale(avg_px) FROM orders ORDER BY leg",
        );
        assert_eq!(rows, [format!("{entry}|ENTRY|0|FILL|10|100"), format!("{exit}|EXIT|0|FILL|10|94.8")]);
        let fills = self.desk.books.sql(
            "SELECT client_order_id, trim_scale(e.cum_qty) FROM order_events e JOIN orders USING (client_order_id) \
             WHERE exec_type = 'FILL' ORDER BY leg",
        );
        assert_eq!(fills, [format!("{entry}|10"), format!("{exit}|10")]);
    }

    fn check_clean_end(&mut self) {
        assert_eq!(self.desk.engine.terminate(), Some(0), "a clean end on SIGTERM:\n{}", self.desk.engine.log());
    }
}
