//! Which levels this host allows, and entering the namespaces of one.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::fork::{Forked, Handover, into_sibling, rehearse};
use super::obstacle::Obstacle;
use super::options::JailOptions;
use super::report::JailLevel;
use super::{privileges, root};
use crate::error::{ErrorCode, Result, VmmError};

/// Namespaces of every level that has some.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// The level to enter: the one that is wanted, or the first that this host allows. Also tells why those before it are not allowed.
///
/// One that is wanted is not tried beforehand: what is in its way, [`enter`] meets as well.
///
/// # Errors
/// FIRN_JAIL_UNAVAILABLE if the wanted one is not allowed, with what is missing, or if a shortage keeps from finding out the first that is.
pub(super) fn choose(options: &JailOptions) -> Result<(JailLevel, Vec<String>)> {
    if let Some(level) = options.level {
        preconditions(level, options).map_err(|obstacle| unavailable(level, &obstacle.why))?;
        return Ok((level, Vec::new()));
    }
    let mut missing = Vec::new();
    for level in [JailLevel::Root, JailLevel::UserNamespaces] {
        match preconditions(level, options).and_then(|()| rehearsal(level, options)) {
            Ok(()) => return Ok((level, missing)),
            Err(Obstacle { why, passes: true }) => {
                return Err(VmmError::new(
                    ErrorCode::JailUnavailable,
                    format!(
                        "whether the host allows the jail level {level} cannot be told just now: {why}; try again, or name a level"
                    ),
                ));
            }
            Err(Obstacle { why, passes: false }) => missing.push(format!("no level {level}: {why}")),
        }
    }
    Ok((JailLevel::Minimal, missing))
}

/// What can be told of a level without trying.
fn preconditions(level: JailLevel, options: &JailOptions) -> std::result::Result<(), Obstacle> {
    if level != JailLevel::Root {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Obstacle::lasting("it must be started by root"));
    }
    if options.ids.is_none() {
        return Err(Obstacle::lasting("it needs a user and group of its own, and none was given"));
    }
    Ok(())
}

/// Whether a level that has namespaces can be entered, found out by a child that tries.
fn rehearsal(level: JailLevel, options: &JailOptions) -> std::result::Result<(), Obstacle> {
    let outside = Outside::of(options);
    let attempt = || {
        approach(level, options)?;
        // SAFETY: the flags share nothing anew, and take nothing away that a thread of this process could hold.
        if unsafe { libc::unshare(namespaces(level).unwrap_or_default()) } != 0 {
            return Err(Obstacle::to_namespaces(level, &std::io::Error::last_os_error()));
        }
        settle(level, options, outside)
    };
    // SAFETY: `main` calls this before it starts a thread.
    unsafe { rehearse(|| attempt().map_err(Obstacle::into_word)) }
        .map_err(|error| Obstacle::met(level, "fork", &error))?
        .map_err(Obstacle::from_word)
}

fn namespaces(level: JailLevel) -> Option<libc::c_int> {
    match level {
        JailLevel::Root => Some(NAMESPACES),
        JailLevel::UserNamespaces => Some(NAMESPACES | libc::CLONE_NEWUSER),
        JailLevel::Minimal => None,
    }
}

/// The user and group that the host knows a process as, seen before it is in a user namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside {
    pub uid: u32,
    pub gid: u32,
}

impl Outside {
    /// Those that this process will have at the end.
    pub(super) fn of(options: &JailOptions) -> Self {
        let own = || (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let is_root = rustix::process::geteuid().is_root();
        let (uid, gid) = options.ids.filter(|_| is_root).unwrap_or_else(own);
        Self { uid, gid }
    }
}

/// Enters the namespaces of the level, an empty root, and another user. Forks if the level has namespaces: the new process stays, after
/// the controller was told of it, and for this one there is `None`.
///
/// `before` runs in the process that stays, while /proc can still be seen; its result is returned.
///
/// # Errors
/// FIRN_JAIL_UNAVAILABLE, with what is missing.
pub(super) fn enter<T>(
    level: JailLevel,
    options: &JailOptions,
    announce: impl FnOnce(u32, BorrowedFd<'_>) -> Result<()>,
    before: impl FnOnce() -> Result<T>,
) -> Result<Option<T>> {
    let outside = Outside::of(options);
    approach(level, options).map_err(|obstacle| unavailable(level, &obstacle.why))?;
    if let Some(namespaces) = namespaces(level) {
        // SAFETY: `main` calls this before it starts a thread.
        let forked = unsafe { into_sibling(namespaces) };
        match forked.map_err(|error| unavailable(level, &Obstacle::to_namespaces(level, &error).why))? {
            Forked::Launcher(pid, descriptor, announcement) => {
                announce(pid, descriptor.as_fd())?;
                announcement.made();
                return Ok(None);
            }
            // Nobody would wait for a process that was not announced.
            Forked::Successor(handover) if !wait(&handover)? => return Ok(None),
            Forked::Successor(_) => {}
        }
    }
    let result = before()?;
    settle(level, options, outside).map_err(|obstacle| unavailable(level, &obstacle.why))?;
    Ok(Some(result))
}

fn wait(handover: &Handover) -> Result<bool> {
    handover.wait().map_err(VmmError::wrap(ErrorCode::Io, "take the place of the process that was started"))
}

/// What is to be done before the namespaces: a user namespace is made by the user that it maps.
fn approach(level: JailLevel, options: &JailOptions) -> std::result::Result<(), Obstacle> {
    if level == JailLevel::UserNamespaces {
        return become_wanted_user(level, options);
    }
    Ok(())
}

/// What is to be done in the new namespaces.
fn settle(level: JailLevel, options: &JailOptions, outside: Outside) -> std::result::Result<(), Obstacle> {
    let met = |(doing, error): (&str, Errno)| Obstacle::met(level, doing, &error.into());
    privileges::empty_bounding_set().map_err(met)?;
    match level {
        JailLevel::Root => {
            root::empty().map_err(met)?;
            become_wanted_user(level, options)
        }
        JailLevel::UserNamespaces => {
            map_ids(outside)
                .map_err(|(file, error)| Obstacle::met(level, &format!("write /proc/self/{file}"), &error))?;
            root::empty().map_err(met)
        }
        JailLevel::Minimal => become_wanted_user(level, options),
    }
}

/// Becomes another user if one was given and this process is one that can.
fn become_wanted_user(level: JailLevel, options: &JailOptions) -> std::result::Result<(), Obstacle> {
    match options.ids {
        Some((uid, gid)) if rustix::process::geteuid().is_root() => {
            privileges::become_user(uid, gid).map_err(|(doing, error)| match error {
                // Root of a user namespace, a container's say, can give away what that has.
                Errno::INVAL => Obstacle::lasting(format!(
                    "{doing} of {uid}:{gid}: {error}; that is not among the ids of this user namespace, see /proc/self/uid_map and gid_map: set `ids` of the jail (FIRN_JAIL_FIRST_ID of the server) to some that are"
                )),
                error => Obstacle::met(level, doing, &error.into()),
            })
        }
        _ => Ok(()),
    }
}

/// The user and group inside a user namespace; they mean nothing, and are those of nobody.
const INSIDE: u32 = 65534;

fn map_ids(Outside { uid, gid }: Outside) -> std::result::Result<(), (&'static str, std::io::Error)> {
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("gid_map", format!("{INSIDE} {gid} 1")),
        ("uid_map", format!("{INSIDE} {uid} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(|error| (file, error))?;
    }
    Ok(())
}

pub(super) fn unavailable(level: JailLevel, why: &str) -> VmmError {
    VmmError::new(ErrorCode::JailUnavailable, format!("the jail level {level} cannot be had: {why}"))
}
