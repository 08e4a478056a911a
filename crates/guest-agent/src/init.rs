//! What the binary does: boot, connect, serve, power off.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use rustix::system::{RebootCommand, reboot, sysinfo};

use crate::AgentError;
use crate::guest_machine::GuestMachine;
use crate::manifest::{MANIFEST_PATH, Manifest};
use crate::mounts::{APP_FOLDER, mount_scratch_disk, mount_system};
use crate::runtime_api::RUNTIME_API_PORT;
use crate::runtime_setup::RuntimeSetup;
use crate::session::Session;
use crate::sys::enable_loopback;
use crate::vsock::connect_to_host;

/// User and group of the function.
const FUNCTION_USER: u32 = 1000;

/// Runs as the init process of a guest, and powers the machine off at the end.
pub fn run_as_init() {
    if let Err(error) = serve() {
        // The kernel's log goes to the console: the last resort when there is no stream.
        let _ = fs::write("/dev/kmsg", format!("<2>firn-agent: {error}\n"));
    }
    // Also an agent started by hand on some other machine gets here: reboot() needs privileges, so nothing happens there.
    if rustix::process::getpid().is_init() {
        let _ = reboot(RebootCommand::PowerOff);
    }
}

fn serve() -> Result<(), AgentError> {
    if !rustix::process::getpid().is_init() {
        return Err(AgentError::Unexpected(
            "firn-agent is the init process of a guest: start it as PID 1".into(),
        ));
    }
    mount_system()?;
    let scratch = mount_scratch_disk();
    let loopback = enable_loopback();
    let (machine, missing_doorbell) = GuestMachine::assemble()?;
    let manifest = Manifest::read(Path::new(MANIFEST_PATH));
    let setup = manifest.as_ref().map(set_up).unwrap_or_default();
    // Started first: the runtime loads while the stream connects. If it cannot be, the host is told so.
    let runtime = manifest.and_then(|_| setup.start_at_boot(Some(machine.open_function_cgroup()?)));
    let stream = connect_to_host()?;
    let mut session = Session::new(machine, stream, setup, runtime)?;
    for problem in [missing_doorbell, scratch.err()].into_iter().flatten() {
        session.note(&problem.to_string());
    }
    if let Err(reason) = loopback {
        session.note(&format!("FIRN_AGENT: the loopback interface does not come up: {reason}"));
    }
    session.run()
}

/// How to start what the image has.
fn set_up(manifest: &Manifest) -> RuntimeSetup {
    let info = sysinfo();
    let memory_mib = info.totalram.saturating_mul(u64::from(info.mem_unit)) >> 20;
    let processors = available_parallelism().map_or(1, |processors| processors.get());
    let environment = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/tmp"),
        ("TMPDIR", "/tmp"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
    ];
    RuntimeSetup {
        environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
        user: Some(FUNCTION_USER),
        root: APP_FOLDER.into(),
        api_port: RUNTIME_API_PORT,
        ..RuntimeSetup::new(manifest, memory_mib, processors)
    }
}
