//! `firn-vmm`: the process of one microVM. It is started by a controller, with a control socket as its standard input, and with the jail
//! that it shall enter on its command line.

#[cfg(target_arch = "aarch64")]
fn main() -> std::process::ExitCode {
    use std::io::Write;
    use std::os::fd::{AsFd, BorrowedFd};

    use firn_vmm::control::{ControlSocket, Event, Message};
    use firn_vmm::error::Result;
    use firn_vmm::jail::{self, JailOptions};
    use firn_vmm::kvm::Kvm;
    use firn_vmm::server::serve;
    use firn_vmm::{ErrorCode, VmmError};

    fn own_socket() -> Result<ControlSocket> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        socket
            .map(ControlSocket::from_fd)
            .map_err(VmmError::wrap(ErrorCode::Io, "take over the control socket"))
    }

    /// What fails before the first request has no response to be told in.
    fn jailed(socket: &ControlSocket) -> Result<Option<(Result<Kvm>, jail::Inside)>> {
        let options = JailOptions::from_arguments(std::env::args_os().skip(1))?;
        let kvm = Kvm::open();
        let announce = |pid, pidfd: BorrowedFd<'_>| socket.send(&Message::Successor { pid }, &[pidfd]);
        Ok(jail::enter(&options, announce)?.map(|inside| (kvm, inside)))
    }

    let outcome = jail::close_inherited().and_then(|()| own_socket()).and_then(|socket| {
        match jailed(&socket) {
            // Another process has taken the place of this one.
            Ok(None) => Ok(()),
            Ok(Some((kvm, inside))) => serve(socket, kvm, inside),
            Err(error) => {
                socket.send(&Message::Event(Event::Failed(error.clone())), &[])?;
                Err(error)
            }
        }
    });
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // The controller keeps the end of this for its own error message; if it is gone there is nobody to tell.
            let _nobody = writeln!(std::io::stderr(), "{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn main() -> std::process::ExitCode {
    use std::io::Write;

    let _nobody =
        writeln!(std::io::stderr(), "FIRN_KVM_UNAVAILABLE: firn-vmm runs on ARM machines with KVM only");
    std::process::ExitCode::FAILURE
}
