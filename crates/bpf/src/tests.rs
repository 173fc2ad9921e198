//! The real object in fresh namespaces; they need root, and say so where they are skipped.

mod adoption;
mod concurrency;
mod contract;
mod groups;
mod interfaces;
mod ipv6;
mod locality;
mod maglev;
mod mirror;
mod packets;
mod persistence;
mod router;
mod schedulers;
mod service;
mod start;
mod support;
mod sweep;
mod thresholds;
mod trace;
