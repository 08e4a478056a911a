//! The lists of system calls, with what their arguments must be where that matters.

/// A system call that is allowed if all tests hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub number: i64,
    pub arguments: Vec<Argument>,
}

/// A test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Argument {
    /// Counted from 0.
    pub index: u8,
    pub test: Test,
    /// Whether all 64 bits are looked at; the kernel takes many arguments as an `int` and ignores the others.
    pub wide: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// It is this value.
    Is(u64),
    /// None of these bits is set.
    LacksBits(u64),
}

impl Call {
    pub(super) fn any(number: i64) -> Self {
        Self { number, arguments: Vec::new() }
    }

    fn with(number: i64, index: u8, value: u64) -> Self {
        Self { number, arguments: vec![is(index, value)] }
    }
}

const fn is(index: u8, value: u64) -> Argument {
    Argument { index, test: Test::Is(value), wide: false }
}

/// The signals that threads send each other: the one that stops a vCPU, and an abort's.
fn signals() -> [u64; 2] {
    [unsigned(vmm_sys_util::signal::SIGRTMIN()), unsigned(libc::SIGABRT)]
}

/// What every thread may do: memory without executable pages, locks, time, and its own end.
fn common(pid: u64) -> Vec<Call> {
    let mut calls: Vec<Call> = [
        libc::SYS_read,
        libc::SYS_write,
        // Layers, and disks that the guest reads and writes.
        libc::SYS_pread64,
        libc::SYS_preadv,
        libc::SYS_pwritev,
        libc::SYS_close,
        // The agent stream and the network, which the standard library of some versions reads and writes so.
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_shutdown,
        libc::SYS_ppoll,
        // Rates to which devices are held.
        libc::SYS_timerfd_settime,
        // What the C library's allocator asks before it gives a further thread a heap of its own.
        libc::SYS_sched_getaffinity,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_futex,
        // On a host whose clock cannot be read without a call.
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(Call::any)
    .collect();
    let tgkill = |signal| Call { number: libc::SYS_tgkill, arguments: vec![is(0, pid), is(2, signal)] };
    calls.extend(signals().map(tgkill));
    // An abort restores the signal's default first.
    calls.push(Call::with(libc::SYS_rt_sigaction, 0, unsigned(libc::SIGABRT)));
    // What a debug build of the standard library asks of each file that it closes.
    calls.push(fcntl(libc::F_GETFD));
    calls.push(Call { number: libc::SYS_mprotect, arguments: vec![not_executable()] });
    // What the C library's allocator gives back, and the stack of a thread that ends.
    calls.push(advice(libc::MADV_DONTNEED));
    calls
}

fn fcntl(command: libc::c_int) -> Call {
    Call::with(libc::SYS_fcntl, 1, unsigned(command))
}

fn advice(advice: libc::c_int) -> Call {
    Call::with(libc::SYS_madvise, 2, unsigned(advice))
}

/// The protection, an argument of mmap and of mprotect, is not executable.
fn not_executable() -> Argument {
    Argument { index: 2, test: Test::LacksBits(unsigned(libc::PROT_EXEC)), wide: false }
}

/// What a vCPU thread may do: run the vCPU, and the work of the devices that the guest asks for.
pub(super) fn vcpu(pid: u64) -> Vec<Call> {
    let mut calls: Vec<Call> = VCPU_IOCTLS.iter().map(|request| ioctl(*request)).collect();
    calls.extend(common(pid));
    calls.push(anonymous_memory());
    calls
}

/// Memory for the allocator, and none of a file.
fn anonymous_memory() -> Call {
    Call { number: libc::SYS_mmap, arguments: vec![not_executable(), is(4, 0xffff_ffff)] }
}

/// What a thread that does the work of disks may do beside memory and locks: reads and writes of what is open, making that durable, and
/// the interrupt that says so.
pub(super) fn disk(pid: u64) -> Vec<Call> {
    let mut calls = vec![ioctl(IRQ_LINE), Call::any(libc::SYS_fdatasync)];
    calls.extend(common(pid));
    calls.push(anonymous_memory());
    calls
}

/// What the main thread may do, and those that it starts before they confine themselves further.
pub(super) fn main(pid: u64) -> Vec<Call> {
    let mut calls: Vec<Call> = VCPU_IOCTLS.iter().chain(MAIN_IOCTLS).map(|request| ioctl(*request)).collect();
    calls.extend(common(pid));
    calls.extend(
        [
            libc::SYS_recvmsg,
            libc::SYS_sendmsg,
            libc::SYS_epoll_create1,
            libc::SYS_epoll_ctl,
            libc::SYS_epoll_pwait,
            libc::SYS_eventfd2,
            libc::SYS_timerfd_create,
            // What a disk's thread inherits.
            libc::SYS_fdatasync,
            // A scratch disk is one microVM's.
            libc::SYS_flock,
            // What a network is plugged into.
            libc::SYS_getsockopt,
            libc::SYS_fstat,
            libc::SYS_lseek,
            // A snapshot that is written.
            libc::SYS_ftruncate,
            libc::SYS_pwrite64,
            // A thread that starts.
            libc::SYS_set_robust_list,
            libc::SYS_rseq,
            // Answered ENOSYS by a filter of its own.
            libc::SYS_clone3,
        ]
        .map(Call::any),
    );
    calls.push(Call { number: libc::SYS_mmap, arguments: vec![not_executable()] });
    calls.extend(
        [
            libc::MADV_DONTFORK,
            libc::MADV_DOFORK,
            libc::MADV_DONTDUMP,
            libc::MADV_UNMERGEABLE,
            libc::MADV_NOHUGEPAGE,
            libc::MADV_RANDOM,
            libc::MADV_POPULATE_WRITE,
        ]
        .map(advice),
    );
    calls.extend([libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC].map(fcntl));
    // A thread, with the flags that the C library uses, and no process.
    calls.push(Call {
        number: libc::SYS_clone,
        arguments: vec![Argument { index: 0, test: Test::Is(unsigned(THREAD)), wide: true }],
    });
    calls.push(Call::with(libc::SYS_prctl, 0, unsigned(libc::PR_SET_NAME)));
    // A thread that confines itself further.
    calls.push(Call::with(libc::SYS_prctl, 0, unsigned(libc::PR_SET_NO_NEW_PRIVS)));
    calls.push(Call::with(libc::SYS_seccomp, 0, u64::from(libc::SECCOMP_SET_MODE_FILTER)));
    let [stop, _] = signals();
    calls.extend([stop, SIGSETXID].map(|signal| Call::with(libc::SYS_rt_sigaction, 0, signal)));
    #[cfg(target_arch = "x86_64")]
    calls.push(Call::any(libc::SYS_poll));
    calls
}

/// For which the C library installs a handler when it starts the first thread.
const SIGSETXID: u64 = 33;

const THREAD: libc::c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// KVM_IRQ_LINE
const IRQ_LINE: u32 = 0x4008_ae61;

/// The ioctls of vCPU threads. The one that is called most comes first: a filter is read from the top.
const VCPU_IOCTLS: &[u32] = &[
    0xae80, // KVM_RUN
    IRQ_LINE,
];

/// The ioctls of the main thread.
const MAIN_IOCTLS: &[u32] = &[
    0x4010_aeab, // KVM_GET_ONE_REG
    0x4010_aeac, // KVM_SET_ONE_REG
    0x4018_aee1, // KVM_SET_DEVICE_ATTR
    0x4018_aee2, // KVM_GET_DEVICE_ATTR
    0xae00,      // KVM_GET_API_VERSION
    0xae01,      // KVM_CREATE_VM
    0xae03,      // KVM_CHECK_EXTENSION
    0xae04,      // KVM_GET_VCPU_MMAP_SIZE
    0xae41,      // KVM_CREATE_VCPU
    #[cfg(feature = "test-support")]
    0x4010_ae42, // KVM_GET_DIRTY_LOG
    0x4020_ae46, // KVM_SET_USER_MEMORY_REGION
    0x8004_ae98, // KVM_GET_MP_STATE
    0x8040_ae9f, // KVM_GET_VCPU_EVENTS
    0x4004_ae99, // KVM_SET_MP_STATE
    0x4020_aeae, // KVM_ARM_VCPU_INIT
    0x8020_aeaf, // KVM_ARM_PREFERRED_TARGET
    0xc008_aeb0, // KVM_GET_REG_LIST
    0x4004_aec2, // KVM_ARM_VCPU_FINALIZE
    0xc00c_aee0, // KVM_CREATE_DEVICE
    0xc060_6610, // PAGEMAP_SCAN
    0x0000_5421, // FIONBIO
    0x8004_54d2, // TUNGETIFF
    0x4004_54d0, // TUNSETOFFLOAD
    0x8004_54d7, // TUNGETVNETHDRSZ
];

fn ioctl(request: u32) -> Call {
    Call::with(libc::SYS_ioctl, 1, u64::from(request))
}

/// The bits of a constant that C declares as `int`.
fn unsigned(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}
