//! Why a level cannot be had, and whether that says something about the host.

use std::fs;
use std::io;

use super::report::JailLevel;

/// What keeps a process from a level.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// What was being done, what the kernel said, and the settings of this host that forbid it, if any does.
    pub why: String,
    /// Whether it is a shortage, of processes or memory say: the host may allow the level all the same.
    pub passes: bool,
}

impl Obstacle {
    /// One that lasts.
    pub fn lasting(why: impl Into<String>) -> Self {
        Self { why: why.into(), passes: false }
    }

    /// What the kernel said to something that is done to enter a level.
    pub fn met(level: JailLevel, doing: &str, error: &io::Error) -> Self {
        let limits = limits_of_none(level);
        let passes = match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => true,
            // The kernel says the same of a limit that is reached and of one that allows none at all.
            Some(libc::ENOSPC | libc::EUSERS) => limits.is_empty(),
            _ => false,
        };
        let settings: String =
            restrictions(level).chain(limits).map(|setting| format!("; {setting} on this host")).collect();
        Self { why: format!("{doing}: {error}{settings}"), passes }
    }

    /// What the kernel said to creating the namespaces of a level.
    pub fn to_namespaces(level: JailLevel, error: &io::Error) -> Self {
        let why = match error.raw_os_error() {
            Some(libc::EPERM) if level == JailLevel::Root => "the process lacks CAP_SYS_ADMIN",
            Some(libc::EPERM) => {
                "the host forbids user namespaces to this user, or the process is in a chroot"
            }
            Some(libc::ENOSPC | libc::EUSERS) => "the host's limit of namespaces is reached",
            Some(libc::ENOSYS) => "the kernel, or a filter that this process is under, lacks clone3",
            _ => "the kernel refuses",
        };
        Self::met(level, &format!("create namespaces: {why}"), error)
    }

    /// As a child says it.
    pub fn into_word(self) -> String {
        if self.passes { self.why } else { LASTS.to_owned() + &self.why }
    }

    /// What a child has said. One that was killed says nothing, so that what is not said to last is taken to pass.
    pub fn from_word(said: String) -> Self {
        match said.strip_prefix(LASTS) {
            Some(why) => Self::lasting(why),
            None => Self { why: said, passes: true },
        }
    }
}

/// What a child says of an obstacle that lasts.
const LASTS: &str = "lasts:";

/// The settings that forbid unprivileged user namespaces.
fn restrictions(level: JailLevel) -> impl Iterator<Item = String> {
    let settings: &[_] = match level {
        JailLevel::UserNamespaces => &[
            ("kernel/apparmor_restrict_unprivileged_userns", "1"),
            ("kernel/unprivileged_userns_clone", "0"),
        ],
        JailLevel::Root | JailLevel::Minimal => &[],
    };
    settings.iter().filter_map(|(name, forbids)| setting(name, forbids))
}

/// The limits that allow none of the namespaces of a level.
fn limits_of_none(level: JailLevel) -> Vec<String> {
    let kinds: &[_] = match level {
        JailLevel::Root => &["mnt", "pid", "net", "ipc", "uts", "cgroup"],
        JailLevel::UserNamespaces => &["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"],
        JailLevel::Minimal => &[],
    };
    kinds.iter().filter_map(|kind| setting(&format!("user/max_{kind}_namespaces"), "0")).collect()
}

/// The setting of this name, if it has this value.
fn setting(name: &str, value: &str) -> Option<String> {
    let is_set = fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|text| text.trim() == value);
    is_set.then(|| format!("{} is {value}", name.replace('/', ".")))
}
