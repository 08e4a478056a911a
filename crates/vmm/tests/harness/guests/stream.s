// A vsock driver of the simplest kind. Connects to the agent's port, and rings with event 2 for each packet that it gets: what it is
// for, and from bit 8 on the first byte of its payload. To a SHUTDOWN it answers with a RESET before it rings, and connects
// anew after that.
//
// Each of three queues has 64 KiB from 0x8032_0000 on: descriptors, from 4096 on the available ring, from 8192 on the used ring,
// from 16384 on eight buffers of 4096 bytes.
program stream
    movz    x22, #0x0a06, lsl #16       // slot 6
    str     wzr, [x22, #0x70]           // Status, one step after the other
    mov     w0, #1
    str     w0, [x22, #0x70]
    mov     w0, #3
    str     w0, [x22, #0x70]
    mov     w0, #1
    str     w0, [x22, #0x24]            // DriverFeatures: VIRTIO_F_VERSION_1
    str     w0, [x22, #0x20]
    mov     w0, #0xb
    str     w0, [x22, #0x70]
    movz    x23, #0x8032, lsl #16
    mov     x3, #0
    mov     x4, x23
1:  str     w3, [x22, #0x30]            // QueueSel
    mov     w0, #8
    str     w0, [x22, #0x38]            // QueueNum
    str     w4, [x22, #0x80]            // addresses of descriptors and rings
    add     w0, w4, #1, lsl #12
    str     w0, [x22, #0x90]
    add     w0, w4, #2, lsl #12
    str     w0, [x22, #0xa0]
    mov     w0, #1
    str     w0, [x22, #0x44]            // QueueReady
    add     x4, x4, #0x10, lsl #12
    add     x3, x3, #1
    cmp     x3, #3
    b.ne    1b
    mov     w0, #0xf
    str     w0, [x22, #0x70]

    // Eight buffers to receive into.
    add     x24, x23, #1, lsl #12       // available ring
    add     x25, x23, #2, lsl #12       // used ring
    add     x27, x23, #4, lsl #12       // buffers
    mov     x3, #0
2:  add     x4, x23, x3, lsl #4
    add     x5, x27, x3, lsl #12
    str     x5, [x4]
    mov     w0, #0x1000
    str     w0, [x4, #8]
    mov     w0, #2                      // the device writes
    str     w0, [x4, #12]
    add     x4, x24, x3, lsl #1
    strh    w3, [x4, #4]
    add     x3, x3, #1
    cmp     x3, #8
    b.ne    2b
    dmb     ish
    strh    w3, [x24, #2]
    dsb     sy
    str     wzr, [x22, #0x50]           // QueueNotify
    mov     w21, #0                     // packets received
    mov     w28, #0                     // packets sent
3:  mov     w2, #1                      // REQUEST
    bl      .Lstream_send

4:  ldrh    w0, [x25, #2]
    cmp     w0, w21
    b.eq    4b
    dmb     ish
    and     x0, x21, #7
    add     x1, x25, x0, lsl #3
    ldr     w3, [x1, #4]                // which buffer
    add     x4, x27, x3, lsl #12
    ldrh    w5, [x4, #30]               // operation
    ldrb    w6, [x4, #44]
    add     x0, x24, x0, lsl #1
    strh    w3, [x0, #4]
    add     w21, w21, #1
    and     w21, w21, #0xffff
    add     w0, w21, #8
    dmb     ish
    strh    w0, [x24, #2]
    dsb     sy
    str     wzr, [x22, #0x50]
    cmp     w5, #4                      // SHUTDOWN
    b.ne    5f
    mov     w2, #3                      // RESET
    bl      .Lstream_send
    ring    2, w5
    b       3b
5:  cmp     w5, #5                      // data
    csel    w6, w6, wzr, eq
    orr     w5, w5, w6, lsl #8
    ring    2, w5
    b       4b

    // Sends a packet with the operation in W2, from the only buffer of the second queue.
.Lstream_send:
    add     x10, x23, #0x10, lsl #12
    add     x11, x10, #1, lsl #12       // available ring
    add     x12, x10, #4, lsl #12       // buffer
    mov     x0, #3
    mov     x1, #2
    stp     x0, x1, [x12]               // from the guest to the host
    mov     w0, #77
    mov     w1, #1024
    stp     w0, w1, [x12, #16]
    mov     w1, #1
    str     wzr, [x12, #24]
    strh    w1, [x12, #28]              // a stream
    strh    w2, [x12, #30]
    movz    w1, #1, lsl #16
    stp     wzr, w1, [x12, #32]         // flags; room for 64 KiB
    str     wzr, [x12, #40]
    str     x12, [x10]
    mov     w0, #44
    str     x0, [x10, #8]
    and     x0, x28, #7
    add     x0, x11, x0, lsl #1
    strh    wzr, [x0, #4]
    add     w28, w28, #1
    dmb     ish
    strh    w28, [x11, #2]
    dsb     sy
    mov     w0, #1
    str     w0, [x22, #0x50]
    ret
end stream
