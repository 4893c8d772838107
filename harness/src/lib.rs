//! Pinfold's pure half: the reference model, the oracles, the minimizer, and
//! what is made of their answers. Nothing here reads a clock, a file or the
//! environment, and nothing here knows how a kernel is run.

pub mod capability;
pub mod citations;
pub mod defects;
pub mod designs;
pub mod draft;
mod draw;
pub mod explain;
pub mod features;
pub mod generate;
pub mod leaks;
pub mod minimize;
pub mod model;
pub mod mutate;
pub mod on_demand;
pub mod oracle;
pub mod patch;
pub mod probe;
pub mod profile;
pub mod report;
pub mod reproduce;
mod request;
pub mod scope;
pub mod signature;
mod slots;
pub mod spare;
pub mod suspects;
pub mod tally;
