#![no_main]

use firn_vmm_fuzz::layer;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("layer", layer::seeds),
    |bytes: &[u8]| layer::run(bytes)
);
