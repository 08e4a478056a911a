//! The attempts, by name.

use std::io;

use firn_vmm::jail::{ProcFiles, seccomp};

/// What the outcome begins with when nothing outside was reached.
const REFUSED: &str = "refused";

/// Makes the attempt `name`, or `name:argument`, and says what came of it.
pub fn make(name: &str, proc_files: &ProcFiles) -> String {
    let (name, argument) = name.split_once(':').unwrap_or((name, ""));
    let number = || argument.parse::<i64>().unwrap();
    match name {
        "work" => work(proc_files),
        "frame-number" => frame_number(proc_files),
        "open" => outcome(path(argument, |path| {
            unsafe { libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC) }.into()
        })),
        "create" => outcome(path(argument, |path| {
            unsafe { libc::open(path, libc::O_CREAT | libc::O_RDWR, 0o600) }.into()
        })),
        "stat" => outcome(path(argument, |path| {
            let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
            unsafe { libc::stat(path, status.as_mut_ptr()) }.into()
        })),
        "mount" => outcome(i64::from(unsafe {
            libc::mount(c"x".as_ptr(), c"/".as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null())
        })),
        "execve" => outcome(path(argument, |path| {
            let arguments = [path, std::ptr::null()];
            unsafe { libc::execve(path, arguments.as_ptr(), [std::ptr::null()].as_ptr()) }.into()
        })),
        "socket" => outcome(i64::from(unsafe {
            libc::socket(number().try_into().unwrap(), libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)
        })),
        "netlink" => outcome(i64::from(unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0)
        })),
        "abstract-connect" => connect_abstract(argument),
        "tcp-connect" => std::net::TcpStream::connect(("127.0.0.1", argument.parse().unwrap()))
            .map_or_else(|error| format!("{REFUSED}: {error}"), |_| "reached".to_owned()),
        "kill" => outcome(i64::from(unsafe { libc::kill(number().try_into().unwrap(), 0) })),
        "ptrace" => outcome(unsafe {
            libc::ptrace(libc::PTRACE_ATTACH, libc::pid_t::try_from(number()).unwrap(), 0, 0)
        }),
        "process_vm_readv" => read_other(argument),
        "setuid" => outcome(unsafe { libc::syscall(libc::SYS_setuid, 0) }),
        "setgroups" => outcome(unsafe { libc::syscall(libc::SYS_setgroups, 1, &raw const ROOT) }),
        "fork" => outcome(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }),
        "unshare" => outcome(i64::from(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) })),
        "mmap-exec" => outcome(unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        } as i64),
        "mprotect-exec" => outcome(i64::from(unsafe { mprotect_new_page() })),
        "memfd-exec" => outcome(unsafe { libc::syscall(libc::SYS_memfd_create, c"x".as_ptr(), 0) }),
        "tgkill-other" => {
            outcome(unsafe { libc::syscall(libc::SYS_tgkill, number(), number(), libc::SIGTERM) })
        }
        "ioctl" => outcome(i64::from(unsafe { libc::ioctl(0, number().try_into().unwrap(), 0) })),
        "madvise" => outcome(unsafe { libc::syscall(libc::SYS_madvise, 0, 0, number()) }),
        "syscall" => outcome(unsafe { libc::syscall(number(), -1, -1, -1, -1, -1, -1) }),
        "vcpu-syscall" => {
            let number = number();
            in_vcpu_thread(move || outcome(unsafe { libc::syscall(number, -1, -1, -1, -1, -1, -1) }))
        }
        "fault" => fault(),
        "vcpu-fault" => in_vcpu_thread(fault),
        other => panic!("there is no attempt {other}"),
    }
}

/// Makes an attempt in a thread that is confined as those of vCPUs are.
fn in_vcpu_thread(attempt: impl FnOnce() -> String + Send + 'static) -> String {
    let thread = std::thread::spawn(|| {
        seccomp::confine_vcpu_thread().unwrap();
        attempt()
    });
    thread.join().unwrap()
}

/// Writes to the first page of the address space, where nothing is mapped.
fn fault() -> String {
    unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(0) };
    "survived".to_owned()
}

static ROOT: libc::gid_t = 0;

fn outcome(result: i64) -> String {
    match result {
        -1 => format!("{REFUSED}: {}", io::Error::last_os_error()),
        _ => format!("reached: {result}"),
    }
}

fn path(text: &str, call: impl FnOnce(*const libc::c_char) -> i64) -> i64 {
    let text = std::ffi::CString::new(text).unwrap();
    call(text.as_ptr())
}

/// What a VMM does all day must go on working: threads, memory, locks, and /proc by descriptors that were opened before, which show the present at every
/// reading.
fn work(proc_files: &ProcFiles) -> String {
    let thread = std::thread::spawn(|| {
        seccomp::confine_vcpu_thread().unwrap();
        vec![1_u8; 8 << 20].iter().map(|byte| u64::from(*byte)).sum::<u64>()
    });
    let sum = thread.join().unwrap();
    let before = (proc_files.private_bytes().unwrap(), proc_files.fault_counts().unwrap().0);
    let touched = vec![1_u8; 8 << 20];
    let after = (proc_files.private_bytes().unwrap(), proc_files.fault_counts().unwrap().0);
    let has_grown = after.0 >= before.0 + (4 << 20);
    format!("worked: {} {has_grown} {}", sum == touched.len() as u64, after.1 > before.1)
}

/// Looks up in /proc/self/pagemap where a page of this process lies in the host's memory: bits 0 to 54 of a page that is present.
fn frame_number(proc_files: &ProcFiles) -> String {
    use std::os::unix::fs::FileExt;
    let page = vec![1_u8; 1 << 20];
    let number = page.as_ptr().addr() as u64 / rustix::param::page_size() as u64 + 1;
    let mut entry = [0; 8];
    proc_files.pagemap.read_exact_at(&mut entry, number * 8).unwrap();
    let entry = u64::from_le_bytes(entry);
    let outcome = if entry << 9 == 0 { REFUSED } else { "reached" };
    format!("{outcome}: present {}", entry >> 63)
}

fn connect_abstract(name: &str) -> String {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixStream::connect_addr(&address)
        .map_or_else(|error| format!("{REFUSED}: {error}"), |_| "reached".to_owned())
}

/// Reads the byte at `PID@ADDRESS`.
fn read_other(argument: &str) -> String {
    let (pid, address) = argument.split_once('@').unwrap();
    let (pid, address) = (pid.parse().unwrap(), address.parse().unwrap());
    let mut byte = 0_u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: 1 };
    outcome(unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) } as i64)
}

unsafe fn mprotect_new_page() -> libc::c_int {
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC)
    }
}
