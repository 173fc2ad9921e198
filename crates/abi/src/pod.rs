//! `aya::Pod` for the types that cross the system call as plain bytes.

#![expect(
    unsafe_code,
    reason = "aya asks for the promise that any bytes are a valid value"
)]

use crate::{FlowKey, ServiceKey, Stats};

// SAFETY: two u64, no padding, every bit pattern is valid.
unsafe impl aya::Pod for FlowKey {}
// SAFETY: two u32, no padding, every bit pattern is valid.
unsafe impl aya::Pod for ServiceKey {}
// SAFETY: three u64, no padding, every bit pattern is valid.
unsafe impl aya::Pod for Stats {}
