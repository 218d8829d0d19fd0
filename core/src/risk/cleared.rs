//! What may be sent to a broker, as types.

use crate::decimal::Quantity;
use crate::order::Leg;
use std::ops::Deref;

/// What of an entry is judged. An approval is of exactly this and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Which order.
    pub client_order_id: String,
    /// Exchange symbol.
    pub symbol: String,
    /// How much.
    pub quantity: Quantity,
}

/// An order, as a broker takes it.
pub trait Order {
    /// Whether it opens a position or ends one.
    fn leg(&self) -> Leg;
    /// What of it is judged.
    fn intent(&self) -> Intent;
}

/// An entry that every limit let pass. Only [`super::approve`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskApproved<T>(T);

impl<T> RiskApproved<T> {
    pub(super) const fn new(approved: T) -> Self {
        Self(approved)
    }

    /// What was approved.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }
}

impl RiskApproved<Intent> {
    /// The order that was approved. `None` where `order` is another one, of more, or of another symbol.
    #[must_use]
    pub fn cover<T: Order>(&self, order: T) -> Option<RiskApproved<T>> {
        (order.intent() == self.0).then_some(RiskApproved(order))
    }
}

/// An order that ends a position, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitOrder<T>(T);

/// An order that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleared<T> {
    /// It opens a position, and was approved.
    Entry(RiskApproved<T>),
    /// It ends one: that needs no approval.
    Exit(ExitOrder<T>),
}

impl<T: Order> Cleared<T> {
    /// An exit passes as it is. `None` where the order is none.
    #[must_use]
    pub fn exit(order: T) -> Option<Self> {
        (order.leg() == Leg::Exit).then_some(Self::Exit(ExitOrder(order)))
    }
}

impl<T> Deref for Cleared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Self::Entry(RiskApproved(order)) | Self::Exit(ExitOrder(order)) => order,
        }
    }
}
