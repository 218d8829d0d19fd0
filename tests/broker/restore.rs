//! The books after a restart, from the ledger.

use crate::book::{Book, Later};
use crate::ledger::{Event, Line};
use crate::lies::Lie;
use crate::order::{Order, Plan};
use crate::wire::{Request, Side};
use strat_core::{ExecType, Price, Quantity};

impl Book {
    /// Does again what a line says was done.
    pub(crate) fn restore(&mut self, line: &Line) -> Result<(), String> {
        match line.event {
            Event::Accept => {
                let no = line.order_no.ok_or("an order needs a number")?;
                if no != self.orders().len() as u64 + 1 {
                    return Err(format!("order {no} does not follow {}", self.orders().len()));
                }
                self.add(Order::new(no, request(line)?, Plan::default(), line.ts));
                self.restore_late(line);
            }
            Event::Duplicate => self.restore_late(line),
            Event::Fill => {
                let order = self.of(line)?;
                order.fill(quantity(line)?, price(line)?, line.ts);
                let no = order.no;
                if line.reason.as_deref() == Some(Lie::LateFill.name()) {
                    self.settle_fill(no);
                }
            }
            Event::Cancel => self.of(line)?.end(ExecType::Canceled, "cancelled", line.ts),
            Event::Reject if line.order_no.is_some() => {
                let reason = line.reason.clone().unwrap_or_default();
                self.of(line)?.end(ExecType::Rejected, &reason, line.ts);
            }
            Event::Lie => self.restore_lie(line)?,
            Event::Control if line.symbol.is_empty() => {
                self.lies = line.reason.as_deref().unwrap_or_default().parse()?;
            }
            Event::Control => self.set_price(&line.symbol, price(line)?),
            Event::Submit | Event::Reject | Event::CancelRequest | Event::Lookup => {}
        }
        Ok(())
    }

    fn restore_late(&mut self, line: &Line) {
        if line.reason.as_deref() == Some(Lie::TimeoutLate.name()) {
            self.settle_request(&line.client_order_id);
        }
    }

    /// Lies that have not come to their end yet.
    fn restore_lie(&mut self, line: &Line) -> Result<(), String> {
        let name = line.reason.as_deref().unwrap_or_default();
        if name == Lie::TimeoutLate.name() {
            self.later.push(Later::Request(request(line)?));
        } else if name == Lie::LateFill.name() {
            self.later.push(Later::Fill(line.order_no.ok_or("a fill needs an order")?));
        } else if name == Lie::LostTerminal.name() {
            self.of(line)?.plan.hide_end = true;
        } else if name == Lie::Reject.name() {
            self.of(line)?.plan.reject = true;
        } else if name == Lie::PartialThenCancel.name() {
            self.of(line)?.plan.cancel_rest = true;
        }
        Ok(())
    }

    /// A request that was still to come has come.
    pub(crate) fn settle_request(&mut self, id: &str) {
        let same = |later: &Later| matches!(later, Later::Request(request) if request.client_order_id == id);
        if let Some(index) = self.later.iter().position(same) {
            self.later.remove(index);
        }
    }

    /// A fill that was still to come has come.
    pub(crate) fn settle_fill(&mut self, no: u64) {
        self.later.retain(|later| !matches!(later, Later::Fill(of) if *of == no));
    }

    fn of(&mut self, line: &Line) -> Result<&mut Order, String> {
        let no = line.order_no.ok_or("it names no order")?;
        self.order_mut(no).ok_or_else(|| format!("there is no order {no}"))
    }
}

fn request(line: &Line) -> Result<Request, String> {
    Ok(Request {
        client_order_id: line.client_order_id.clone(),
        user: line.user.clone(),
        symbol: line.symbol.clone(),
        side: line.side.unwrap_or(Side::Buy),
        quantity: quantity(line)?,
    })
}

fn quantity(line: &Line) -> Result<Quantity, String> {
    let text = line.quantity.as_deref().unwrap_or_default();
    Quantity::parse_positive(text.as_bytes()).map_err(|why| format!("quantity '{text}' {why}"))
}

fn price(line: &Line) -> Result<Price, String> {
    let text = line.price.as_deref().unwrap_or_default();
    Price::parse(text.as_bytes()).map_err(|why| format!("price '{text}' {why}"))
}
