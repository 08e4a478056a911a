// Does what the test wrote behind the image, at 0x8020_1000: steps of a word that says what, a word, and an address of 64 bits.
// 1, 2 and 3 store the word, its lower half or its lowest byte; 4 waits until there is the half word and 6 until there is the word; 5
// rings with the word for an event and what is at the address for a detail; 0 is the end.
program script
    movz    x22, #0x8020, lsl #16
    add     x22, x22, #1, lsl #12
2:  ldp     w0, w1, [x22]
    ldr     x2, [x22, #8]
    add     x22, x22, #16
    dsb     sy
    cmp     w0, #1
    b.eq    4f
    cmp     w0, #2
    b.eq    5f
    cmp     w0, #3
    b.eq    6f
    cmp     w0, #4
    b.eq    7f
    cmp     w0, #5
    b.eq    8f
    cmp     w0, #6
    b.eq    9f
3:  wfi
    b       3b
4:  str     w1, [x2]
    b       2b
5:  strh    w1, [x2]
    b       2b
6:  strb    w1, [x2]
    b       2b
7:  ldrh    w3, [x2]
    cmp     w3, w1
    b.ne    7b
    b       2b
8:  ldr     w3, [x2]
    str     w3, [x19, #0xc]
    str     w1, [x19, #0x10]
    b       2b
9:  ldr     w3, [x2]
    cmp     w3, w1
    b.ne    9b
    b       2b
end script
