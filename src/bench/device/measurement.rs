//! The output of `dtr bench device`: one line with a JSON object for each measurement.

use serde::Serialize;

/// The measurement in one line of the output.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum OperationMeasurement {
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
    /// Median time of the runs, in seconds.
    pub seconds: f64,
    /// The amount of work in units of `unit`. The rate is `amount / seconds`.
    pub amount: f64,
    /// The unit of `amount`: `flop`, `byte` or `token`.
    pub unit: &'static str,
}

/// The device memory of an operation.
#[derive(Clone, Debug, Serialize)]
pub struct OperationMemory {
    /// The name of the operation.
    pub operation: String,
    /// The decrease of the device's free memory from the start of the benchmark to the end of this operation,
    /// in bytes. Memory that earlier operations still hold counts too. `None` if the device does not report
    /// its free memory.
    pub allocated_bytes: Option<u64>,
    /// The memory that [`crate::resources`] estimates for the operation, in bytes.
    pub predicted_bytes: u64,
}
