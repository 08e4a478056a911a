//! Which levels this host allows, and entering the namespaces of one.

use std::fs;
use std::os::fd::AsFd;

use super::fork::{Forked, Handover, into_sibling, rehearse};
use super::options::JailOptions;
use super::report::JailLevel;
use super::{privileges, root};
use crate::control::{ControlSocket, Message};
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
/// # Errors
/// FIRN_JAIL_UNAVAILABLE if the wanted one is not allowed, with what is missing.
pub(super) fn choose(options: &JailOptions) -> Result<(JailLevel, Vec<String>)> {
    let mut missing = Vec::new();
    let levels = options.level.map_or(JailLevel::ALL.to_vec(), |level| vec![level]);
    for level in levels {
        match rehearsal(level, options) {
            Ok(()) => return Ok((level, missing)),
            Err(error) if options.level.is_some() => return Err(unavailable(level, &error)),
            Err(error) => missing.push(format!("no level {level}: {error}")),
        }
    }
    Err(unavailable(JailLevel::Minimal, "no level can be entered"))
}

/// Whether a level can be entered, found out by a child that tries. Creating a network namespace is the dear part and is left out: it
/// fails, if at all, in the process that will enter it, before that has given anything up.
fn rehearsal(level: JailLevel, options: &JailOptions) -> std::result::Result<(), String> {
    if level == JailLevel::Root {
        if !rustix::process::geteuid().is_root() {
            return Err("it must be started by root".to_owned());
        }
        if options.ids.is_none() {
            return Err("it needs a user and group of its own, and none was given".to_owned());
        }
    }
    let Some(namespaces) = namespaces(level) else { return Ok(()) };
    let outside = Outside::of(options);
    let attempt = || {
        approach(level, options)?;
        // SAFETY: the flags share nothing anew, and take nothing away that a thread of this process could hold.
        if unsafe { libc::unshare(namespaces & (libc::CLONE_NEWUSER | libc::CLONE_NEWNS)) } != 0 {
            return Err(refusal(level, &std::io::Error::last_os_error()));
        }
        settle(level, options, outside).map_err(|error| format!("{error}{}", hint(level)))
    };
    // SAFETY: `main` calls this before it starts a thread.
    unsafe { rehearse(attempt) }.map_err(|error| format!("fork: {error}"))?
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
    socket: &ControlSocket,
    before: impl FnOnce() -> Result<T>,
) -> Result<Option<T>> {
    let outside = Outside::of(options);
    approach(level, options).map_err(|error| unavailable(level, &error))?;
    if let Some(namespaces) = namespaces(level) {
        // SAFETY: `main` calls this before it starts a thread.
        let forked = unsafe { into_sibling(namespaces) };
        match forked.map_err(|error| unavailable(level, &refusal(level, &error)))? {
            Forked::Launcher(pid, descriptor, announcement) => {
                socket.send(&Message::Successor { pid }, &[descriptor.as_fd()])?;
                announcement.made();
                return Ok(None);
            }
            // Nobody would wait for a process that was not announced.
            Forked::Successor(handover) if !wait(&handover)? => return Ok(None),
            Forked::Successor(_) => {}
        }
    }
    let kept = before()?;
    settle(level, options, outside)
        .map_err(|error| unavailable(level, &format!("{error}{}", hint(level))))?;
    Ok(Some(kept))
}

fn wait(handover: &Handover) -> Result<bool> {
    handover.wait().map_err(VmmError::wrap(ErrorCode::Io, "take the place of the process that was started"))
}

/// What is to be done before the namespaces: a user namespace is made by the user that it maps.
fn approach(level: JailLevel, options: &JailOptions) -> std::result::Result<(), String> {
    if level == JailLevel::UserNamespaces {
        return become_wanted_user(options);
    }
    Ok(())
}

/// What is to be done in the new namespaces.
fn settle(level: JailLevel, options: &JailOptions, outside: Outside) -> std::result::Result<(), String> {
    privileges::empty_bounding_set().map_err(|error| error.message)?;
    match level {
        JailLevel::Root => {
            empty_root()?;
            become_wanted_user(options)
        }
        JailLevel::UserNamespaces => {
            map_ids(outside)?;
            empty_root()
        }
        JailLevel::Minimal => become_wanted_user(options),
    }
}

fn empty_root() -> std::result::Result<(), String> {
    root::empty().map_err(|(doing, error)| format!("{doing}: {error}"))
}

/// Becomes another user if one was given and this process is one that can.
fn become_wanted_user(options: &JailOptions) -> std::result::Result<(), String> {
    match options.ids {
        Some((uid, gid)) if rustix::process::geteuid().is_root() => {
            privileges::become_user(uid, gid).map_err(|(doing, error)| format!("{doing}: {error}"))
        }
        _ => Ok(()),
    }
}

/// The user and group inside a user namespace; they mean nothing, and are those of nobody.
const INSIDE: u32 = 65534;

fn map_ids(Outside { uid, gid }: Outside) -> std::result::Result<(), String> {
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("gid_map", format!("{INSIDE} {gid} 1")),
        ("uid_map", format!("{INSIDE} {uid} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text)
            .map_err(|error| format!("write /proc/self/{file}: {error}"))?;
    }
    Ok(())
}

pub(super) fn unavailable(level: JailLevel, why: &str) -> VmmError {
    VmmError::new(ErrorCode::JailUnavailable, format!("the jail level {level} cannot be had: {why}"))
}

/// Why the namespaces of a level cannot be created.
fn refusal(level: JailLevel, error: &std::io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) if level == JailLevel::Root => "the process lacks CAP_SYS_ADMIN",
        Some(libc::EPERM) => "the host forbids user namespaces to this user, or the process is in a chroot",
        Some(libc::ENOSPC | libc::EUSERS) => "the host's limit of namespaces is reached",
        Some(libc::ENOSYS) => "the kernel, or a filter that this process is under, lacks clone3",
        _ => "the kernel refuses",
    };
    format!("create namespaces: {error}; {why}{}", hint(level))
}

/// The settings of this host that forbid user namespaces, if any does.
fn hint(level: JailLevel) -> String {
    if level != JailLevel::UserNamespaces {
        return String::new();
    }
    let settings = [
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("user/max_user_namespaces", "0"),
    ];
    let is_set = |(name, forbids): &(&str, &str)| {
        fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|value| value.trim() == *forbids)
    };
    settings
        .iter()
        .filter(|setting| is_set(setting))
        .map(|(name, value)| format!("; {} is {value} on this host", name.replace('/', ".")))
        .collect()
}
