//! A tap interface of the host, and a socket that sees what crosses it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// linux/if_tun.h
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const SIOCSIFFLAGS: libc::Ioctl = 0x8914;
/// The EtherType of the tests' frames.
const ETHER_TYPE: u16 = 0x88b5;

pub struct Tap {
    socket: OwnedFd,
}

impl Tap {
    /// A new interface that is up: the descriptor for a VMM, and the host's side of it.
    pub fn create(with_headers: bool) -> (File, Self) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("firn{}x{}", std::process::id() % 100_000, COUNT.fetch_add(1, Ordering::Relaxed));
        let file = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | if with_headers { libc::IFF_VNET_HDR } else { 0 };
        ioctl(&file, TUNSETIFF, &mut request(&name, flags));
        // The host would send frames of its own.
        let _no_ipv6 = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");

        let protocol = i32::from(ETHER_TYPE.to_be());
        // SAFETY: makes a descriptor, which is owned from here on.
        let socket = unsafe {
            let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
            assert!(socket >= 0, "{}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(socket)
        };
        ioctl(&socket, SIOCSIFFLAGS, &mut request(&name, libc::IFF_UP));
        let c_name = std::ffi::CString::new(name).unwrap();
        // SAFETY: the structure is all integers; the calls read it, and the name, as long as we say.
        unsafe {
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET.try_into().unwrap();
            address.sll_protocol = ETHER_TYPE.to_be();
            address.sll_ifindex = libc::if_nametoindex(c_name.as_ptr()).try_into().unwrap();
            let length = size_of::<libc::sockaddr_ll>().try_into().unwrap();
            let bound = libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length);
            assert_eq!(bound, 0, "{}", io::Error::last_os_error());
            let timeout = libc::timeval { tv_sec: 60, tv_usec: 0 };
            let length = size_of::<libc::timeval>().try_into().unwrap();
            let set = libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const timeout).cast(),
                length,
            );
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
        }
        (file, Self { socket })
    }

    /// Sends a frame to the interface's other side, the guest.
    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the buffer is as long as we say.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(usize::try_from(sent).ok(), Some(frame.len()), "{}", io::Error::last_os_error());
    }

    /// The next frame of the guest.
    pub fn receive(&mut self) -> Vec<u8> {
        loop {
            let mut bytes = vec![0; 2000];
            // SAFETY: the structure is all integers; buffers are as long as we say.
            let (length, kind) = unsafe {
                let mut from: libc::sockaddr_ll = std::mem::zeroed();
                let mut from_length = size_of::<libc::sockaddr_ll>().try_into().unwrap();
                let length = libc::recvfrom(
                    self.socket.as_raw_fd(),
                    bytes.as_mut_ptr().cast(),
                    bytes.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut from_length,
                );
                (length, from.sll_pkttype)
            };
            let length = usize::try_from(length).unwrap_or_else(|_| panic!("{}", io::Error::last_os_error()));
            // The socket sees what it sends, too.
            if kind != libc::PACKET_OUTGOING {
                bytes.truncate(length);
                return bytes;
            }
        }
    }
}

fn request(name: &str, flags: libc::c_int) -> libc::ifreq {
    // SAFETY: all zeros is a value of this structure of integers and addresses.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = flags.try_into().unwrap();
    request
}

fn ioctl(fd: &impl AsRawFd, what: libc::Ioctl, request: &mut libc::ifreq) {
    // SAFETY: both calls read an `ifreq` and may write one, which this is.
    let status = unsafe { libc::ioctl(fd.as_raw_fd(), what, &raw mut *request) };
    assert_eq!(status, 0, "{what:#x}: {}", io::Error::last_os_error());
}
