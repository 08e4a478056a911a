//! `firn-vmm`: the process of one microVM. It is started by a controller, with a control socket as its standard input.

#[cfg(target_arch = "aarch64")]
fn main() -> std::process::ExitCode {
    use std::io::Write;
    use std::os::fd::AsFd;

    use firn_vmm::control::{ControlSocket, serve};
    use firn_vmm::{ErrorCode, VmmError, process};

    let outcome = process::confine().and_then(|kept| {
        let socket = std::io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(VmmError::wrap(ErrorCode::Io, "take over the control socket"))?;
        serve(ControlSocket::from_fd(socket), kept)
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
