//! What a process needs to be jailed that only its controller can give: a user of its own, and a cgroup.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use firn_vmm::jail::cgroup::{Cgroup, CgroupLimits, remove_abandoned};
use firn_vmm::jail::{JailLevel, JailOptions};
use firn_vmm::layout::MEMORY_MAX;
use rustix::process::geteuid;

use crate::failure::Failure;
use crate::options;

/// What a process needs beside guest memory, in bytes: its own memory, page tables of guest memory, what is read of files.
const OVERHEAD_BYTES: u64 = 64 << 20;
/// Threads that a process may have if nothing else is said: it has one for each of at most 8 vCPUs, two for disks, and one more.
const PIDS_MAX: u32 = 64;

/// The jail that is wanted, detached from JavaScript's memory.
#[derive(Debug, Clone)]
pub struct JailWish {
    level: Option<JailLevel>,
    ids: (u32, u32),
    cgroup_parent: Option<PathBuf>,
    limits: CgroupLimits,
}

impl TryFrom<options::JailOptions> for JailWish {
    type Error = Failure;

    fn try_from(options: options::JailOptions) -> Result<Self, Failure> {
        let level = match options.level.as_str() {
            "auto" => None,
            name => Some(JailLevel::from_name(name).ok_or_else(|| {
                Failure::options(format!(
                    "there is no jail level {name:?}: choose auto, root, user-namespaces or minimal"
                ))
            })?),
        };
        let ids = (options.first_id, options.id_count);
        // Id 0 is root's, the last one is the kernel's word for none.
        if ids.0 == 0 || ids.1 == 0 || ids.0.checked_add(ids.1).is_none() {
            return Err(Failure::options(format!(
                "there are no {} user ids from {} on that a process may have",
                ids.1, ids.0
            )));
        }
        let memory = options.memory_max_bytes.map(u64::try_from).transpose();
        let limits = CgroupLimits {
            memory_bytes: memory.map_err(|_| Failure::options("the memory limit is negative"))?,
            is_memory_swapped: false,
            pids: options.pids_max,
            cpu_thousandths: options.cpu_max_thousandths,
        };
        Ok(Self { level, ids, cgroup_parent: options.cgroup_parent.map(PathBuf::from), limits })
    }
}

/// What one process was given; to be kept until it is reaped, and given back by dropping it.
#[derive(Debug)]
pub struct Granted {
    /// What to tell the process.
    pub options: JailOptions,
    /// Why there is no cgroup, or which limits it does not set.
    pub missing: Vec<String>,
    /// Whether the memory limit follows from the size of guest memory.
    limits_memory: bool,
    // Taken apart in this order: the cgroup is empty when its process is reaped.
    cgroup: Option<Cgroup>,
    _id: Option<IdLease>,
}

impl Granted {
    /// Limits the process to this much guest memory and what it needs itself, in bytes, unless another limit was asked for.
    ///
    /// # Errors
    /// FIRN_JAIL_UNAVAILABLE if the host takes the limit back.
    pub fn limit_memory(&self, guest_bytes: u64) -> Result<(), Failure> {
        match &self.cgroup {
            Some(cgroup) if self.limits_memory => {
                cgroup.limit_memory(guest_bytes.saturating_add(OVERHEAD_BYTES)).map_err(unavailable)
            }
            _ => Ok(()),
        }
    }
}

impl JailWish {
    /// Takes an id that no other process here has, and makes the cgroup.
    ///
    /// # Errors
    /// FIRN_JAIL_UNAVAILABLE if all ids of the range are taken, or a limit or a cgroup was asked for that cannot be had.
    pub fn grant(&self) -> Result<Granted, Failure> {
        let id = if geteuid().is_root() { Some(IdLease::take(self.ids.0, self.ids.1)?) } else { None };
        let (cgroup, missing) = self.make_cgroup()?;
        let options = JailOptions {
            level: self.level,
            ids: id.as_ref().map(|id| (id.0, id.0)),
            cgroup: cgroup.as_ref().map(|cgroup| cgroup.path().to_owned()),
        };
        let limits_memory = self.limits.memory_bytes.is_none();
        Ok(Granted { options, missing, limits_memory, cgroup, _id: id })
    }

    /// Makes the cgroup, and says what it lacks of that which nobody has asked for.
    fn make_cgroup(&self) -> Result<(Option<Cgroup>, Vec<String>), Failure> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        static SWEPT: Mutex<BTreeSet<Option<PathBuf>>> = Mutex::new(BTreeSet::new());
        {
            let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
            if !swept.contains(&self.cgroup_parent) && remove_abandoned(self.cgroup_parent.as_deref()) {
                swept.insert(self.cgroup_parent.clone());
            }
        }
        let limits = CgroupLimits {
            pids: self.limits.pids.or(Some(PIDS_MAX)),
            // Until it is known how much memory the guest has.
            memory_bytes: self.limits.memory_bytes.or(Some(MEMORY_MAX + OVERHEAD_BYTES)),
            is_memory_swapped: self.limits.memory_bytes.is_none(),
            ..self.limits
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        match Cgroup::create(self.cgroup_parent.as_deref(), number, limits) {
            Ok(cgroup) => match cgroup.missing(self.limits).pop() {
                Some(sentence) => Err(unavailable(sentence)),
                None => {
                    let missing = cgroup.missing(limits);
                    Ok((Some(cgroup), missing))
                }
            },
            Err(error) if self.cgroup_parent.is_none() && self.limits == CgroupLimits::default() => {
                Ok((None, vec![format!("no cgroup: {error}")]))
            }
            Err(error) => Err(unavailable(format!("there is no cgroup for the limits of the jail: {error}"))),
        }
    }
}

fn unavailable(message: String) -> Failure {
    Failure::new("FIRN_JAIL_UNAVAILABLE", message)
}

/// A user and group id that one process has.
#[derive(Debug)]
struct IdLease(u32);

static TAKEN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

impl IdLease {
    fn take(first: u32, count: u32) -> Result<Self, Failure> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        // Another server on this host starts elsewhere in the same range, most likely.
        let start = std::process::id().wrapping_mul(61) % count;
        let free = (0..count)
            .map(|index| if index < count - start { start + index } else { index - (count - start) })
            .map(|offset| first.saturating_add(offset))
            .find(|id| taken.insert(*id));
        free.map(Self).ok_or_else(|| {
            unavailable(format!(
                "all {count} user ids from {first} on are taken by microVMs; give a larger range"
            ))
        })
    }
}

impl Drop for IdLease {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_once_and_again_when_they_are_free() {
        let all: Vec<_> = (0..3).map(|_| IdLease::take(900, 3).unwrap()).collect();
        let ids: BTreeSet<_> = all.iter().map(|lease| lease.0).collect();
        assert_eq!(ids, BTreeSet::from([900, 901, 902]));
        assert!(IdLease::take(900, 3).unwrap_err().to_string().starts_with("FIRN_JAIL_UNAVAILABLE: all 3 "));
        drop(all);
        assert!(IdLease::take(900, 3).is_ok());
    }

    #[test]
    fn abandoned_cgroups_are_looked_for_until_none_is_busy() {
        let parent = tempfile::tempdir().unwrap();
        // No process has this number.
        let abandoned = parent.path().join("firn-vmm-4194305-1");
        let busy = abandoned.join("busy");
        std::fs::create_dir_all(&busy).unwrap();
        let wish = JailWish {
            level: None,
            ids: (2_000_000_000, 1000),
            cgroup_parent: Some(parent.path().to_owned()),
            limits: CgroupLimits::default(),
        };
        // It is no cgroup, so that none can be made below.
        assert!(wish.grant().is_err() && abandoned.exists());
        std::fs::remove_dir(busy).unwrap();
        assert!(wish.grant().is_err() && !abandoned.exists());
    }
}
