//! What a jail is called, and what it turned out to be on this host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much of the host a VMM process can still reach, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JailLevel {
    /// Started by root: a user of its own, an empty root file system, namespaces of its own.
    Root,
    /// The same by an unprivileged user namespace, without a user of its own.
    UserNamespaces,
    /// No namespaces: Landlock, seccomp, no_new_privs and resource limits alone.
    Minimal,
}

impl JailLevel {
    /// All, from the one that reaches least.
    pub const ALL: [Self; 3] = [Self::Root, Self::UserNamespaces, Self::Minimal];

    /// The name as users see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserNamespaces => "user-namespaces",
            Self::Minimal => "minimal",
        }
    }

    /// The level of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

impl fmt::Display for JailLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The controllers of the cgroup of a VMM process that hold it to a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupReport {
    /// memory.max is set.
    pub memory: bool,
    /// pids.max is set.
    pub pids: bool,
    /// cpu.max is set.
    pub cpu: bool,
}

/// The jail that a VMM process is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailReport {
    /// Its level.
    pub level: JailLevel,
    /// The user that the host knows the process as.
    pub uid: u32,
    /// The group that the host knows the process as.
    pub gid: u32,
    /// The version of Landlock that is in force, or 0 if the kernel has none.
    pub landlock: u8,
    /// The limits of its cgroup, or `None` if it was given none.
    pub cgroup: Option<CgroupReport>,
    /// What this host lacks, and what was asked for and is optional: a sentence each.
    pub missing: Vec<String>,
    /// How long the process took to enter the jail, in microseconds.
    pub microseconds: u64,
}
