//! What the binary does: boot, connect, serve, power off.

use std::ffi::OsString;
use std::fs;
use std::thread::available_parallelism;

use rustix::system::{RebootCommand, reboot, sysinfo};

use crate::AgentError;
use crate::guest_machine::GuestMachine;
use crate::mounts::{APP_FOLDER, mount_system};
use crate::runtime_process::{RuntimeProcess, RuntimeSpec};
use crate::session::Session;
use crate::sys::enable_loopback;
use crate::vsock::connect_to_host;

/// User and group of the function.
const FUNCTION_USER: u32 = 1000;

const NODE: &str = "/usr/bin/node";
const RUNTIME: &str = "/opt/firn/runtime/runtime.js";

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
    let loopback = enable_loopback();
    let (machine, missing_doorbell) = GuestMachine::assemble()?;
    // Started first: the runtime loads while the stream connects.
    let runtime = RuntimeProcess::start(node_runtime(&machine)?)?;
    let stream = connect_to_host()?;
    let mut session = Session::new(machine, stream, runtime)?;
    if let Some(reason) = missing_doorbell {
        session.note(&reason.to_string());
    }
    if let Err(reason) = loopback {
        session.note(&format!("FIRN_AGENT: the loopback interface does not come up: {reason}"));
    }
    session.run()
}

fn node_runtime(machine: &GuestMachine) -> Result<RuntimeSpec, AgentError> {
    let info = sysinfo();
    let memory_mib = info.totalram.saturating_mul(u64::from(info.mem_unit)) >> 20;
    let mut arguments = vec![
        "--expose-gc".into(),
        // No thread that waits for a debugger.
        "--disable-sigusr1".into(),
        // What was compiled before a snapshot must still be there in its clones: V8 would drop it as unused for some time.
        "--no-flush-bytecode".into(),
        // A young generation that does not grow: every clone would write to all of it.
        "--min-semi-space-size=1".into(),
        "--max-semi-space-size=2".into(),
        // The rest is for code, buffers and the kernel.
        format!("--max-old-space-size={}", memory_mib * 3 / 5),
        RUNTIME.into(),
        format!("--root={APP_FOLDER}"),
    ];
    if available_parallelism().is_ok_and(|processors| processors.get() == 1) {
        // Helper threads help nobody on one processor. Without them an invocation touches a fifth fewer pages.
        arguments.splice(0..0, ["--single-threaded".into(), "--v8-pool-size=1".into()]);
    }
    let environment = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/tmp"),
        ("TMPDIR", "/tmp"),
        ("LANG", "C.UTF-8"),
        ("TZ", "UTC"),
    ];
    Ok(RuntimeSpec {
        program: NODE.into(),
        arguments: arguments.into_iter().map(OsString::from).collect(),
        environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
        user: Some(FUNCTION_USER),
        cgroup: Some(machine.open_function_cgroup()?),
    })
}
