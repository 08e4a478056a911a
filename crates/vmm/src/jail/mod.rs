//! What a VMM process gives up before it looks at anything from outside.
//!
//! | module | what |
//! |---|---|
//! | `options` | the jail that is wanted, as the command line says it |
//! | `level` | the three levels: which of them this host allows, and entering one |
//! | `obstacle` | why a level cannot be had, and whether that says something about the host |
//! | `fork` | forking into new namespaces |
//! | `root` | an empty root file system |
//! | `privileges` | users, groups and capabilities |
//! | `limits` | resource limits |
//! | `signals` | faults, and limits that are signalled |
//! | `landlock` | no path, no port |
//! | `seccomp` | the system calls that each kind of thread may make |
//! | `calls` | the lists of system calls |
//! | `descriptors` | what is opened before the jail closes |
//! | `cgroup` | the cgroup of one VMM process, made and removed by its controller |
//! | `handle` | the controller's hold of a VMM process |
//! | `report` | what it turned out to be |
//!
//! [`enter`] is the way in. Everything but namespaces, user and cgroup is done at every level.

mod calls;
pub mod cgroup;
mod descriptors;
mod fork;
mod handle;
mod landlock;
mod level;
mod limits;
mod obstacle;
mod options;
mod privileges;
mod report;
mod root;
pub mod seccomp;
mod signals;

use std::os::fd::BorrowedFd;
use std::time::Instant;

pub use descriptors::{ProcFiles, close_inherited};
pub use handle::ProcessHandle;
pub use options::JailOptions;
pub use report::{CgroupReport, JailLevel, JailReport};

use crate::error::Result;

/// A process that is in its jail, but for the seccomp filter.
#[derive(Debug)]
pub struct Inside {
    /// What was opened before the jail closed.
    pub proc_files: ProcFiles,
    /// The jail. Its time is the caller's to fill in, when the filter is installed.
    pub report: JailReport,
    /// When this began.
    pub started: Instant,
}

/// Enters the jail that is wanted; the seccomp filter is the caller's to install when it has what it needs.
///
/// At the levels that have namespaces this forks, and the new process takes the place of this one, which gets `None` and has to end. Before
/// anything else `announce` tells the controller the number of the new process, and a pidfd of it.
///
/// Call it in `main`, before any thread is started, and after [`close_inherited`].
///
/// # Errors
/// FIRN_JAIL_UNAVAILABLE if the wanted level cannot be had, FIRN_IO if something fails that every kernel allows.
pub fn enter(
    options: &JailOptions,
    announce: impl FnOnce(u32, BorrowedFd<'_>) -> Result<()>,
) -> Result<Option<Inside>> {
    let started = Instant::now();
    let (chosen, missing) = level::choose(options)?;
    let cgroup = match &options.cgroup {
        None => None,
        Some(path) => Some(cgroup::join(path).map_err(|error| {
            level::unavailable(chosen, &format!("join the cgroup {}: {error}", path.display()))
        })?),
    };
    let outside = level::Outside::of(options);
    // Asked of the kernel once and then remembered, which the filter would not let it be.
    let _remembered = rustix::param::page_size();
    let Some(proc_files) = level::enter(chosen, options, announce, ProcFiles::open)? else {
        return Ok(None);
    };
    limits::apply(chosen)?;
    signals::set_dispositions()?;
    privileges::give_up()?;
    let mut report = JailReport {
        level: chosen,
        uid: outside.uid,
        gid: outside.gid,
        landlock: landlock::forbid_everything()?,
        cgroup,
        missing,
        microseconds: 0,
    };
    if report.landlock == 0 {
        report.missing.push("the kernel has no Landlock".to_owned());
    }
    Ok(Some(Inside { proc_files, report, started }))
}
