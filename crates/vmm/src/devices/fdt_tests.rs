//! Device trees of any options.

use proptest::prelude::*;

use super::{FdtOptions, device_tree};
use crate::error::ErrorCode;
use crate::gic_version::GicVersion;
use crate::layout::{DEVICE_TREE_AREA_SIZE, RAM_BASE, SYSTEM_AREA_SIZE};

#[path = "fdt_check.rs"]
mod fdt_check;

proptest! {
    #[test]
    fn any_options_are_a_sound_tree_that_says_them_or_a_configuration_error(
        vcpus in prop::collection::vec(any::<u64>(), 0..12),
        memory_size in prop_oneof![any::<u64>(), 0u64..64 << 20, Just(SYSTEM_AREA_SIZE), Just(8u64 << 30)],
        command_line in prop_oneof![".{0,200}", "[a-z =\\x00]{0,40}", "x{60000}"],
        gic in prop::sample::select(vec![GicVersion::V2, GicVersion::V3]),
        initrd in prop::option::of((any::<u64>(), any::<u64>())),
    ) {
        fdt_check::check(&FdtOptions { vcpus, memory_size, command_line, gic, initrd });
    }
}
