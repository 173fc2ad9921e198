//! Stories and arbitrary sequences, told to the core by a simulated shell.

mod random;
mod shell;
mod stories;
