//! What a network card is plugged into, opened here because the VMM gets descriptors only.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::failure::Failure;

/// linux/if_tun.h.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

/// A link that is not open yet.
#[derive(Debug)]
pub enum Link {
    /// Path of a Unix stream socket that somebody listens on.
    Socket(String),
    /// Name of a tap interface.
    Tap(String),
}

impl Link {
    /// The one that was chosen, if any.
    ///
    /// # Errors
    /// FIRN_VMM_OPTIONS for both.
    pub fn choose(socket_path: Option<String>, tap_name: Option<String>) -> Result<Option<Self>, Failure> {
        match (socket_path, tap_name) {
            (None, None) => Ok(None),
            (Some(path), None) => Ok(Some(Self::Socket(path))),
            (None, Some(name)) => Ok(Some(Self::Tap(name))),
            (Some(_), Some(_)) => {
                Err(Failure::options("a network card is plugged into a socket or into a tap, not into both"))
            }
        }
    }

    /// Connects or opens it, close-on-exec, without waiting for anybody.
    ///
    /// # Errors
    /// FIRN_IO, naming the socket or the interface.
    pub fn open(&self) -> Result<OwnedFd, Failure> {
        match self {
            Self::Socket(path) => connect_to(path),
            Self::Tap(name) => open_tap(name),
        }
    }
}

fn connect_to(path: &str) -> Result<OwnedFd, Failure> {
    let doing = format!("connect the network card to the socket {path}");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(Failure::io(&doing))?;
    let address = SocketAddrUnix::new(path).map_err(Failure::io(&doing))?;
    match connect(&socket, &address) {
        Ok(()) => Ok(socket),
        Err(Errno::AGAIN) => Err(Failure::new("FIRN_IO", format!("{doing}: too many wait to be accepted"))),
        Err(error) => Err(Failure::io(doing)(error)),
    }
}

fn open_tap(name: &str) -> Result<OwnedFd, Failure> {
    let bytes = CString::new(name).map(CString::into_bytes_with_nul).unwrap_or_default();
    if bytes.len() < 2 || bytes.len() > libc::IFNAMSIZ {
        return Err(Failure::options(format!("{name:?} is no name of an interface: it has 1 to 15 bytes")));
    }
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(Failure::io("open /dev/net/tun for the network card"))?;
    // SAFETY: all zeros is a value of this structure of integers and addresses.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).unwrap_or_default();
    // SAFETY: the kernel reads and writes an `ifreq`, which this is.
    if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) } != 0 {
        let error = std::io::Error::last_os_error();
        return Err(Failure::io(format!("open the tap interface {name} for the network card"))(error));
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_is_connected_to_who_listens_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passt.socket");
        let name = path.to_str().unwrap().to_owned();
        let missing = Link::Socket(name.clone()).open().unwrap_err().to_string();
        assert!(missing.starts_with("FIRN_IO: connect the network card to the socket "), "{missing}");

        let listener = UnixListener::bind(&path).unwrap();
        let mut ours = UnixStream::from(Link::Socket(name).open().unwrap());
        ours.write_all(b"frame").unwrap();
        let mut received = [0; 5];
        listener.accept().unwrap().0.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"frame");
    }

    #[test]
    fn two_links_and_names_that_none_has_are_refused() {
        assert!(Link::choose(None, None).unwrap().is_none());
        let both = Link::choose(Some("a".to_owned()), Some("b".to_owned())).unwrap_err();
        assert!(both.to_string().starts_with("FIRN_VMM_OPTIONS: "), "{both}");
        for name in ["", "sixteen-bytes-xx", "nul\0"] {
            let error = Link::Tap(name.to_owned()).open().unwrap_err().to_string();
            assert!(error.starts_with("FIRN_VMM_OPTIONS: "), "{error}");
        }
    }
}
