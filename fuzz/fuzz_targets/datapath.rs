//! The data plane; see `evenkeel_testkit::fuzz::datapath`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    evenkeel_testkit::fuzz::datapath::run(input);
});
