//! What the two ends of the control socket say to each other, encoded by postcard.

use serde::{Deserialize, Serialize};

use crate::devices::DeviceLimits;
use crate::error::VmmError;
use crate::gic_version::GicVersion;
use crate::jail::JailReport;
use crate::layout::MEMORY_MIN;

/// Version of these messages; both ends must have the same, they are installed together.
pub const CONTROL_VERSION: u16 = 8;

/// What a descriptor that travels with a request is for. Descriptors are in the order of [`RequestFrame::descriptors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Descriptor {
    /// The kernel: an arm64 Image, uncompressed, read-only.
    Kernel,
    /// An initial RAM disk, read-only.
    Initrd,
    /// The root file system, read-only.
    RootDisk,
    /// The app image, read-only.
    AppDisk,
    /// A stream socket for the agent stream.
    Stream,
    /// The write end of a pipe for the serial console.
    Console,
    /// A memory layer, read-only; base first.
    Layer,
    /// The state file of the topmost layer, read-only.
    State,
    /// An empty file for the memory layer of a snapshot.
    LayerOutput,
    /// An empty file for the state of a snapshot.
    StateOutput,
    /// A working set file of the snapshot, read-only.
    WorkingSet,
    /// An empty file for a working set.
    WorkingSetOutput,
    /// The image of the scratch disk, open for reading and writing.
    ScratchDisk,
    /// The network card's link: a connected stream socket, or a tap.
    Net,
}

/// A request with its number and its descriptors' meanings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFrame {
    /// [`CONTROL_VERSION`] of the sender.
    pub version: u16,
    /// Comes back in the response.
    pub id: u32,
    /// What each of the packet's descriptors is for.
    pub descriptors: Vec<Descriptor>,
    /// What is wanted.
    pub request: Request,
}

/// What a controller may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Boot a kernel. Descriptors: Kernel, RootDisk; optionally Initrd, AppDisk, Stream, Console,
    /// ScratchDisk, Net.
    Boot(BootRequest),
    /// Do everything that a restore on top of these layers can have done before the function is known: create the VM, give it
    /// this state, let its vCPUs enter KVM once, map the layers. Descriptors: Layer (any number, base first), State (of the last
    /// of them); optionally WorkingSet (any number, of snapshots on top of them), of which it then has what is read.
    Prepare(RestoreRequest),
    /// Restore a snapshot and run it. Descriptors: Layer (those on top of the prepared ones, or all), State (may be left out if
    /// it is the prepared one), RootDisk; optionally AppDisk, Stream, Console,
    /// WorkingSet, Net; ScratchDisk if the snapshot's microVM had one.
    Restore(RestoreRequest),
    /// Snapshot the microVM, which must be stopped at a doorbell or paused; it stays stopped. Descriptors: LayerOutput,
    /// StateOutput.
    Snapshot(SnapshotRequest),
    /// Let the vCPUs run again, with a new VM generation id. Descriptors: optionally Stream, which replaces the agent stream.
    Resume,
    /// Stop the vCPUs; the guest's clock stands still.
    Pause,
    /// Counters and phases.
    Statistics,
    /// A checksum of all guest memory, of a stopped microVM: slow, for tests.
    MemoryChecksum,
    /// The guest address ranges that the KVM dirty log and the VMM's own record say were written since the start of a
    /// microVM with `track_writes`, of a stopped microVM; for tests.
    WrittenRanges,
    /// Write down which memory this microVM, restored from a snapshot and now stopped, has used since. Descriptors:
    /// WorkingSetOutput; optionally WorkingSet, one of the same snapshot: then only what is in both is written down.
    RecordWorkingSet,
    /// Have the guest's balloon hold so many bytes, a multiple of 4 KiB, as far as the guest can spare them.
    SetBalloon(u64),
    /// Write down which memory this microVM, restored from a snapshot, has written since that was not private ahead of that. It may run
    /// meanwhile. Descriptors: WorkingSetOutput; optionally WorkingSet twice, that of the snapshot, and what another clone of it gave here:
    /// then the first is written down, with what both clones have written added.
    RecordMisses,
}

/// A regular boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRequest {
    /// 1 to 8.
    pub vcpus: u8,
    /// Guest memory in bytes, 128 MiB to 8 GiB, a multiple of 2 MiB.
    pub memory_bytes: u64,
    /// Kernel command line.
    pub command_line: String,
    /// The interrupt controller, or `None` for the newest that the host has.
    pub gic: Option<GicVersion>,
    /// Whether writes are recorded for [`Request::WrittenRanges`].
    pub track_writes: bool,
    /// Whether there is a random number generator.
    pub rng: bool,
    /// Whether there is a network card. There is one, too, if there is a Net descriptor; without that its link is down.
    pub net: bool,
    /// Whether there is a balloon, by which the guest gives memory back.
    pub balloon: bool,
    /// The network card's MAC address, or `None` for a random one that is locally administered.
    pub mac: Option<[u8; 6]>,
    /// How fast devices may be.
    pub limits: DeviceLimits,
}

impl Default for BootRequest {
    /// One vCPU and the least memory.
    fn default() -> Self {
        Self {
            vcpus: 1,
            memory_bytes: MEMORY_MIN,
            command_line: String::new(),
            gic: None,
            track_writes: false,
            rng: false,
            net: false,
            balloon: false,
            mac: None,
            limits: DeviceLimits::default(),
        }
    }
}

/// What a memory layer is called by the store. The VMM checks that each names its predecessor as its parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerIdentity {
    /// SHA-256 of the layer file.
    pub digest: [u8; 32],
}

/// A restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// The layers that travel with this request, base first.
    pub layers: Vec<LayerIdentity>,
    /// SHA-256 of the app image, or `None` if there is no app disk; the topmost layer must have been taken with it.
    pub app_image: Option<[u8; 32]>,
    /// A leaf serves only: its doorbell is ignored and it cannot be snapshotted.
    pub leaf: bool,
    /// Whether the vCPUs stay stopped, before the first instruction, until [`Request::Resume`].
    pub paused: bool,
    /// Whether writes are recorded for [`Request::WrittenRanges`].
    pub track_writes: bool,
    /// Whether reads are recorded for [`Request::RecordWorkingSet`], which makes the start slow.
    pub record_reads: bool,
    /// How fast devices may be; those of the snapshot's microVM are not known any more.
    pub limits: DeviceLimits,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {
    /// SHA-256 of the app image that the function was loaded from.
    pub app_image: Option<[u8; 32]>,
}

/// What a VMM process says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// The answer to the request of this number.
    Response {
        /// [`RequestFrame::id`].
        id: u32,
        /// What came of it.
        result: Result<Response, VmmError>,
    },
    /// Something happened in the guest.
    Event(Event),
    /// Another process takes the place of this one, which ends: that is how a process comes into new namespaces. A descriptor of the
    /// other process, a pidfd, travels with this. At most once, and never after [`Message::Jailed`].
    Successor {
        /// Its number.
        pid: u32,
    },
    /// The process is in its jail and serves requests. The first message but for [`Message::Successor`].
    Jailed(JailReport),
}

/// The answer to a request that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// Nothing to tell.
    Done,
    /// A snapshot was written.
    Snapshot(SnapshotReport),
    /// Counters and phases.
    Statistics(Box<Statistics>),
    /// The checksum.
    MemoryChecksum(u64),
    /// Ranges of guest physical addresses (start, end).
    WrittenRanges(Vec<(u64, u64)>),
    /// A working set was written.
    WorkingSet(WorkingSetReport),
    /// The process waits for its restore.
    Prepared(PreparedReport),
}

/// What a prepared process has cost so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedReport {
    /// Anonymous + Swap of the process (/proc/self/smaps_rollup).
    pub private_bytes: u64,
    /// Pages that were entered into the VM's translation tables, as the working set says.
    pub touched_pages: u64,
    /// Where the time of the preparation went.
    pub phases: Phases,
}

/// What happened in the guest, or to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The guest rang: all vCPUs are stopped.
    Doorbell {
        /// 1 booted, 2 base ready, 3 warm, 4 failed.
        event: u32,
        /// The number the guest stored to DETAIL before.
        detail: u32,
    },
    /// The guest switched itself off or reset. The process ends.
    Stopped {
        /// True for a reset.
        reset: bool,
    },
    /// The microVM cannot go on. The process ends.
    Failed(VmmError),
}

/// What a snapshot consists of, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// Memory that was compared with the parent.
    pub candidate_bytes: u64,
    /// Memory that is in the layer.
    pub data_bytes: u64,
    /// Memory that is zero in this layer and was not in the parent.
    pub zero_bytes: u64,
    /// Runs of memory in the layer.
    pub extents: u64,
    /// Length of the layer file.
    pub layer_file_bytes: u64,
    /// Length of the state file.
    pub state_file_bytes: u64,
    /// How long it took, in microseconds.
    pub microseconds: u64,
}

/// What a working set consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingSetReport {
    /// Memory that was written, bytes.
    pub written_bytes: u64,
    /// Memory that was only read, bytes; 0 unless reads were recorded.
    pub read_bytes: u64,
    /// Runs of both.
    pub ranges: u64,
}

/// Counters since the process started, or since its restore if it was prepared before; nothing is estimated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Returns of KVM_RUN.
    pub kvm_exits: u64,
    /// Of these, for MMIO.
    pub mmio_exits: u64,
    /// Interrupts raised by devices.
    pub interrupts: u64,
    /// Bytes of memory layers copied into guest memory.
    pub bytes_copied: u64,
    /// Bytes of memory layers mapped into guest memory.
    pub bytes_mapped: u64,
    /// Bytes of guest memory made private before the start, as the working set says.
    pub bytes_populated: u64,
    /// mmap, pread and madvise calls for that.
    pub load_calls: u64,
    /// Bytes read from the disks by the guest.
    pub disk_bytes_read: u64,
    /// Anonymous + Swap of the process (/proc/self/smaps_rollup).
    pub private_bytes: u64,
    /// Minor page faults of the process.
    pub minor_faults: u64,
    /// Major page faults of the process.
    pub major_faults: u64,
    /// Where the time of the start went.
    pub phases: Phases,
    /// Bytes written to the scratch disk by the guest.
    pub disk_bytes_written: u64,
    /// Ethernet frames that the guest got.
    pub net_frames_received: u64,
    /// Ethernet frames that the guest sent.
    pub net_frames_sent: u64,
    /// Ethernet frames that were lost between guest and link.
    pub net_frames_dropped: u64,
    /// Random bytes that the guest got from the random number generator.
    pub random_bytes: u64,
    /// Bytes of the serial console's output that were lost because nobody read them in time.
    pub console_bytes_dropped: u64,
    /// Bytes that the guest says are in its balloon now.
    pub balloon_bytes: u64,
    /// Bytes of memory that the guest has given back, by its balloon or by reports of free pages; those that it has used again in between
    /// count again.
    pub balloon_bytes_reclaimed: u64,
}

/// Where the time of a boot or restore went, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Creating the VM, its vCPUs and interrupt controller.
    pub create_vm: u64,
    /// Mapping memory layers, and copying what of them is short.
    pub load_memory: u64,
    /// Making the pages of the working set private, or, of a preparation, entering them into the VM's translation tables.
    pub populate: u64,
    /// Reading and checking the state file.
    pub read_state: u64,
    /// Writing vCPU registers.
    pub load_vcpus: u64,
    /// Writing the interrupt controller's registers.
    pub load_gic: u64,
    /// Rebuilding devices and queueing what the stream already holds.
    pub load_devices: u64,
    /// From when the guest's time goes on, the last that is written before it runs, to its first KVM_RUN.
    pub start_vcpus: u64,
    /// From the receipt of the request to the first KVM_RUN of the guest; to the end of a restore that leaves it paused.
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::{RateLimit, TokenBucket};
    use crate::error::ErrorCode;
    use crate::jail::{CgroupReport, JailLevel};

    fn hex<T: Serialize>(message: &T) -> String {
        postcard::to_stdvec(message).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn frame(request: Request) -> String {
        hex(&RequestFrame {
            version: CONTROL_VERSION,
            id: 300,
            descriptors: vec![Descriptor::Kernel, Descriptor::StateOutput],
            request,
        })
    }

    /// A change of any message changes these bytes, and needs a new [`CONTROL_VERSION`].
    #[test]
    fn the_encoding_of_messages_is_that_of_version_7() {
        assert_eq!(CONTROL_VERSION, 8);
        let bucket = Some(TokenBucket { per_second: 5, burst: 6 });
        let limits = DeviceLimits {
            net_receive: RateLimit { bytes: bucket, operations: None },
            rng: RateLimit { bytes: None, operations: bucket },
            ..DeviceLimits::default()
        };
        let boot = BootRequest {
            vcpus: 1,
            memory_bytes: 128 << 20,
            command_line: "quiet".to_owned(),
            gic: Some(GicVersion::V3),
            track_writes: false,
            rng: true,
            net: true,
            balloon: true,
            mac: Some([2, 0, 0, 0, 0, 7]),
            limits,
        };
        let restore = RestoreRequest {
            layers: vec![LayerIdentity { digest: [0xab; 32] }],
            app_image: None,
            leaf: true,
            paused: false,
            track_writes: false,
            record_reads: false,
            limits: DeviceLimits::default(),
        };
        let ab = "ab".repeat(32);
        let no_limits = "00".repeat(12);
        assert_eq!(
            frame(Request::Boot(boot)),
            "08ac020200090001808080400571756965740101000101010102000000000700000000000001050600000000010506"
        );
        assert_eq!(
            frame(Request::Prepare(restore.clone())),
            format!("08ac020200090101{ab}0001000000{no_limits}")
        );
        assert_eq!(frame(Request::Restore(restore)), format!("08ac020200090201{ab}0001000000{no_limits}"));
        assert_eq!(
            frame(Request::Snapshot(SnapshotRequest { app_image: Some([0xab; 32]) })),
            format!("08ac020200090301{ab}")
        );
        let rest = [
            Request::Resume,
            Request::Pause,
            Request::Statistics,
            Request::MemoryChecksum,
            Request::WrittenRanges,
            Request::RecordWorkingSet,
        ];
        for (number, request) in (4..).zip(rest) {
            assert_eq!(frame(request), format!("08ac02020009{number:02x}"));
        }
        assert_eq!(frame(Request::SetBalloon(300)), "08ac020200090aac02");
        assert_eq!(frame(Request::RecordMisses), "08ac020200090b");
        let response = |result| hex(&Message::Response { id: 1, result });
        assert_eq!(response(Ok(Response::Done)), "00010000");
        assert_eq!(response(Ok(Response::MemoryChecksum(5))), "0001000305");
        assert_eq!(response(Ok(Response::WrittenRanges(vec![(1, 2)]))), "00010004010102");
        assert_eq!(response(Ok(Response::WorkingSet(WorkingSetReport::default()))), "00010005000000");
        assert_eq!(response(Ok(Response::Snapshot(SnapshotReport::default()))), "0001000100000000000000");
        assert_eq!(
            response(Ok(Response::Prepared(PreparedReport::default()))),
            "000100060000000000000000000000"
        );
        assert_eq!(response(Err(VmmError::new(ErrorCode::Guest, "x"))), "0001010b0178");
        assert_eq!(hex(&Message::Event(Event::Doorbell { event: 2, detail: 3 })), "01000203");
        assert_eq!(hex(&Message::Event(Event::Stopped { reset: true })), "010101");
        assert_eq!(hex(&Message::Successor { pid: 300 }), "02ac02");
        let jail = JailReport {
            level: JailLevel::UserNamespaces,
            uid: 1,
            gid: 2,
            landlock: 6,
            cgroup: Some(CgroupReport { memory: true, pids: false, cpu: true }),
            missing: vec!["x".to_owned()],
            microseconds: 5,
        };
        assert_eq!(hex(&Message::Jailed(jail)), "03010102060101000101017805");
    }
}
