//! Guest programs of a few instructions, in the form of an arm64 Image, in `guests/`.
//!
//! They turn the MMU on (an identity map of blocks of 1 GiB), so that guest and host see the same cached memory on every CPU, and
//! then do one thing, again and again, between rings of the doorbell.

use core::arch::global_asm;

// One piece, so that every program sees the macros.
global_asm!(
    include_str!("guests/macros.s"),
    include_str!("guests/plain.s"),
    include_str!("guests/interrupts.s"),
    include_str!("guests/smp.s"),
    include_str!("guests/pending.s"),
    include_str!("guests/time.s"),
    include_str!("guests/registers.s"),
    include_str!("guests/stream.s"),
    include_str!("guests/hostile.s"),
    include_str!("guests/script.s"),
    ".previous",
    options(raw)
);

macro_rules! programs {
    ($($name:ident $start:ident $end:ident)*) => {
        unsafe extern "C" {
            $(static $start: u8; static $end: u8;)*
        }
        $(pub fn $name() -> Vec<u8> {
            between(&raw const $start, &raw const $end)
        })*
    };
}

programs! {
    counter firn_guest_counter firn_guest_counter_end
    writer firn_guest_writer firn_guest_writer_end
    reader firn_guest_reader firn_guest_reader_end
    no_syndrome firn_guest_no_syndrome firn_guest_no_syndrome_end
    silent firn_guest_silent firn_guest_silent_end
    interrupts firn_guest_interrupts firn_guest_interrupts_end
    smp firn_guest_smp firn_guest_smp_end
    late firn_guest_late firn_guest_late_end
    pending firn_guest_pending firn_guest_pending_end
    time firn_guest_time firn_guest_time_end
    memory firn_guest_memory firn_guest_memory_end
    registers firn_guest_registers firn_guest_registers_end
    stream firn_guest_stream firn_guest_stream_end
    scatter firn_guest_scatter firn_guest_scatter_end
    rounds firn_guest_rounds firn_guest_rounds_end
    wild firn_guest_wild firn_guest_wild_end
    script firn_guest_script firn_guest_script_end
}

fn between(start: *const u8, end: *const u8) -> Vec<u8> {
    // SAFETY: both are labels of one read-only section, `end` behind `start`.
    unsafe { std::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }.to_vec()
}
