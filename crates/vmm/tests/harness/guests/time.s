// Rings again and again, with the low 32 bits of the virtual counter in event 2 and of the physical one in event 3.
program time
2:  isb
    mrs     x0, cntvct_el0
    ring    2, w0
    isb
    mrs     x0, cntpct_el0
    ring    3, w0
    b       2b
end time

// Writes to the last bytes of memory and to the start of each GiB of it, rings with event 2, looks whether it is all there, and
// rings with event 3 and the number of places at which it is not; again and again.
program memory
    add     x26, x26, #0x200, lsl #12   // the end of memory
    mov     x21, #0
2:  add     x21, x21, #1
    mov     x0, x21
    stp     x0, x26, [x26, #-16]
    movz    x1, #0xc000, lsl #16        // the second GiB
    movz    x2, #0x4000, lsl #16
3:  cmp     x1, x26
    b.hs    4f
    stp     x0, x1, [x1]
    add     x1, x1, x2
    b       3b
4:  ring    2, w21
    mov     w8, #0
    ldp     x3, x4, [x26, #-16]
    cmp     x3, x21
    ccmp    x4, x26, #0, eq
    cinc    w8, w8, ne
    movz    x1, #0xc000, lsl #16
5:  cmp     x1, x26
    b.hs    6f
    ldp     x3, x4, [x1]
    cmp     x3, x21
    ccmp    x4, x1, #0, eq
    cinc    w8, w8, ne
    add     x1, x1, x2
    b       5b
6:  ring    3, w8
    b       2b
end memory
