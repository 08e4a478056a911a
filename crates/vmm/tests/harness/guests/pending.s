// Two vCPUs with an interrupt of every kind underway. vCPU 0 has interrupt 51 active; 50, SGI 2 from itself, SGI 3 from vCPU 1 and
// both of its timers pending. vCPU 1 has SGI 4 from itself and interrupt 52 pending, and a timer that is to fire 50 ms later.
// Rings with event 2; then both take what there is, and vCPU 0 rings with event 3 and a bit for each thing
// that is wrong: 1 interrupt 51 was not active, 2 it did not end, 4 a count on vCPU 0, 8 a count on vCPU 1, 16 who sent an SGI; from
// bits 8 and 20 on, in six bits each, the first interrupt with a wrong count on vCPU 0 and vCPU 1, and that count.
//
// Variables: 0 and 4 vCPU 1 is ready, vCPU 1 is done; 8 go; 12 who sent what, wrong; from 4096 on 256 bytes a vCPU: how often each
// of the interrupts 0 to 63 was taken, 4 bytes each.
program pending
    mov     x21, #0
    mov     x22, #0
    adr     x0, .Lpending_vectors
    msr     vbar_el1, x0
    movz    x0, #0x4800, lsl #16        // timers, 27 and 30
    orr     x0, x0, #0x1c               // SGI 2, 3, 4
    gic_init
    add     x22, x20, #4096
    // Interrupts 50 and 51 for vCPU 0, 52 for vCPU 1; all by edge.
    mov     w0, #(7 << 18)
    mov     w1, #0x2a0
    str     w1, [x23, #0xc0c]           // ICFGR3
    cmp     x27, #3
    b.eq    1f
    movz    w1, #0x0101, lsl #16
    str     w1, [x23, #0x830]           // ITARGETSR: 50 and 51
    mov     w1, #2
    str     w1, [x23, #0x834]           // 52
    b       2f
1:  mov     x1, #1
    str     x1, [x23, #0x61a0]          // IROUTER52
2:  str     w0, [x23, #0x104]           // ISENABLER1
    // Acknowledge 51, and leave it active.
    mov     w0, #(1 << 19)
    str     w0, [x23, #0x204]           // ISPENDR1
    dsb     sy
3:  acknowledge
    cmp     w9, #51
    b.ne    3b
    mov     x28, #1
    cpu_on  x28, 30f
4:  ldr     w0, [x20]
    cbz     w0, 4b
    mov     w0, #(1 << 18)
    str     w0, [x23, #0x204]           // 50
    sgi     2, x21
    mov     x0, #1
    msr     cntv_tval_el0, x0
    msr     cntp_tval_el0, x0
    msr     cntv_ctl_el0, x0
    msr     cntp_ctl_el0, x0
    isb
5:  mrs     x0, cntv_ctl_el0
    mrs     x1, cntp_ctl_el0
    and     x0, x0, x1
    tbz     x0, #2, 5b                  // both have fired
    ring    2, wzr

    mov     w8, #0
    ldr     w0, [x23, #0x304]           // ISACTIVER1
    tbnz    w0, #19, 6f
    orr     w8, w8, #1
6:  mov     w9, #51
    end_of_interrupt
    ldr     w0, [x23, #0x304]
    tbz     w0, #19, 7f
    orr     w8, w8, #2
7:  mov     w0, #1
    str     w0, [x20, #8]
    mov     x18, #5
    bl      .Lpending_take
8:  ldr     w0, [x20, #4]
    cbz     w0, 8b
    adr     x0, .Lpending_expected
    mov     x1, x22
    mov     w4, #4
    mov     w6, #8
    bl      .Lpending_compare
    add     x1, x22, #256
    mov     w4, #8
    mov     w6, #20
    bl      .Lpending_compare
    ldr     w0, [x20, #12]
    orr     w8, w8, w0
    ring    3, w8
9:  b       9b

    // vCPU 1.
30: mov     x21, x0
    mmu_on
    add     x22, x20, #4096
    add     x22, x22, #256
    adr     x0, .Lpending_vectors
    msr     vbar_el1, x0
    movz    x0, #0x0800, lsl #16
    orr     x0, x0, #0x1c
    gic_init
    mov     x0, #0
    sgi     3, x0
    sgi     4, x21
    mov     w0, #(1 << 20)
    str     w0, [x23, #0x204]           // 52
    mrs     x0, cntfrq_el0
    mov     x1, #20
    udiv    x0, x0, x1
    msr     cntv_tval_el0, x0
    mov     x0, #1
    msr     cntv_ctl_el0, x0
    isb
    dsb     sy
    str     w0, [x20]
31: ldr     w0, [x20, #8]
    cbz     w0, 31b
    mov     x18, #3
    bl      .Lpending_take
    mov     w0, #1
    str     w0, [x20, #4]
32: b       32b

    // Takes interrupts until there were as many as X18 says, or 5 s have passed; and then for 50 ms more.
.Lpending_take:
    mov     x29, #0
    mrs     x2, cntfrq_el0
    mrs     x0, cntvct_el0
    add     x1, x2, x2, lsl #2
    add     x0, x0, x1
    msr     daifclr, #2
33: isb
    cmp     x29, x18
    b.hs    36f
    mrs     x1, cntvct_el0
    cmp     x1, x0
    b.lo    33b
36: mov     x1, #20
    udiv    x2, x2, x1
    mrs     x0, cntvct_el0
    add     x0, x0, x2
37: isb
    mrs     x1, cntvct_el0
    cmp     x1, x0
    b.lo    37b
    msr     daifset, #2
    ret

    // Compares 64 counts at X1 with bytes from X0 on, which goes to their end. If one differs, sets the bits of W4 in W8, and
    // adds which one was the first, and how often it came, shifted by W6.
.Lpending_compare:
    mov     x2, #64
34: ldrb    w3, [x0], #1
    ldr     w5, [x1], #4
    cmp     w3, w5
    b.eq    35f
    tst     w8, w4
    b.ne    35f
    orr     w8, w8, w4
    mov     w7, #64
    sub     w7, w7, w2
    bfi     w7, w5, #6, #6
    lsl     w7, w7, w6
    orr     w8, w8, w7
35: subs    x2, x2, #1
    b.ne    34b
    ret

.Lpending_expected:
    .byte   0, 0, 1, 1                  // vCPU 0: SGI 2 and 3
    .skip   23
    .byte   1, 0, 0, 1                  // 27 and 30
    .skip   19
    .byte   1                           // 50
    .skip   13
    .byte   0, 0, 0, 0, 1               // vCPU 1: SGI 4
    .skip   22
    .byte   1                           // 27
    .skip   24
    .byte   1                           // 52
    .skip   11

    vectors .Lpending_vectors
    acknowledge
    and     w12, w9, #0x3ff
    cmp     w12, #63
    b.hi    42f
    cmp     w12, #27
    b.ne    40f
    msr     cntv_ctl_el0, xzr
40: cmp     w12, #30
    b.ne    41f
    msr     cntp_ctl_el0, xzr
41: isb
    ldr     w10, [x22, x12, lsl #2]
    add     w10, w10, #1
    str     w10, [x22, x12, lsl #2]
    add     x29, x29, #1
    end_of_interrupt
    // SGI 3 comes from vCPU 1, the others from the vCPU itself. Only a GICv2 tells.
    cmp     x27, #2
    b.ne    42f
    cmp     w12, #16
    b.hs    42f
    cmp     w12, #3
    cset    w11, eq
    cmp     w12, #3
    csel    w11, w11, w21, eq
    ubfx    w10, w9, #10, #3
    cmp     w10, w11
    b.eq    42f
    mov     w10, #16
    str     w10, [x20, #12]
42: eret
end pending
