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
end interrupts
