// All vCPUs at work. Each counts in a register and in memory, sees to it that time goes forwards for all of them together, takes
// its own timer's interrupt every 31 ms, and passes an SGI on to the next at each. The last vCPU rings when every one has
// taken three timer interrupts and three SGIs since it rang before, with the count of rings: 1, 2, 3, … Something wrong
// makes it ring event 4 with a bit each: 1 a register lost, 2 time went backwards, 4 an SGI from another vCPU than the one before.
//
// Variables: 0 the latest time that any vCPU saw, 8 what is wrong, 24 the number of vCPUs; from 4096 on 256 bytes a vCPU: 0 the
// count, 8 timer interrupts, 16 SGIs, 24 and 32 what these two were at the last ring.
program smp
    mov     x21, #0
    mov     x28, #1
1:  cpu_on  x28, 3f
    cbnz    x0, 2f
    add     x28, x28, #1
    cmp     x28, #8
    b.ne    1b
2:  str     x28, [x20, #24]
    b       4f
3:  mov     x21, x0
    mmu_on
3:  ldr     x28, [x20, #24]
    cbz     x28, 3b
4:  add     x22, x20, #4096
    add     x22, x22, x21, lsl #8
    adr     x0, .Lsmp_vectors
    msr     vbar_el1, x0
    movz    x0, #0x0800, lsl #16        // timer, 27
    orr     x0, x0, #2                  // SGI 1
    gic_init
    mrs     x0, cntfrq_el0
    lsr     x0, x0, #5
    msr     cntv_tval_el0, x0
    mov     x0, #1
    msr     cntv_ctl_el0, x0
    isb
    mov     x29, #0
    mov     x18, #0
    msr     daifclr, #2

5:  ldr     x0, [x22]
    add     x0, x0, #1
    str     x0, [x22]
    add     x29, x29, #1
    mov     w2, #1
    cmp     x0, x29
    b.ne    30f
    ldar    x1, [x20]
    isb
    mrs     x0, cntvct_el0
    mov     w2, #2
    cmp     x0, x1
    b.lo    30f
6:  ldaxr   x1, [x20]
    cmp     x1, x0
    b.hs    7f
    stlxr   w2, x0, [x20]
    cbnz    w2, 6b
7:  add     x0, x21, #1
    cmp     x0, x28
    b.ne    5b

    // The last vCPU: have all of them taken their interrupts?
    ldr     w0, [x20, #8]
    cbnz    w0, 31f
    add     x2, x20, #4096
    mov     x3, #0
8:  ldp     x4, x5, [x2, #8]
    ldp     x6, x7, [x2, #24]
    sub     x4, x4, x6
    sub     x5, x5, x7
    cmp     x4, #3
    b.lo    5b
    cmp     x5, #3
    b.lo    5b
    add     x2, x2, #256
    add     x3, x3, #1
    cmp     x3, x28
    b.ne    8b
    add     w18, w18, #1
    ring    2, w18
    add     x2, x20, #4096
    mov     x3, #0
9:  ldp     x4, x5, [x2, #8]
    stp     x4, x5, [x2, #24]
    add     x2, x2, #256
    add     x3, x3, #1
    cmp     x3, x28
    b.ne    9b
    b       5b

30: str     w2, [x20, #8]
    b       5b
31: ring    4, w0
    b       31b

    vectors .Lsmp_vectors
    acknowledge
    and     w12, w9, #0x3ff
    cmp     w12, #27
    b.ne    21f
    mrs     x10, cntfrq_el0
    lsr     x10, x10, #5
    msr     cntv_tval_el0, x10
    isb
    ldr     x10, [x22, #8]
    add     x10, x10, #1
    str     x10, [x22, #8]
    end_of_interrupt
    add     x12, x21, #1
    cmp     x12, x28
    csel    x12, x12, xzr, ne
    sgi     1, x12
    eret
21: cmp     w12, #1
    b.ne    23f
    ldr     x10, [x22, #16]
    add     x10, x10, #1
    str     x10, [x22, #16]
    cmp     x27, #2
    b.ne    22f
    ubfx    w10, w9, #10, #3            // who sent it
    add     w10, w10, #1
    cmp     w10, w28
    csel    w10, w10, wzr, ne
    cmp     w10, w21
    b.eq    22f
    mov     w10, #4
    str     w10, [x20, #8]
22: end_of_interrupt
23: eret
end smp

// Rings with 1, and then with 2 when the second vCPU, which it starts behind the first ring, has said that it is there. Rings event 4 if PSCI
// does not start it.
program late
    mov     w0, #1
    ring    2, w0
    mov     x28, #1
    cpu_on  x28, 3f
    cbz     w0, 1f
    ring    4, w0
1:  ldr     w0, [x20]
    cbz     w0, 1b
    ring    2, w0
    b       .
3:  mmu_on
    mov     w0, #2
    str     w0, [x20]
    b       .
end late
