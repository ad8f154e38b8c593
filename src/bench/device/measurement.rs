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
    /// The name of the operation. `bench/pytorch` uses the same names.
    pub operation: String,
    /// Median over the runs, in seconds.
    pub seconds: f64,
    /// The amount of work. `unit` says whether it counts floating-point operations, bytes or tokens. The rate
    /// is `amount / seconds`.
    pub amount: f64,
    /// The unit of `amount`.
    pub unit: &'static str,
}

/// The device memory of an operation.
#[derive(Clone, Debug, Serialize)]
pub struct OperationMemory {
    /// The operation.
    pub operation: String,
    /// Bytes that the program had allocated after the operation. `None` if the device does not report its
    /// free memory.
    pub allocated_bytes: Option<u64>,
    /// Bytes that the plan of a sweep predicts for the operation.
    pub predicted_bytes: u64,
}
