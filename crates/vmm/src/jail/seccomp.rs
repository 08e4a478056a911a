//! The system calls that each kind of thread may make. Anything else kills the process.
//!
//! The lists are made from what the threads do (`strace -f` of boot, prepare, restore, snapshot, pause, resume and statistics). What is
//! not on them by intention: everything that opens, names or makes a file, socket, process or executable page.
//!
//! The main thread's filter is installed before it reads its first request. The other threads inherit it and add their own, so that a
//! vCPU's, which a guest talks to, can do little, and a disk's the least.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::calls::{self, Argument, Call, Test};
use crate::error::{ErrorCode, Result, VmmError};

/// The filters of the threads of vCPUs and of disks, from the moment on at which the process is jailed.
static VCPU: OnceLock<BpfProgram> = OnceLock::new();
static DISK: OnceLock<BpfProgram> = OnceLock::new();

/// Confines the main thread, and with it every thread that it starts from now on. This process has one thread.
///
/// # Errors
/// FIRN_JAIL_UNAVAILABLE if the kernel has no seccomp filters.
pub fn confine_main_thread() -> Result<()> {
    let pid = u64::from(std::process::id());
    let vcpu = compile(calls::vcpu(pid), SeccompAction::Allow, SeccompAction::KillProcess)?;
    let disk = compile(calls::disk(pid), SeccompAction::Allow, SeccompAction::KillProcess)?;
    let main = compile(calls::main(pid), SeccompAction::Allow, SeccompAction::KillProcess)?;
    // The flags of clone3 are in memory, where a filter cannot look. The C library takes ENOSYS as a cue to use clone.
    let old_clone = compile(
        vec![Call::any(libc::SYS_clone3)],
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        SeccompAction::Allow,
    )?;
    let _set_before = (VCPU.set(vcpu), DISK.set(disk));
    install(&old_clone)?;
    install(&main)
}

/// Confines a vCPU thread, which calls this first. Does nothing in a process that is not jailed.
///
/// # Errors
/// FIRN_JAIL_UNAVAILABLE if the kernel refuses.
pub fn confine_vcpu_thread() -> Result<()> {
    VCPU.get().map_or(Ok(()), install)
}

/// Confines a thread that does the work of disks, which calls this first. Does nothing in a process that is not jailed.
///
/// # Errors
/// FIRN_JAIL_UNAVAILABLE if the kernel refuses.
pub fn confine_disk_thread() -> Result<()> {
    DISK.get().map_or(Ok(()), install)
}

fn install(filter: &BpfProgram) -> Result<()> {
    apply_filter(filter).map_err(failed("install the system call filter"))
}

fn compile(list: Vec<Call>, matching: SeccompAction, others: SeccompAction) -> Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for Call { number, arguments } in list {
        let own = rules.entry(number).or_default();
        if !arguments.is_empty() {
            let conditions = arguments.iter().map(condition).collect::<std::result::Result<Vec<_>, _>>();
            let rule = conditions.and_then(SeccompRule::new);
            own.push(rule.map_err(failed("write the system call filter"))?);
        }
    }
    TargetArch::try_from(std::env::consts::ARCH)
        .and_then(|architecture| SeccompFilter::new(rules, others, matching, architecture))
        .and_then(TryInto::try_into)
        .map_err(failed("compile the system call filter"))
}

fn condition(argument: &Argument) -> std::result::Result<SeccompCondition, seccompiler::BackendError> {
    let (operator, value) = match argument.test {
        Test::Is(value) => (SeccompCmpOp::Eq, value),
        Test::LacksBits(bits) => (SeccompCmpOp::MaskedEq(bits), 0),
    };
    let length = if argument.wide { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
    SeccompCondition::new(argument.index, length, operator, value)
}

fn failed<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> VmmError {
    VmmError::wrap(ErrorCode::JailUnavailable, doing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_threads_may_do_nothing_that_the_main_thread_may_not() {
        let main = calls::main(1);
        for call in calls::vcpu(1).into_iter().chain(calls::disk(1)) {
            let allowed = main.iter().any(|other| {
                other.number == call.number
                    && other.arguments.iter().all(|test| call.arguments.contains(test))
            });
            assert!(allowed, "{call:?}");
        }
    }
}
