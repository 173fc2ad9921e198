//! Stories and arbitrary sequences, told to the core by a simulated shell.

mod edits;
mod held;
mod live;
mod local;
mod random;
mod roles;
mod shell;
mod stories;
mod thread;
