#![no_main]

use firn_vmm_fuzz::working_set;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("working_set", working_set::seeds),
    |bytes: &[u8]| working_set::run(bytes)
);
