#![no_main]

use firn_vmm_fuzz::control;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("control", control::seeds),
    |bytes: &[u8]| control::run(bytes)
);
