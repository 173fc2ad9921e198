//! Tests that need root: parity of the native data plane with the loaded program, and real traffic in namespaces.

#![forbid(unsafe_code)]
