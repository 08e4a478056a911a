// Writes to 8,000 pages, each 8 KiB from the next, and rings.
program scatter
    movz    x2, #0x8100, lsl #16
    mov     w3, #8000
2:  str     w3, [x2]
    add     x2, x2, #2, lsl #12
    subs    w3, w3, #1
    b.ne    2b
    mov     w1, #2
    str     w1, [x19, #0x10]
3:  b       3b
end scatter

// Writes the count of rounds into 64 pages, each 1 MiB from the next, and zeros or writes 64 others; rings with event 2, and
// at once with event 1; again and again. The detail of event 2 is the low half of the counter at the first instruction behind the event 2
// before it, its last two bits replaced by those of the count.
program rounds
    mov     w21, #0
    mov     x5, #0
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
    bfi     w5, w21, #0, #2
    str     w5, [x19, #0xc]
    mov     w1, #2
    str     w1, [x19, #0x10]
    mrs     x5, cntvct_el0
    mov     w1, #1
    str     w1, [x19, #0x10]
    b       2b
end rounds

// Rings; then reads and writes numbers of a xorshift in every width all over sixteen frames, eleven of which are devices',
// every other time among the first 512 bytes of one.
program wild
    mov     w1, #2
    str     w1, [x19, #0x10]
    movz    x21, #0x7c15
    movk    x21, #0x7f4a, lsl #16
    movk    x21, #0x79b9, lsl #32
    movk    x21, #0x9e37, lsl #48
2:  eor     x21, x21, x21, lsl #13
    eor     x21, x21, x21, lsr #7
    eor     x21, x21, x21, lsl #17
    ubfx    x0, x21, #8, #20
    tbz     x21, #7, 3f
    movz    x5, #0x01ff
    movk    x5, #0x000f, lsl #16
    and     x0, x0, x5
3:  and     x0, x0, #0xfffffffffffffff8
    ubfx    x1, x21, #40, #3
    ubfx    x2, x21, #32, #3
    mov     x3, x21
    tbz     x21, #6, 4f
    and     x3, x3, #0xff
4:  add     x0, x0, x19
    cbz     x2, 5f
    cmp     x2, #1
    b.eq    6f
    cmp     x2, #2
    b.eq    7f
    // Words, at both halves of eight bytes, most of the time: that is what registers are.
    and     x1, x1, #4
    add     x0, x0, x1
    cmp     x2, #6
    b.ge    8f
    str     w3, [x0]
    b       2b
8:  ldr     w4, [x0]
    b       2b
5:  strb    w3, [x0, x1]
    ldrb    w4, [x0, x1]
    b       2b
6:  and     x1, x1, #6
    strh    w3, [x0, x1]
    ldrh    w4, [x0, x1]
    b       2b
7:  str     x3, [x0]
    ldr     x4, [x0]
    b       2b
end wild
