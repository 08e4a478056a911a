#![no_main]

use firn_vmm_fuzz::virtio;

libfuzzer_sys::fuzz_target!(
    init: firn_vmm_fuzz::begin("virtio", virtio::seeds),
    |bytes: &[u8]| virtio::run(bytes)
);
