//! Connection sync's codec; see `evenkeel_testkit::fuzz::sync`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| evenkeel_testkit::fuzz::sync::run(input));
