//! The system calls that no crate in use wraps safely.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `RNDADDENTROPY`: `_IOW('R', 0x03, int[2])`, from linux/random.h.
const RNDADDENTROPY: u32 = 0x4008_5203;
/// `RNDRESEEDCRNG`: `_IO('R', 0x07)`, from linux/random.h.
const RNDRESEEDCRNG: u32 = 0x5207;

/// Bytes of one [`add_entropy`] call at most.
pub const ENTROPY_CAPACITY: usize = 64;

/// `struct rand_pool_info` with room for [`ENTROPY_CAPACITY`] bytes.
#[repr(C)]
struct EntropyRequest {
    entropy_count_bits: libc::c_int,
    buffer_size_bytes: libc::c_int,
    buffer: [u8; ENTROPY_CAPACITY],
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Mixes bytes into the kernel's pool, credits them as full entropy, and makes the generator use them at once.
///
/// `random` is an open `/dev/urandom`. Needs CAP_SYS_ADMIN.
pub fn add_entropy(random: BorrowedFd<'_>, bytes: &[u8; ENTROPY_CAPACITY]) -> io::Result<()> {
    let request = EntropyRequest { entropy_count_bits: 512, buffer_size_bytes: 64, buffer: *bytes };
    // SAFETY: the request is laid out as struct rand_pool_info, and lives until the call returns; the kernel only reads it.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY as _, &raw const request) })?;
    // SAFETY: this request has no argument.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG as _) })?;
    Ok(())
}

/// Connects a stream socket to a port of the host's vsock address space.
pub fn connect_vsock(cid: u32, port: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let raw = check(unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all-zero is a valid sockaddr_vm.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::sa_family_t::try_from(libc::AF_VSOCK).map_err(io::Error::other)?;
    address.svm_cid = cid;
    address.svm_port = port;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_vm>()).map_err(io::Error::other)?;
    // SAFETY: the address is a sockaddr_vm of the length given, and lives until the call returns.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// Brings the loopback interface up.
pub fn enable_loopback() -> io::Result<()> {
    // SAFETY: no pointers.
    let raw = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (target, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *target = libc::c_char::try_from(*byte).map_err(io::Error::other)?;
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
    // SAFETY: the request is an ifreq with a name that ends in a zero byte, and lives until the call returns.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) })?;
    Ok(())
}

/// Blocks SIGCHLD and returns a descriptor that becomes readable when a child ends. Children start with the signal unblocked.
pub fn child_events() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is used, and lives until the calls return.
    let raw = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
    };
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Makes the kernel hand out `length` bytes of zeroed memory at once; dropping the value gives them back, still zero.
pub struct ZeroedMemory {
    address: *mut std::ffi::c_void,
    length: usize,
}

impl ZeroedMemory {
    /// Maps and populates `length` bytes.
    pub fn populate(length: usize) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let address = unsafe {
            mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, flags)
        }?;
        Ok(Self { address, length })
    }
}

impl Drop for ZeroedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to this value, and nothing ever pointed into it.
        let _ = unsafe { rustix::mm::munmap(self.address, self.length) };
    }
}
