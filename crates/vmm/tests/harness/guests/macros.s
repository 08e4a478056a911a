// What all guest programs begin with. Registers: X19 doorbell, X20 a page of variables, X26 where the device tree was put, which
// is 2 MiB before the end of memory.

    .section .rodata.firn_guests, "a"
    .arch_extension sve
    .arch_extension pauth

    // Turns the MMU on, with the table at 0x8028_0000.
    .macro mmu_on
    movz    x0, #0x8028, lsl #16
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
1:  mov     x26, x0
    // Level-1 table at 0x8028_0000, blocks of 1 GiB: block 0 device memory, blocks 2 to 9 RAM.
    movz    x0, #0x8028, lsl #16
    mov     x1, #0x401          // device (AttrIndx 0), AF
    str     x1, [x0]
    movz    x1, #0x8000, lsl #16
    mov     x2, #0x705          // normal (AttrIndx 1), inner shareable, AF
    orr     x1, x1, x2
    movz    x3, #0x4000, lsl #16
    mov     x2, #2
1:  str     x1, [x0, x2, lsl #3]
    add     x1, x1, x3
    add     x2, x2, #1
    cmp     x2, #10
    b.ne    1b
    dsb     ish
    mmu_on
    .endm

    .macro end name
    .global firn_guest_\name\()_end
firn_guest_\name\()_end:
    .endm

    // Rings with an event, and a detail from a register. Clobbers W1.
    .macro ring event, detail
    str     \detail, [x19, #0xc]
    mov     w1, #\event
    str     w1, [x19, #0x10]
    .endm

    // Starts a vCPU at a label, with its number in X0. PSCI's answer is in X0 then: 0, or that there is no such vCPU.
    .macro cpu_on cpu, entry
    movz    x0, #0x0003         // CPU_ON of PSCI, for 64 bits
    movk    x0, #0xc400, lsl #16
    mov     x1, \cpu
    adr     x2, \entry
    mov     x3, \cpu
    hvc     #0
    .endm

    // Sets up the interrupt controller as far as it is this vCPU's. X21 is its number, W0 a mask of the private interrupts to
    // enable. Leaves in X23 the distributor, in X24 the CPU interface of a GICv2, in X25 this vCPU's redistributor, the frame of
    // private interrupts, and in X27 the version of the interrupt controller, 2 or 3. Clobbers X1 and X2.
    .macro gic_init
    movz    x23, #0x0800, lsl #16
    movz    x24, #0x0801, lsl #16
    mrs     x1, id_aa64pfr0_el1
    ubfx    x1, x1, #24, #4
    cbz     x1, 1f
    mov     x27, #3
    movz    x25, #0x0811, lsl #16
    add     x25, x25, x21, lsl #17
    mov     w1, #0xffffffff
    str     w1, [x25, #0x80]            // IGROUPR0: group 1
    str     w1, [x23, #0x84]            // IGROUPR1: group 1
    mov     w1, #0x12                   // CTLR: ARE, group 1
    str     w1, [x23]
    str     w0, [x25, #0x100]           // ISENABLER0
    mov     x1, #0xff
    msr     S3_0_C4_C6_0, x1            // ICC_PMR_EL1
    mov     x1, #1
    msr     S3_0_C12_C12_7, x1          // ICC_IGRPEN1_EL1
    isb
    b       2f
1:  mov     x27, #2
    mov     w1, #1
    str     w1, [x23]                   // GICD_CTLR
    str     w0, [x23, #0x100]           // GICD_ISENABLER0
    mov     w2, #0xff
    str     w2, [x24, #4]               // GICC_PMR
    str     w1, [x24]                   // GICC_CTLR
2:
    .endm

    // Interrupts the vCPU with the number in a register by an SGI. Clobbers X9 to X11.
    .macro sgi number, cpu
    mov     x9, #1
    lsl     x9, x9, \cpu
    cmp     x27, #3
    b.eq    1f
    lsl     x9, x9, #16
    mov     x10, #\number
    orr     x9, x9, x10
    str     w9, [x23, #0xf00]           // GICD_SGIR
    b       2f
1:  mov     x10, #\number
    orr     x9, x9, x10, lsl #24
    dsb     ish
    msr     S3_0_C12_C11_5, x9          // ICC_SGI1R_EL1
    isb
2:
    .endm

    // Acknowledges an interrupt into W9: on a GICv2, with the vCPU that sent an SGI from bit 10 on.
    .macro acknowledge
    cmp     x27, #3
    b.eq    1f
    ldr     w9, [x24, #0xc]             // GICC_IAR
    b       2f
1:  mrs     x9, S3_0_C12_C12_0          // ICC_IAR1_EL1
2:
    .endm

    // Ends the interrupt that was acknowledged into W9.
    .macro end_of_interrupt
    cmp     x27, #3
    b.eq    1f
    str     w9, [x24, #0x10]            // GICC_EOIR
    b       2f
1:  msr     S3_0_C12_C12_1, x9          // ICC_EOIR1_EL1
2:  isb
    .endm

    // A table of vectors: an exception rings that the guest failed, with its syndrome; an interrupt goes to what follows.
    .macro vectors label
    .balign 2048
\label:
    .skip   0x200
    mrs     x9, esr_el1
    str     w9, [x19, #0xc]
    mov     w9, #4
    str     w9, [x19, #0x10]
    b       .
    .skip   0x80 - 20
    .endm
