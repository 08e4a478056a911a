#![no_main]

use firn_vmm_fuzz::fdt;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("fdt", fdt::seeds),
    |bytes: &[u8]| fdt::run(bytes)
);
