#![no_main]

use firn_vmm_fuzz::state;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("state", state::seeds),
    |bytes: &[u8]| state::run(bytes)
);
