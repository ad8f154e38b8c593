//! The output of `dtr bench device`: one JSON object per measurement.

use serde::Serialize;

/// One line of the output.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Measurement {
    /// The time of an operation.
    Time(OperationTime),
    /// The device memory of an operation.
    Memory(OperationMemory),
}

/// The time of an operation.
#[derive(Clone, Debug, Serialize)]
pub struct OperationTime {
    /// The operation, by the name that `bench/pytorch` uses too.
    pub operation: String,
    /// Median seconds of the runs.
    pub seconds: f64,
    /// The amount of work: floating-point operations, bytes read or tokens processed, as given by `unit`. The
    /// rate is `amount / seconds`.
    pub amount: f64,
    /// The unit of `amount`.
    pub unit: &'static str,
}

/// The device memory of an operation.
#[derive(Clone, Debug, Serialize)]
pub struct OperationMemory {
    /// The operation.
    pub operation: String,
    /// Bytes that were allocated during the operation, or `None` if the device does not report its free
    /// memory.
    pub allocated_bytes: Option<u64>,
    /// Bytes that the plan of a sweep predicts for the operation.
    pub predicted_bytes: u64,
}
