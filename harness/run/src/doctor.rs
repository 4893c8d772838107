//! What `pinfold doctor` says of this host.

use pinfold::profile::Profile;
use pinfold_contract::Series;
use pinfold_machine::{Cache, Finding, doctor};

use crate::error::RunError;
use crate::parts::PartsError;

/// Looks at everything that the targets need. Changes nothing.
///
/// # Errors
///
/// If there is no folder for what is built.
pub fn examine_host() -> Result<Vec<Finding>, RunError> {
    let series: Vec<Series> = Profile::all().iter().map(|profile| profile.series).collect();
    Ok(doctor::examine(&Cache::from_environment().map_err(PartsError::Cache)?, &series))
}
