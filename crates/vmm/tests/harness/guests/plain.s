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
end counter

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
end writer

// Loads a pair from a device: an access without a syndrome.
program no_syndrome
    ldp     w0, w1, [x19]
2:  b       2b
end no_syndrome

// Runs on without ever ringing.
program silent
2:  wfi
    b       2b
end silent

// Writes 64 pages, each 128 KiB from the next, and rings with the count of rings; reads the pages; rings again.
program reader
    movz    x2, #0x8100, lsl #16
    mov     w3, #64
2:  str     w3, [x2]
    add     x2, x2, #0x20, lsl #12
    subs    w3, w3, #1
    b.ne    2b
    mov     w21, #0
3:  add     w21, w21, #1
    str     w21, [x19, #0xc]
    mov     w1, #2
    str     w1, [x19, #0x10]
    movz    x2, #0x8100, lsl #16
    mov     w3, #64
4:  ldr     w4, [x2]
    cmp     w4, w3
    b.ne    5f
    add     x2, x2, #0x20, lsl #12
    subs    w3, w3, #1
    b.ne    4b
    b       3b
5:  mov     w1, #4              // it was not what was written: failed
    str     w1, [x19, #0x10]
    b       5b
end reader
