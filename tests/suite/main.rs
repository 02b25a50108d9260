//! The black-box suite: the real binary, real sockets, real clients. `cargo xtask test` runs it.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod datagrams;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod emitters;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod graph_changes;
#[cfg(test)]
mod graph_retention;
#[cfg(test)]
mod group_traffic;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod hangup;
#[cfg(test)]
mod insights;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod power;
#[cfg(test)]
mod put;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod replaying;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod retrieval;
#[cfg(test)]
mod sampling;
#[cfg(test)]
mod sampling_targets;
#[cfg(test)]
mod series;
#[cfg(test)]
mod settings;
#[cfg(test)]
#[cfg(test)]
mod span_bounds;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod summaries;
#[cfg(test)]
mod tail;
#[cfg(test)]
mod target_form;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod wire;
