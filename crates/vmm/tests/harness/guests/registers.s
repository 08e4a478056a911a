// Fills the vector registers, predicates and pointer authentication keys that the CPU has, and some of the thread's. Rings with event
// 2 and what there is: 1 SVE, 2 pointer authentication. Then rings with event 3 and a bit for each that is not what it was:
// 1 vector registers, 2 predicates or FFR, 4 FPCR or FPSR, 8 keys, 16 what the keys do, 32 the thread's registers; again and
// again, with other values.
//
// Areas of 16 KiB from 0x8031_0000 on: what was there before the ring, and what is there after it. In each, from 0 on the vector
// registers, from 8192 on the predicates and FFR, from 12288 on single registers.
program registers
    mov     x0, #0x330000               // CPACR: FP and SVE
    msr     cpacr_el1, x0
    isb
    mov     x27, #0
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #32, #4
    cbz     x0, 2f
    orr     x27, x27, #1
    mov     x0, #0x1ff                  // the longest vectors that there are
    msr     S3_0_C1_C2_0, x0            // ZCR_EL1
    isb
2:  mrs     x0, id_aa64isar1_el1
    tst     x0, #0xff0                  // APA, API
    b.ne    3f
    mrs     x0, S3_0_C0_C6_2            // ID_AA64ISAR2_EL1
    tst     x0, #0xf000                 // APA3
    b.eq    4f
3:  orr     x27, x27, #2
    mrs     x0, sctlr_el1
    mov     x1, #0xc0000000             // EnIA, EnIB
    orr     x0, x0, x1
    msr     sctlr_el1, x0
    isb
4:  movz    x28, #0x8031, lsl #16
    mov     x21, #0

    // X21 makes the values of each round others.
5:  add     x21, x21, #0x11
    mov     x0, x21
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    add     x0, x0, #3
    dup     v\n\().2d, x0
    .endr
    tbz     x27, #0, 6f
    // Other values in every byte, the 128 bits that V0 to V31 are of them included.
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    add     x0, x0, #5
    index   z\n\().b, w0, #7
    .endr
    and     x1, x21, #7
    // FFR takes a run of ones, as the first-faulting loads leave it.
    add     x1, x1, #3
    whilelo p0.b, xzr, x1
    wrffr   p0.b
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    add     x1, x1, #3
    whilelo p\n\().b, xzr, x1
    .endr
6:  and     x0, x21, #0x1f
    msr     fpsr, x0
    mov     x0, #0xc00000               // round towards zero
    msr     fpcr, x0
    msr     tpidr_el0, x21
    add     x0, x21, #1
    msr     tpidr_el1, x0
    add     x0, x21, #2
    msr     tpidrro_el0, x0
    add     x0, x21, #3
    msr     contextidr_el1, x0
    tbz     x27, #1, 7f
    .macro  key low, seed
    mov     x0, #\seed
    mul     x0, x0, x21
    msr     \low, x0
    .endm
    key     S3_0_C2_C1_0, 0x1234        // APIAKey
    key     S3_0_C2_C1_1, 0x2345
    key     S3_0_C2_C1_2, 0x3456        // APIBKey
    key     S3_0_C2_C1_3, 0x4567
    key     S3_0_C2_C2_0, 0x5678        // APDAKey
    key     S3_0_C2_C2_1, 0x6789
    key     S3_0_C2_C2_2, 0x789a        // APDBKey
    key     S3_0_C2_C2_3, 0x89ab
    key     S3_0_C2_C3_0, 0x9abc        // APGAKey
    key     S3_0_C2_C3_1, 0xabcd
    isb
7:  mov     x4, x28
    bl      .Lregisters_save
    ring    2, w27
    add     x4, x28, #0x4000
    bl      .Lregisters_save

    mov     w8, #0
    mov     x0, #0
    mov     x2, #8192
    mov     w4, #1
    bl      .Lregisters_compare
    mov     x2, #8192 + 4096
    mov     w4, #2
    bl      .Lregisters_compare
    mov     x2, #12288 + 16
    mov     w4, #4
    bl      .Lregisters_compare
    mov     x2, #12288 + 16 + 80
    mov     w4, #8
    bl      .Lregisters_compare
    mov     x2, #12288 + 16 + 80 + 16
    mov     w4, #16
    bl      .Lregisters_compare
    mov     x2, #12288 + 16 + 80 + 16 + 32
    mov     w4, #32
    bl      .Lregisters_compare
    // What was signed before the ring is authentic after it, and is not the bare pointer.
    tbz     x27, #1, 9f
    ldr     x0, [x28, #12288 + 96]
    cmp     x0, x28
    b.ne    8f
    orr     w8, w8, #16
8:  autia   x0, x21
    cmp     x0, x28
    b.eq    9f
    orr     w8, w8, #16
9:  ring    3, w8
    b       5b

    // Writes everything to the area at X4. The vector registers come first, for nothing here may change them.
.Lregisters_save:
    tbnz    x27, #0, 20f
    mov     x5, x4
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    str     q\n, [x5], #16
    .endr
    b       21f
20: .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    str     z\n, [x4, #\n, mul vl]
    .endr
    add     x5, x4, #8192
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    str     p\n, [x5, #\n, mul vl]
    .endr
    // Through P0, which is as it was afterwards.
    rdffr   p0.b
    str     p0, [x5, #16, mul vl]
    ldr     p0, [x5]
21: add     x5, x4, #12288
    mrs     x0, fpcr
    mrs     x1, fpsr
    stp     x0, x1, [x5], #16
    tbz     x27, #1, 22f
    .macro  save_keys low, high
    mrs     x0, \low
    mrs     x1, \high
    stp     x0, x1, [x5], #16
    .endm
    save_keys S3_0_C2_C1_0, S3_0_C2_C1_1
    save_keys S3_0_C2_C1_2, S3_0_C2_C1_3
    save_keys S3_0_C2_C2_0, S3_0_C2_C2_1
    save_keys S3_0_C2_C2_2, S3_0_C2_C2_3
    save_keys S3_0_C2_C3_0, S3_0_C2_C3_1
    mov     x0, x28
    pacia   x0, x21
    mov     x1, x28
    pacib   x1, x21
    stp     x0, x1, [x5], #16
    b       23f
22: add     x5, x5, #96
23: mrs     x0, tpidr_el0
    mrs     x1, tpidr_el1
    stp     x0, x1, [x5], #16
    mrs     x0, tpidrro_el0
    mrs     x1, contextidr_el1
    stp     x0, x1, [x5], #16
    ret

    // Compares both areas from X0 to X2, which X0 is then, and sets the bits of W4 in W8 where they differ.
.Lregisters_compare:
    add     x1, x28, x0
    add     x3, x1, #0x4000
    ldr     x5, [x1]
    ldr     x6, [x3]
    cmp     x5, x6
    b.eq    30f
    orr     w8, w8, w4
30: add     x0, x0, #8
    cmp     x0, x2
    b.ne    .Lregisters_compare
    ret
end registers
