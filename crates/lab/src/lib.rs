//! Clusters of network namespaces: a switch, and nodes that each have a network, mounts, processes and
//! a host name of their own.
//!
//! A [`Topology`] says which nodes there are, [`Lab::start`] boots them, [`command`] holds what
//! `evenkeel lab` offers. A program that starts labs calls [`entry::run`] first thing in `main`: nodes
//! are that same program, executed anew.
//!
//! A lab lives as long as its keeper, the process that started it: every node's first process is killed
//! by the kernel when the keeper dies, and all else is in namespaces that vanish with it. The host's own
//! network and mounts are never touched; all that is written is a folder under [`STATE_ROOT`].

pub mod command;
mod control;
mod crowd;
mod cuts;
mod daemon;
mod echo;
pub mod entry;
mod error;
pub mod frames;
pub mod http_server;
pub mod keepalived;
mod keeper;
mod lab;
mod link;
pub mod load;
mod namespace;
mod node;
mod node_init;
pub mod offload;
pub mod paper;
pub mod probe;
mod process;
mod realtime;
pub mod samples;
pub mod silence;
pub mod stall;
pub mod stamped;
mod state;
pub mod streams;
mod switch;
pub mod topology;
pub mod watch;

pub use error::LabError;
pub use lab::{Lab, Options, WebServer};
pub use namespace::NetnsThread;
pub use node::NodeHandle;
pub use process::ProcessId;
pub use state::{LabState, NodeState, STATE_ROOT};
pub use topology::{Node, NodeKind, Topology, TopologyError};
