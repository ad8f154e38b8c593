//! Tests of OpenDRIVE maps. Tests of published maps need the folder that `DTR_PUBLIC` names.

mod geometry;
mod hostile;
mod support;
