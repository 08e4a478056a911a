#![no_main]

use firn_vmm_fuzz::mmio;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("mmio", mmio::seeds),
    |bytes: &[u8]| mmio::run(bytes)
);
