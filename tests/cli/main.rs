//! Under kills, faults and bad input nothing is lost and nothing wrong is believed: through the program, as
//! people run it.

mod bench;
mod damage;
mod deaths;
mod failures;
mod kills;
mod runners;
mod same;
mod storage;
mod verify;
