//! Guest programs of a few instructions, in the form of an arm64 Image.
//!
//! They turn the MMU on (an identity map of three blocks of 1 GiB), so that guest and host see the same cached memory on every
//! CPU, and then do one thing. Registers: X19 doorbell, X20 a page of variables.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .rodata.firn_guests, "a"
    .macro program name
        .balign 4096
        .global firn_guest_\name
        firn_guest_\name:
        // arm64 Image header (Documentation/arch/arm64/booting.rst).
        b       1f
        .word   0
        .quad   0                   // text_offset
        .quad   0x10000             // image_size
        .quad   0xa                 // flags: little-endian, 4 KiB pages, anywhere
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .word   0
    1:
        // Level-1 table at 0x8028_0000: block 0 device memory, blocks 2 and 3 RAM.
        movz    x0, #0x8028, lsl #16
        mov     x1, #0x401          // device (AttrIndx 0), AF
        str     x1, [x0]
        movz    x1, #0x8000, lsl #16
        mov     x2, #0x705          // normal (AttrIndx 1), inner shareable, AF
        orr     x1, x1, x2
        str     x1, [x0, #16]
        movz    x3, #0x4000, lsl #16
        add     x1, x1, x3
        str     x1, [x0, #24]
        dsb     ish
        mov     x1, #0xff00         // MAIR: 0 device-nGnRnE, 1 normal write-back
        msr     mair_el1, x1
        // TCR: 39-bit addresses, inner shareable write-back walks, no TTBR1, 40-bit physical.
        movz    x1, #0x3519
        movk    x1, #0x0080, lsl #16
        movk    x1, #0x0002, lsl #32
        msr     tcr_el1, x1
        msr     ttbr0_el1, x0
        isb
        tlbi    vmalle1
        dsb     ish
        mrs     x1, sctlr_el1
        mov     x2, #0x1005         // M, C, I
        orr     x1, x1, x2
        msr     sctlr_el1, x1
        isb
        movz    x19, #0x0a00, lsl #16
        movz    x20, #0x8030, lsl #16
    .endm

    // Counts in a register and in memory, and rings with the count: 1, 2, 3, …
    program counter
        mov     w21, #0
    2:  add     w21, w21, #1
        ldr     w0, [x20]
        add     w0, w0, #1
        str     w0, [x20]
        cmp     w0, w21
        b.ne    3f
        str     w21, [x19, #0xc]
        mov     w1, #2
        str     w1, [x19, #0x10]
        b       2b
    3:  mov     w1, #4              // register and memory differ: failed
        str     w1, [x19, #0x10]
        b       3b

    // Rings; then writes the count of rings into 64 pages, each 1 MiB from the next, and zeros what it wrote two rings
    // before to 64 others; rings again.
    program writer
        mov     w21, #0
    2:  add     w21, w21, #1
        movz    x2, #0x8100, lsl #16
        mov     w3, #64
    4:  str     w21, [x2, #8]
        tst     w21, #1
        csel    w4, w21, wzr, ne
        str     w4, [x2, #4096]
        add     x2, x2, #0x100, lsl #12
        subs    w3, w3, #1
        b.ne    4b
        str     w21, [x19, #0xc]
        mov     w1, #2
        str     w1, [x19, #0x10]
        b       2b

    // Arms the virtual timer, rings with event 2, waits for the timer's interrupt (27) and for that of the VM generation id
    // (35), and rings with event 3 and a detail of bit 0 for the one and bit 1 for the other; again and again.
    // Register X22 is 2 or 3: the version of the interrupt controller, from ID_AA64PFR0_EL1.GIC.
    program interrupts
        adr     x0, 9f
        msr     vbar_el1, x0
        movz    x23, #0x0800, lsl #16       // distributor
        movz    x24, #0x0801, lsl #16       // GICv2 CPU interface
        mrs     x0, id_aa64pfr0_el1
        ubfx    x0, x0, #24, #4
        mov     x22, #2
        cbz     x0, 5f
        mov     x22, #3
        movz    x25, #0x0811, lsl #16       // redistributor, SGI frame
        mov     w0, #0xffffffff
        str     w0, [x25, #0x80]            // IGROUPR0: group 1
        str     w0, [x23, #0x84]            // IGROUPR1: group 1
        mov     w0, #0x12                   // CTLR: ARE, group 1
        str     w0, [x23]
        mov     w0, #(1 << 27)
        str     w0, [x25, #0x100]
        mov     x0, #0xff
        msr     S3_0_C4_C6_0, x0            // ICC_PMR_EL1
        mov     x0, #1
        msr     S3_0_C12_C12_7, x0          // ICC_IGRPEN1_EL1
        isb
        b       6f
    5:  mov     w0, #1
        str     w0, [x23]                   // GICD_CTLR
        mov     w1, #(1 << 27)
        str     w1, [x23, #0x100]
        mov     w1, #0xff
        str     w1, [x24, #4]               // GICC_PMR
        str     w0, [x24]                   // GICC_CTLR
        movz    w1, #0x0101
        movk    w1, #0x0101, lsl #16
        str     w1, [x23, #0x820]           // ITARGETSR: interrupts 32 to 35 to vCPU 0
    6:  mov     w0, #(2 << 6)               // ICFGR2: interrupt 35 by edge
        str     w0, [x23, #0xc08]
        mov     w0, #(1 << 3)
        str     w0, [x23, #0x104]
        dsb     sy
    7:  mov     w21, #0
        mrs     x0, cntfrq_el0
        lsr     x0, x0, #5                  // 31 ms
        msr     cntv_tval_el0, x0
        mov     x0, #1
        msr     cntv_ctl_el0, x0
        isb
        mov     w1, #2
        str     w1, [x19, #0x10]
        msr     daifclr, #2
    8:  mov     w0, w21
        cmp     w0, #3
        b.eq    10f
        // With interrupts masked, so that none is lost between the look and the wait: WFI wakes all the same.
        msr     daifset, #2
        cmp     w21, #3
        b.eq    11f
        wfi
    11: msr     daifclr, #2
        isb
        b       8b
    10: msr     daifset, #2
        str     w21, [x19, #0xc]
        mov     w1, #3
        str     w1, [x19, #0x10]
        b       7b

        .balign 2048
    9:  .skip   0x280                       // vector of IRQs from EL1 with its own stack pointer
        cmp     x22, #3
        b.eq    12f
        ldr     w9, [x24, #0xc]             // GICC_IAR
        b       13f
    12: mrs     x9, S3_0_C12_C12_0          // ICC_IAR1_EL1
    13: cmp     w9, #27
        b.ne    14f
        msr     cntv_ctl_el0, xzr
        isb
        orr     w21, w21, #1
    14: cmp     w9, #35
        b.ne    15f
        orr     w21, w21, #2
    15: cmp     x22, #3
        b.eq    16f
        str     w9, [x24, #0x10]            // GICC_EOIR
        eret
    16: msr     S3_0_C12_C12_1, x9          // ICC_EOIR1_EL1
        eret

    // Loads a pair from a device: an access without a syndrome.
    program no_syndrome
        ldp     w0, w1, [x19]
    2:  b       2b

    // Runs on without ever ringing.
    program silent
    2:  wfi
        b       2b

    .balign 4096
    .global firn_guest_end
    firn_guest_end:
    .previous
    "#
);

unsafe extern "C" {
    static firn_guest_counter: u8;
    static firn_guest_writer: u8;
    static firn_guest_interrupts: u8;
    static firn_guest_no_syndrome: u8;
    static firn_guest_silent: u8;
    static firn_guest_end: u8;
}

fn between(start: *const u8, end: *const u8) -> Vec<u8> {
    // SAFETY: both are labels of one read-only section, `end` behind `start`.
    unsafe { std::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }.to_vec()
}

pub fn counter() -> Vec<u8> {
    between(&raw const firn_guest_counter, &raw const firn_guest_writer)
}

pub fn writer() -> Vec<u8> {
    between(&raw const firn_guest_writer, &raw const firn_guest_interrupts)
}

pub fn interrupts() -> Vec<u8> {
    between(&raw const firn_guest_interrupts, &raw const firn_guest_no_syndrome)
}

pub fn no_syndrome() -> Vec<u8> {
    between(&raw const firn_guest_no_syndrome, &raw const firn_guest_silent)
}

pub fn silent() -> Vec<u8> {
    between(&raw const firn_guest_silent, &raw const firn_guest_end)
}
