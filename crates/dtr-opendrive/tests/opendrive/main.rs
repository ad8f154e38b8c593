//! Tests of OpenDRIVE maps. Tests of published maps need the folder that `DTR_PUBLIC` names.

mod answers;
mod baselines;
mod checks;
mod completion;
mod geometry;
mod hostile;
mod openstreetmap;
mod round_trips;
mod scores;
mod support;
mod synthetic_maps;
mod views;
