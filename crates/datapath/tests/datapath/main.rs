//! The native data plane, driven with packets.

mod common;
mod egress;
mod fragments;
mod gates;
mod icmp;
mod ipv6;
mod local;
mod locality;
mod mirror;
mod packets;
mod properties;
mod schedulers;
mod sctp;
mod stories;
mod udp;
