//! The search strategy `uniform`, one of the paper's baselines. The replaced layers are spread evenly over
//! the base and do not depend on scores.

use dtr_core::error::Result;
use dtr_model::Mask;

use super::state::SearchState;
use super::{ScoreFn, SearchOutcome, StopCriterion};

/// Scores hybrids whose replaced layers are spread evenly. Each round replaces one layer more than the
/// previous round. A layer that one round replaces may keep its full attention in the next round.
pub fn uniform_search(
    num_layers: u32,
    stop: &StopCriterion,
    score: &mut ScoreFn<'_>,
) -> Result<SearchOutcome> {
    let mut state = SearchState::start(stop, score)?;
    state.run_fixed_rounds(
        (1..=num_layers).map(|num_replaced| Mask::evenly_spaced(num_layers, num_replaced)),
    )?;
    Ok(state.into_outcome())
}
