//! What a request's promise resolves with.

use firn_vmm::control;
use napi::bindgen_prelude::ToNapiValue;
use napi::sys;
use napi_derive::napi;

/// A microVM runs. The descriptors belong to the receiver.
#[napi(object, object_from_js = false)]
pub struct Started {
    /// Process number.
    pub pid: u32,
    /// Node's end of the agent stream.
    pub stream_fd: i32,
    /// Read end of the console's pipe.
    pub console_fd: Option<i32>,
    /// How many of the initial bytes were written before the start; the rest is the receiver's to write.
    pub initial_bytes_written: u32,
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

/// Counters since the process started.
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
    /// mmap and pread calls for that.
    pub load_calls: i64,
    /// Bytes read from the disks by the guest.
    pub disk_bytes_read: i64,
    /// Private_Clean + Private_Dirty of the process.
    pub private_bytes: i64,
    /// Minor page faults.
    pub minor_faults: i64,
    /// Major page faults.
    pub major_faults: i64,
    /// Where the time of the start went.
    pub phases: Phases,
}

/// Where the time of a boot or restore went, in microseconds.
#[napi(object, object_from_js = false)]
pub struct Phases {
    /// Creating the VM.
    pub create_vm: i64,
    /// Mapping and copying memory layers.
    pub load_memory: i64,
    /// Reading the state file.
    pub read_state: i64,
    /// Writing vCPU registers.
    pub load_vcpus: i64,
    /// Writing the interrupt controller's registers.
    pub load_gic: i64,
    /// Rebuilding devices.
    pub load_devices: i64,
    /// From the request to the first KVM_RUN.
    pub total: i64,
}

/// Guest physical addresses, `end` exclusive.
#[napi(object, object_from_js = false)]
pub struct AddressRange {
    /// First address.
    pub start: i64,
    /// Address after the last.
    pub end: i64,
}

/// What a request's promise resolves with.
pub enum Reply {
    /// `undefined`.
    Done,
    /// The answer to a boot or restore.
    Started(Started),
    /// The answer to a snapshot.
    Snapshot(SnapshotReport),
    /// The answer to statistics.
    Statistics(Box<Statistics>),
    /// The answer to a memory checksum, 16 hexadecimal digits.
    MemoryChecksum(String),
    /// The answer to written ranges.
    WrittenRanges(Vec<AddressRange>),
}

impl ToNapiValue for Reply {
    unsafe fn to_napi_value(env: sys::napi_env, reply: Self) -> napi::Result<sys::napi_value> {
        // SAFETY: the caller passes the environment of the thread it is on, which is what each conversion asks for.
        unsafe {
            match reply {
                Self::Done => <()>::to_napi_value(env, ()),
                Self::Started(started) => Started::to_napi_value(env, started),
                Self::Snapshot(report) => SnapshotReport::to_napi_value(env, report),
                Self::Statistics(statistics) => Statistics::to_napi_value(env, *statistics),
                Self::MemoryChecksum(checksum) => String::to_napi_value(env, checksum),
                Self::WrittenRanges(ranges) => Vec::to_napi_value(env, ranges),
            }
        }
    }
}

/// JavaScript's numbers are exact up to 2^53; nothing counted here comes near.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
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
            load_calls: number(statistics.load_calls),
            disk_bytes_read: number(statistics.disk_bytes_read),
            private_bytes: number(statistics.private_bytes),
            minor_faults: number(statistics.minor_faults),
            major_faults: number(statistics.major_faults),
            phases: statistics.phases.into(),
        }
    }
}

impl From<control::Phases> for Phases {
    fn from(phases: control::Phases) -> Self {
        Self {
            create_vm: number(phases.create_vm),
            load_memory: number(phases.load_memory),
            read_state: number(phases.read_state),
            load_vcpus: number(phases.load_vcpus),
            load_gic: number(phases.load_gic),
            load_devices: number(phases.load_devices),
            total: number(phases.total),
        }
    }
}

impl From<control::Response> for Reply {
    fn from(response: control::Response) -> Self {
        match response {
            control::Response::Done => Self::Done,
            control::Response::Snapshot(report) => Self::Snapshot(report.into()),
            control::Response::Statistics(statistics) => Self::Statistics(Box::new((*statistics).into())),
            control::Response::MemoryChecksum(checksum) => Self::MemoryChecksum(format!("{checksum:016x}")),
            control::Response::WrittenRanges(ranges) => Self::WrittenRanges(
                ranges
                    .into_iter()
                    .map(|(start, end)| AddressRange { start: number(start), end: number(end) })
                    .collect(),
            ),
        }
    }
}
