//! Two kernels compared: what one of them does that the other does not, and what registered memory costs on each.
//!
//! Pure: the runs are made elsewhere.

mod cause;
mod comparison;
mod ledger;
mod prices;

pub use cause::without_cause;
pub use comparison::{Question, Side, Sorted, sort};
pub use ledger::{Ledger, Sum, Sums, sums};
pub use prices::{Price, Priced, price_list, priced};
