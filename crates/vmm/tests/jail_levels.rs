//! Which level a process gets on hosts that can give little, or little just now.
//!
//! The hosts are user namespaces, which have limits of their own: the limits of the machine stay as they are.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::undocumented_unsafe_blocks,
    reason = "a failed test panics"
)]

#[path = "harness/probe.rs"]
mod probe;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use firn_vmm::ErrorCode;
use firn_vmm::jail::JailLevel;
use rustix::process::{Resource, Rlimit, getegid, geteuid, setrlimit};

use self::probe::{Probe, is_root, options, own_ids, probe_in};

/// The user that a process is in a host that was made for it.
const USER: u32 = 1000;

/// Enters a new user namespace, with all capabilities in it until the next exec.
fn enter_user_namespace() -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return Err(io::Error::last_os_error());
    }
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("{USER} {gid} 1"))?;
    std::fs::write("/proc/self/uid_map", format!("{USER} {uid} 1"))
}

fn limit_namespaces(kind: &str, limit: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/user/max_{kind}_namespaces"), limit)
}

/// What a process gets at a level, or the first that can be had, on a host that `prepare` makes.
fn probe_on(
    level: Option<JailLevel>,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Probe {
    probe_in(&options(level), &["--probe-attempt=work"], |command| unsafe { command.pre_exec(prepare) })
}

#[test]
fn a_host_that_allows_no_namespace_of_a_kind_gives_the_level_without_them_and_says_which() {
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let on_host = |level| {
            probe_on(level, move || {
                enter_user_namespace()?;
                limit_namespaces(kind, "0")
            })
        };
        let setting = format!("; user.max_{kind}_namespaces is 0 on this host");
        let probe = on_host(None);
        assert_eq!(probe.said, "worked: true true true", "{kind}: {probe:?}");
        let report = probe.jail.unwrap();
        assert_eq!(report.level, JailLevel::Minimal, "{kind}");
        assert_eq!(report.missing[0], "no level root: it must be started by root");
        assert!(
            report.missing[1].starts_with("no level user-namespaces: create namespaces: "),
            "{kind}: {report:?}"
        );
        assert!(report.missing[1].ends_with(&setting), "{kind}: {report:?}");
        let error = on_host(Some(JailLevel::UserNamespaces)).jail.unwrap_err();
        assert_eq!(error.code, ErrorCode::JailUnavailable);
        assert!(error.message.ends_with(&setting), "{}", error.message);
    }
}

#[test]
fn a_limit_of_namespaces_that_is_reached_is_an_error_and_not_another_level() {
    let host = || {
        enter_user_namespace()?;
        limit_namespaces("user", "1")?;
        // This is the one.
        enter_user_namespace()
    };
    must_be_undecided(&probe_on(None, host));
    assert_eq!(probe_on(Some(JailLevel::Minimal), host).jail.unwrap().level, JailLevel::Minimal);
}

#[test]
fn a_lack_of_processes_is_an_error_and_not_another_level() {
    let probe = probe_in(&options(None), &["--probe-attempt=frame-number"], |command: &mut Command| {
        if is_root() {
            // Root has no limit, and this user no other process.
            command.uid(own_ids().0);
        }
        unsafe {
            command.pre_exec(|| {
                let one = Rlimit { current: Some(1), maximum: Some(1) };
                setrlimit(Resource::Nproc, one).map_err(io::Error::from)
            })
        }
    });
    must_be_undecided(&probe);
}

/// As in a container with users of its own. Only root can make one of more than one user.
#[test]
fn a_user_that_a_container_does_not_have_is_named_with_what_sets_it() {
    if !is_root() {
        return;
    }
    let mut container = Command::new("sleep");
    unsafe {
        container.arg("60").pre_exec(|| match libc::unshare(libc::CLONE_NEWUSER) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    };
    let mut container = container.spawn().unwrap();
    let file = |name: &str| format!("/proc/{}/{name}", container.id());
    for map in ["gid_map", "uid_map"] {
        std::fs::write(file(map), "0 0 1000").unwrap();
    }
    let namespace = Arc::new(File::open(file("ns/user")).unwrap());
    for level in JailLevel::ALL {
        let namespace = Arc::clone(&namespace);
        let probe = probe_on(Some(level), move || match unsafe { libc::setns(namespace.as_raw_fd(), 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
        let error = probe.jail.unwrap_err();
        assert_eq!(error.code, ErrorCode::JailUnavailable);
        assert!(error.message.contains("become the group of 2"), "{level}: {}", error.message);
        assert!(
            error.message.contains("`ids` of the jail (FIRN_JAIL_FIRST_ID of the server)"),
            "{}",
            error.message
        );
    }
    container.kill().unwrap();
    container.wait().unwrap();
}

fn must_be_undecided(probe: &Probe) {
    let error = probe.jail.as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::JailUnavailable);
    let beginning = "whether the host allows the jail level user-namespaces cannot be told just now: ";
    assert!(error.message.starts_with(beginning), "{}", error.message);
    assert!(error.message.ends_with("; try again, or name a level"), "{}", error.message);
}
