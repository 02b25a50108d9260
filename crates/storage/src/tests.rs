//! Tests of the store as a whole. `contract` is what any engine must pass; the others are about
//! what only this one has: partitions, sealing, retention, damage and failing disks.

mod backup;
mod changes;
mod contract;
mod control;
mod deep;
mod faults;
mod format;
mod graph;
mod partitions;
mod restart;
mod support;
