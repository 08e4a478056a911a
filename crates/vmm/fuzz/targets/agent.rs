#![no_main]

use firn_vmm_fuzz::agent;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("agent", agent::seeds),
    |bytes: &[u8]| agent::run(bytes)
);
