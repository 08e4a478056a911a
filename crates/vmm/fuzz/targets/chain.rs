#![no_main]

use firn_vmm_fuzz::chain;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("chain", chain::seeds),
    |bytes: &[u8]| chain::run(bytes)
);
