//! What a request's promise resolves with.

use firn_vmm::{control, jail};
use napi::bindgen_prelude::ToNapiValue;
use napi::sys;
use napi_derive::napi;

/// The limits that a cgroup sets.
#[napi(object, object_from_js = false)]
#[derive(Debug, Clone)]
pub struct CgroupReport {
    /// memory.max.
    pub memory: bool,
    /// pids.max.
    pub pids: bool,
    /// cpu.max.
    pub cpu: bool,
}

/// The jail that a process is in.
#[napi(object, object_from_js = false)]
#[derive(Debug, Clone)]
pub struct JailReport {
    /// Its level.
    #[napi(ts_type = "'root' | 'user-namespaces' | 'minimal'")]
    pub level: String,
    /// The user that the host knows the process as.
    pub uid: u32,
    /// The group that the host knows the process as.
    pub gid: u32,
    /// The version of Landlock that is in force, or 0.
    pub landlock: u8,
    /// The limits of its cgroup, if it has one.
    pub cgroup: Option<CgroupReport>,
    /// What this host lacks, a sentence each.
    pub missing: Vec<String>,
    /// How long it took to enter the jail, in microseconds.
    pub microseconds: i64,
}

/// A microVM runs.
#[napi(object, object_from_js = false)]
pub struct Started {
    /// Process number.
    pub pid: u32,
    /// How many of the initial bytes were written before the start; the rest is the receiver's to write.
    pub initial_bytes_written: u32,
}

/// A process is prepared.
#[napi(object, object_from_js = false)]
pub struct Prepared {
    /// Process number.
    pub pid: u32,
    /// Anonymous + Swap of the process.
    pub private_bytes: i64,
    /// Pages that were entered into the VM's translation tables, as the working set says.
    pub touched_pages: i64,
    /// Where the time of the preparation went.
    pub phases: Phases,
}

/// What a snapshot consists of, in bytes.
#[napi(object, object_from_js = false)]
pub struct SnapshotReport {
    /// Memory that was compared with the parent.
    pub candidate_bytes: i64,
    /// Memory that is in the layer.
    pub data_bytes: i64,
    /// Memory that is zero in this layer and was not in the parent.
    pub zero_bytes: i64,
    /// Runs of memory in the layer.
    pub extents: i64,
    /// Length of the layer file.
    pub layer_file_bytes: i64,
    /// Length of the state file.
    pub state_file_bytes: i64,
    /// How long it took, in microseconds.
    pub microseconds: i64,
}

/// What a working set consists of.
#[napi(object, object_from_js = false)]
pub struct WorkingSetReport {
    /// Memory that was written, in bytes.
    pub written_bytes: i64,
    /// Memory that was only read, in bytes; 0 unless reads were recorded.
    pub read_bytes: i64,
    /// Runs of both.
    pub ranges: i64,
}

/// Counters since the process started, or since its restore if it was prepared before.
#[napi(object, object_from_js = false)]
pub struct Statistics {
    /// Returns of KVM_RUN.
    pub kvm_exits: i64,
    /// Of these, for MMIO.
    pub mmio_exits: i64,
    /// Interrupts raised by devices.
    pub interrupts: i64,
    /// Bytes of memory layers copied.
    pub bytes_copied: i64,
    /// Bytes of memory layers mapped.
    pub bytes_mapped: i64,
    /// Bytes of memory made private before the start.
    pub bytes_populated: i64,
    /// mmap, pread and madvise calls for that.
    pub load_calls: i64,
    /// Bytes read from the disks by the guest.
    pub disk_bytes_read: i64,
    /// Anonymous + Swap of the process.
    pub private_bytes: i64,
    /// Minor page faults.
    pub minor_faults: i64,
    /// Major page faults.
    pub major_faults: i64,
    /// Where the time of the start went.
    pub phases: Phases,
    /// Bytes written to the scratch disk by the guest.
    pub disk_bytes_written: i64,
    /// Ethernet frames that the guest got.
    pub net_frames_received: i64,
    /// Ethernet frames that the guest sent.
    pub net_frames_sent: i64,
    /// Ethernet frames that were lost between guest and link.
    pub net_frames_dropped: i64,
    /// Random bytes that the guest got.
    pub random_bytes: i64,
    /// Bytes of the console's output that were lost.
    pub console_bytes_dropped: i64,
    /// Bytes that the guest says are in its balloon now.
    pub balloon_bytes: i64,
    /// Bytes of memory that the guest has given back.
    pub balloon_bytes_reclaimed: i64,
}

/// Where the time of a boot or restore went, in microseconds.
#[napi(object, object_from_js = false)]
pub struct Phases {
    /// Creating the VM.
    pub create_vm: i64,
    /// Mapping and copying memory layers.
    pub load_memory: i64,
    /// Making the working set private.
    pub populate: i64,
    /// Reading the state file.
    pub read_state: i64,
    /// Waiting until the first vCPU's thread is awake, and writing vCPU registers.
    pub load_vcpus: i64,
    /// Writing the interrupt controller's registers.
    pub load_gic: i64,
    /// Rebuilding devices.
    pub load_devices: i64,
    /// From when the guest's time goes on to the first KVM_RUN.
    pub start_vcpus: i64,
    /// From the request to the first KVM_RUN.
    pub total: i64,
}

/// What a request's promise resolves with.
pub enum Reply {
    /// `undefined`.
    Done,
    /// The jail.
    Jail(JailReport),
    /// The answer to a boot or restore.
    Started(Started),
    /// The answer to a preparation.
    Prepared(Prepared),
    /// The answer to a snapshot.
    Snapshot(SnapshotReport),
    /// The answer to statistics.
    Statistics(Box<Statistics>),
    /// The answer to a memory checksum, 16 hexadecimal digits.
    MemoryChecksum(String),
    /// The answer to the recording of a working set.
    WorkingSet(WorkingSetReport),
}

impl ToNapiValue for Reply {
    unsafe fn to_napi_value(env: sys::napi_env, reply: Self) -> napi::Result<sys::napi_value> {
        // SAFETY: the caller passes the environment of the thread it is on, which is what each conversion asks for.
        unsafe {
            match reply {
                Self::Done => <()>::to_napi_value(env, ()),
                Self::Jail(report) => JailReport::to_napi_value(env, report),
                Self::Started(started) => Started::to_napi_value(env, started),
                Self::Prepared(prepared) => Prepared::to_napi_value(env, prepared),
                Self::Snapshot(report) => SnapshotReport::to_napi_value(env, report),
                Self::Statistics(statistics) => Statistics::to_napi_value(env, *statistics),
                Self::MemoryChecksum(checksum) => String::to_napi_value(env, checksum),
                Self::WorkingSet(report) => WorkingSetReport::to_napi_value(env, report),
            }
        }
    }
}

/// JavaScript's numbers are exact up to 2^53; nothing counted here comes near.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl From<jail::JailReport> for JailReport {
    fn from(report: jail::JailReport) -> Self {
        let cgroup = report.cgroup;
        Self {
            level: report.level.to_string(),
            uid: report.uid,
            gid: report.gid,
            landlock: report.landlock,
            cgroup: cgroup.map(|jail::CgroupReport { memory, pids, cpu }| CgroupReport { memory, pids, cpu }),
            missing: report.missing,
            microseconds: number(report.microseconds),
        }
    }
}

impl From<control::SnapshotReport> for SnapshotReport {
    fn from(report: control::SnapshotReport) -> Self {
        Self {
            candidate_bytes: number(report.candidate_bytes),
            data_bytes: number(report.data_bytes),
            zero_bytes: number(report.zero_bytes),
            extents: number(report.extents),
            layer_file_bytes: number(report.layer_file_bytes),
            state_file_bytes: number(report.state_file_bytes),
            microseconds: number(report.microseconds),
        }
    }
}

impl From<control::Statistics> for Statistics {
    fn from(statistics: control::Statistics) -> Self {
        Self {
            kvm_exits: number(statistics.kvm_exits),
            mmio_exits: number(statistics.mmio_exits),
            interrupts: number(statistics.interrupts),
            bytes_copied: number(statistics.bytes_copied),
            bytes_mapped: number(statistics.bytes_mapped),
            bytes_populated: number(statistics.bytes_populated),
            load_calls: number(statistics.load_calls),
            disk_bytes_read: number(statistics.disk_bytes_read),
            private_bytes: number(statistics.private_bytes),
            minor_faults: number(statistics.minor_faults),
            major_faults: number(statistics.major_faults),
            phases: statistics.phases.into(),
            disk_bytes_written: number(statistics.disk_bytes_written),
            net_frames_received: number(statistics.net_frames_received),
            net_frames_sent: number(statistics.net_frames_sent),
            net_frames_dropped: number(statistics.net_frames_dropped),
            random_bytes: number(statistics.random_bytes),
            console_bytes_dropped: number(statistics.console_bytes_dropped),
            balloon_bytes: number(statistics.balloon_bytes),
            balloon_bytes_reclaimed: number(statistics.balloon_bytes_reclaimed),
        }
    }
}

impl From<control::Phases> for Phases {
    fn from(phases: control::Phases) -> Self {
        Self {
            create_vm: number(phases.create_vm),
            load_memory: number(phases.load_memory),
            populate: number(phases.populate),
            read_state: number(phases.read_state),
            load_vcpus: number(phases.load_vcpus),
            load_gic: number(phases.load_gic),
            load_devices: number(phases.load_devices),
            start_vcpus: number(phases.start_vcpus),
            total: number(phases.total),
        }
    }
}

impl From<control::Response> for Reply {
    fn from(response: control::Response) -> Self {
        match response {
            control::Response::Done => Self::Done,
            control::Response::Prepared(report) => Self::Prepared(Prepared {
                pid: 0,
                private_bytes: number(report.private_bytes),
                touched_pages: number(report.touched_pages),
                phases: report.phases.into(),
            }),
            control::Response::Snapshot(report) => Self::Snapshot(report.into()),
            control::Response::Statistics(statistics) => Self::Statistics(Box::new((*statistics).into())),
            control::Response::MemoryChecksum(checksum) => Self::MemoryChecksum(format!("{checksum:016x}")),
            control::Response::WorkingSet(report) => Self::WorkingSet(WorkingSetReport {
                written_bytes: number(report.written_bytes),
                read_bytes: number(report.read_bytes),
                ranges: number(report.ranges),
            }),
            // Nobody here asks for these.
            control::Response::WrittenRanges(_) => Self::Done,
        }
    }
}
