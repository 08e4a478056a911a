//! A controller for tests: one `firn-vmm` process, driven over its control socket as the binding drives it.

#![allow(dead_code, reason = "each test file uses its part of the harness")]

pub mod guest;
pub mod script;
pub mod tap;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use firn_vmm::control::{
    BootRequest, CONTROL_VERSION, ControlSocket, Descriptor, Event, GicVersion, LayerIdentity, Message,
    PreparedReport, Request, RequestFrame, Response, RestoreRequest, SnapshotReport, SnapshotRequest,
    Statistics, WorkingSetReport,
};
use firn_vmm::error::VmmError;
use firn_vmm::jail::{JailLevel, JailOptions, JailReport, ProcessHandle};
use rustix::event::{PollFd, PollFlags, poll};

/// Guest memory of the tests' microVMs.
pub const MEMORY: u64 = 128 << 20;
const DEADLINE: Duration = Duration::from_secs(60);
/// The program that is tested.
pub const BINARY: &str = env!("CARGO_BIN_EXE_firn-vmm");
/// The variable that names another copy of the program to run.
pub const BINARY_VARIABLE: &str = "FIRN_BENCH_BINARY";
/// The variable that names the file to which strace logs the system calls of the processes that are started, if it is set.
pub const STRACE_VARIABLE: &str = "FIRN_BENCH_STRACE";

/// A microVM in a process of its own.
pub struct Vmm {
    socket: ControlSocket,
    process: ProcessHandle,
    next_id: u32,
    events: Vec<Event>,
    jail: Option<JailReport>,
}

/// The files of a snapshot. The digest is a stand-in: the VMM only compares it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub layers: Vec<(PathBuf, [u8; 32])>,
    pub state: PathBuf,
    pub report: SnapshotReport,
}

impl Vmm {
    /// A process without a microVM, in the jail of this test run: FIRN_TEST_JAIL, or the best that the host has. One that is traced
    /// must not fork: the tracer, its parent, does not reap what takes its place.
    pub fn spawn() -> Self {
        let level = std::env::var("FIRN_TEST_JAIL").ok();
        let level = level.map(|name| JailLevel::from_name(&name).expect("FIRN_TEST_JAIL is a level"));
        let level =
            if std::env::var_os(STRACE_VARIABLE).is_some() { Some(JailLevel::Minimal) } else { level };
        Self::spawn_in(&JailOptions { level, ids: Some(own_ids()), cgroup: None })
    }

    /// A process without a microVM, in this jail.
    pub fn spawn_in(options: &JailOptions) -> Self {
        let (own, other) = ControlSocket::pair().unwrap();
        let binary = std::env::var_os(BINARY_VARIABLE).unwrap_or_else(|| BINARY.into());
        let mut command = match std::env::var_os(STRACE_VARIABLE) {
            None => Command::new(binary),
            Some(log) => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "-o"]).arg(log).arg("--").arg(binary);
                strace
            }
        };
        let process = command
            .args(options.to_arguments())
            .stdin(Stdio::from(other.into_fd()))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .process_group(0)
            .spawn()
            .unwrap();
        let process = ProcessHandle::new(process).unwrap();
        Self { socket: own, process, next_id: 0, events: Vec::new(), jail: None }
    }

    /// Closes the control socket and waits until the process has ended by itself.
    pub fn close(mut self) {
        let (unconnected, _) = ControlSocket::pair().unwrap();
        drop(std::mem::replace(&mut self.socket, unconnected));
        self.process.wait().unwrap();
    }

    /// Boots a guest program.
    pub fn boot(image: &[u8], track_writes: bool) -> Self {
        Self::boot_as(image, BootRequest { track_writes, ..boot_request() })
    }

    /// Boots a guest program on this many vCPUs.
    pub fn boot_smp(image: &[u8], vcpus: u8) -> Self {
        Self::boot_as(image, BootRequest { vcpus, ..boot_request() })
    }

    /// Boots a guest program as asked for.
    pub fn boot_as(image: &[u8], request: BootRequest) -> Self {
        Self::boot_with(image, request, &[]).unwrap()
    }

    /// Boots a guest program with these descriptors besides kernel and root disk.
    pub fn boot_with(
        image: &[u8],
        request: BootRequest,
        more: &[(Descriptor, &File)],
    ) -> Result<Self, VmmError> {
        let mut vmm = Self::spawn();
        let (kernel, disk) = (file_with(image), file_with(&[0; 512]));
        let files = [&[(Descriptor::Kernel, &kernel), (Descriptor::RootDisk, &disk)], more].concat();
        vmm.request(Request::Boot(request), &files).map(|_| vmm)
    }

    /// Restores a snapshot in a new process.
    pub fn restore(snapshot: &Snapshot, leaf: bool, track_writes: bool) -> Result<Self, VmmError> {
        Self::restore_as(snapshot, restore_request(snapshot, leaf, track_writes), None)
    }

    /// Restores a snapshot in a new process with these descriptors besides those of every restore.
    pub fn restore_with(snapshot: &Snapshot, more: &[(Descriptor, &File)]) -> Result<Self, VmmError> {
        let request = restore_request(snapshot, false, false);
        let (vmm, outcome) = Self::try_restore_with(snapshot, request, more);
        outcome.map(|()| vmm)
    }

    /// Restores a snapshot in a new process; its vCPUs stay stopped.
    pub fn restore_paused(snapshot: &Snapshot) -> Self {
        let request = RestoreRequest { paused: true, ..restore_request(snapshot, false, false) };
        Self::restore_as(snapshot, request, None).unwrap()
    }

    /// Restores a snapshot in a new process with a working set.
    pub fn restore_with_working_set(
        snapshot: &Snapshot,
        working_set: &Path,
        paused: bool,
    ) -> Result<Self, VmmError> {
        let request = RestoreRequest { paused, ..restore_request(snapshot, false, false) };
        Self::restore_as(snapshot, request, Some(working_set))
    }

    /// Restores a snapshot in a new process that records what is read.
    pub fn restore_recording_reads(snapshot: &Snapshot) -> Self {
        let request = RestoreRequest { record_reads: true, ..restore_request(snapshot, false, false) };
        Self::restore_as(snapshot, request, None).unwrap()
    }

    /// Writes down which memory a clone has used, to a new file.
    pub fn record_working_set(
        &mut self,
        path: &Path,
        previous: Option<&Path>,
    ) -> Result<WorkingSetReport, VmmError> {
        let output = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let previous = previous.map(|path| File::open(path).unwrap());
        let mut files = vec![(Descriptor::WorkingSetOutput, &output)];
        files.extend(previous.iter().map(|file| (Descriptor::WorkingSet, file)));
        match self.request(Request::RecordWorkingSet, &files)? {
            Response::WorkingSet(report) => Ok(report),
            other => panic!("{other:?}"),
        }
    }

    /// Writes down which memory a clone has written that was not private ahead of that, to a new file, or learns from it.
    pub fn record_misses(
        &mut self,
        path: &Path,
        learnt_from: Option<[&Path; 2]>,
    ) -> Result<WorkingSetReport, VmmError> {
        let output = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let sets: Vec<File> = learnt_from.iter().flatten().map(|path| File::open(path).unwrap()).collect();
        let mut files = vec![(Descriptor::WorkingSetOutput, &output)];
        files.extend(sets.iter().map(|file| (Descriptor::WorkingSet, file)));
        match self.request(Request::RecordMisses, &files)? {
            Response::WorkingSet(report) => Ok(report),
            other => panic!("{other:?}"),
        }
    }

    fn restore_as(
        snapshot: &Snapshot,
        request: RestoreRequest,
        working_set: Option<&Path>,
    ) -> Result<Self, VmmError> {
        let (vmm, outcome) = Self::try_restore_as(snapshot, request, working_set);
        outcome.map(|()| vmm)
    }

    /// Restores a leaf in a new process, which is returned whatever came of it.
    pub fn try_restore(snapshot: &Snapshot) -> (Self, Result<(), VmmError>) {
        Self::try_restore_as(snapshot, restore_request(snapshot, true, false), None)
    }

    fn try_restore_as(
        snapshot: &Snapshot,
        request: RestoreRequest,
        working_set: Option<&Path>,
    ) -> (Self, Result<(), VmmError>) {
        let working_set = working_set.map(|path| File::open(path).unwrap());
        let more: Vec<_> = working_set.iter().map(|file| (Descriptor::WorkingSet, file)).collect();
        Self::try_restore_with(snapshot, request, &more)
    }

    fn try_restore_with(
        snapshot: &Snapshot,
        request: RestoreRequest,
        more: &[(Descriptor, &File)],
    ) -> (Self, Result<(), VmmError>) {
        let mut vmm = Self::spawn();
        let layers: Vec<File> = snapshot.layers.iter().map(|(path, _)| File::open(path).unwrap()).collect();
        let state = File::open(&snapshot.state).unwrap();
        let disk = file_with(&[0; 512]);
        let mut files: Vec<(Descriptor, &File)> =
            layers.iter().map(|file| (Descriptor::Layer, file)).collect();
        files.extend([(Descriptor::State, &state), (Descriptor::RootDisk, &disk)]);
        files.extend(more);
        let outcome = vmm.request(Request::Restore(request), &files).map(|_| ());
        (vmm, outcome)
    }

    /// A process that is prepared for restores on top of a snapshot.
    pub fn prepare(base: &Snapshot) -> Result<(Self, PreparedReport), VmmError> {
        Self::prepare_with(base, &[])
    }

    /// The same, with working sets of snapshots on top.
    pub fn prepare_with(base: &Snapshot, working_sets: &[&Path]) -> Result<(Self, PreparedReport), VmmError> {
        let working_sets: Vec<File> = working_sets.iter().map(|path| File::open(path).unwrap()).collect();
        let files: Vec<_> = working_sets.iter().map(|file| (Descriptor::WorkingSet, file)).collect();
        Self::prepare_as(base, &files)
    }

    /// The same, with other files that may be passed.
    pub fn prepare_as(
        base: &Snapshot,
        more: &[(Descriptor, &File)],
    ) -> Result<(Self, PreparedReport), VmmError> {
        let mut vmm = Self::spawn();
        let below: Vec<File> = base.layers.iter().map(|(path, _)| File::open(path).unwrap()).collect();
        let state = File::open(&base.state).unwrap();
        let mut files: Vec<(Descriptor, &File)> =
            below.iter().map(|file| (Descriptor::Layer, file)).collect();
        files.push((Descriptor::State, &state));
        files.extend(more);
        match vmm.request(Request::Prepare(restore_request(base, false, false)), &files)? {
            Response::Prepared(report) => Ok((vmm, report)),
            other => panic!("{other:?}"),
        }
    }

    /// Restores the topmost layer of a snapshot in this process, which was prepared with those below.
    pub fn restore_top(&mut self, snapshot: &Snapshot, paused: bool) -> Result<(), VmmError> {
        let request = RestoreRequest { paused, ..restore_request(snapshot, false, false) };
        self.restore_top_as(snapshot, request)
    }

    pub fn restore_top_as(&mut self, snapshot: &Snapshot, request: RestoreRequest) -> Result<(), VmmError> {
        self.restore_top_with(snapshot, request, &[])
    }

    /// The same, with these descriptors besides those of every restore.
    pub fn restore_top_with(
        &mut self,
        snapshot: &Snapshot,
        request: RestoreRequest,
        more: &[(Descriptor, &File)],
    ) -> Result<(), VmmError> {
        self.restore_above(snapshot.layers.len() - 1, snapshot, request, more)
    }

    /// The same, in a process that was prepared with the first `below` layers.
    pub fn restore_above(
        &mut self,
        below: usize,
        snapshot: &Snapshot,
        request: RestoreRequest,
        more: &[(Descriptor, &File)],
    ) -> Result<(), VmmError> {
        let layers = &snapshot.layers[below..];
        let files: Vec<File> = layers.iter().map(|(path, _)| File::open(path).unwrap()).collect();
        let (state, disk) = (File::open(&snapshot.state).unwrap(), file_with(&[0; 512]));
        let identities = layers.iter().map(|(_, digest)| LayerIdentity { digest: *digest });
        let request = RestoreRequest { layers: identities.collect(), ..request };
        let mut descriptors: Vec<_> = files.iter().map(|file| (Descriptor::Layer, file)).collect();
        descriptors.extend([(Descriptor::State, &state), (Descriptor::RootDisk, &disk)]);
        descriptors.extend(more);
        self.request(Request::Restore(request), &descriptors).map(|_| ())
    }

    /// Runs what this process was prepared with, and nothing more.
    pub fn restore_itself(&mut self) -> Result<(), VmmError> {
        let request = RestoreRequest::default();
        let disk = file_with(&[0; 512]);
        self.request(Request::Restore(request), &[(Descriptor::RootDisk, &disk)]).map(|_| ())
    }

    /// Closes the control socket, as the end of the controller does, and waits until the process has ended by itself.
    pub fn abandon(mut self) -> std::process::ExitStatus {
        let (unconnected, _) = ControlSocket::pair().unwrap();
        drop(std::mem::replace(&mut self.socket, unconnected));
        let deadline = std::time::Instant::now() + DEADLINE;
        loop {
            if self.process.has_ended() {
                return self.process.wait().unwrap();
            }
            assert!(std::time::Instant::now() < deadline, "firn-vmm did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a request and waits for its response; events that come before it are kept.
    pub fn request(&mut self, request: Request, files: &[(Descriptor, &File)]) -> Result<Response, VmmError> {
        self.send(request, files)?;
        self.response(self.next_id)
    }

    /// Sends a request, whose response is to be asked for by the number that is returned.
    pub fn send(&mut self, request: Request, files: &[(Descriptor, &File)]) -> Result<u32, VmmError> {
        self.next_id += 1;
        let frame = RequestFrame {
            version: CONTROL_VERSION,
            id: self.next_id,
            descriptors: files.iter().map(|(meaning, _)| *meaning).collect(),
            request,
        };
        let descriptors: Vec<_> = files.iter().map(|(_, file)| file.as_fd()).collect();
        self.socket.send(&frame, &descriptors)?;
        Ok(self.next_id)
    }

    /// Waits for the response that comes next, which must be to this request; events that come before it are kept.
    pub fn response(&mut self, request: u32) -> Result<Response, VmmError> {
        loop {
            match self.receive() {
                Message::Response { id, result } => {
                    assert_eq!(id, request);
                    return result;
                }
                Message::Event(event) => self.events.push(event),
                Message::Successor { .. } | Message::Jailed(_) => unreachable!("receive keeps these"),
            }
        }
    }

    fn receive(&mut self) -> Message {
        loop {
            match self.receive_any() {
                Message::Jailed(report) => self.jail = Some(report),
                other => return other,
            }
        }
    }

    fn receive_any(&mut self) -> Message {
        loop {
            let timeout =
                rustix::event::Timespec { tv_sec: DEADLINE.as_secs().try_into().unwrap(), tv_nsec: 0 };
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            assert!(poll(&mut fds, Some(&timeout)).unwrap() > 0, "firn-vmm said nothing for {DEADLINE:?}");
            let received = self.socket.receive::<Message>().unwrap();
            let Some(mut received) = received else {
                panic!("firn-vmm ended: {}", self.process.wait().unwrap())
            };
            match received.message {
                Message::Successor { pid } => {
                    self.process.succeed(pid, received.descriptors.remove(0)).unwrap();
                }
                other => return other,
            }
        }
    }

    /// The jail that the process is in, or why it is in none.
    pub fn jail(&mut self) -> Result<JailReport, VmmError> {
        if self.jail.is_none() {
            match self.receive_any() {
                Message::Jailed(report) => self.jail = Some(report),
                Message::Event(Event::Failed(error)) => return Err(error),
                other => panic!("{other:?} before the jail"),
            }
        }
        Ok(self.jail.clone().unwrap())
    }

    /// Number of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.process.wait().unwrap()
    }

    /// The next event.
    pub fn event(&mut self) -> Event {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        match self.receive() {
            Message::Event(event) => event,
            other => panic!("{other:?} without a request"),
        }
    }

    /// Lets go of the events that have come.
    pub fn forget_events(&mut self) {
        self.events.clear();
    }

    /// Whether anything that nobody asked for has been said.
    pub fn has_event(&mut self) -> bool {
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        !self.events.is_empty() || poll(&mut fds, Some(&at_once)).unwrap() > 0
    }

    /// The next event, which must be a doorbell: (event, detail).
    pub fn doorbell(&mut self) -> (u32, u32) {
        match self.event() {
            Event::Doorbell { event, detail } => (event, detail),
            other => panic!("{other:?} instead of a doorbell"),
        }
    }

    pub fn resume(&mut self) {
        self.request(Request::Resume, &[]).unwrap();
    }

    pub fn pause(&mut self) {
        self.request(Request::Pause, &[]).unwrap();
    }

    /// Snapshots into `directory`, on top of the layers that this microVM was restored from.
    pub fn snapshot(&mut self, below: Option<&Snapshot>, directory: &Path, name: &str) -> Snapshot {
        self.try_snapshot(below, directory, name).unwrap()
    }

    pub fn try_snapshot(
        &mut self,
        below: Option<&Snapshot>,
        directory: &Path,
        name: &str,
    ) -> Result<Snapshot, VmmError> {
        let path = directory.join(format!("{name}.layer"));
        let state = directory.join(format!("{name}.state"));
        let create =
            |path: &Path| File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let response = self.request(
            Request::Snapshot(SnapshotRequest { app_image: None }),
            &[(Descriptor::LayerOutput, &create(&path)), (Descriptor::StateOutput, &create(&state))],
        );
        let Response::Snapshot(report) = response? else { panic!("not a snapshot report") };
        let mut layers = below.map(|snapshot| snapshot.layers.clone()).unwrap_or_default();
        let mut digest = [0; 32];
        for (slot, byte) in digest.iter_mut().zip(name.bytes()) {
            *slot = byte;
        }
        layers.push((path, digest));
        Ok(Snapshot { layers, state, report })
    }

    pub fn memory_checksum(&mut self) -> u64 {
        match self.request(Request::MemoryChecksum, &[]).unwrap() {
            Response::MemoryChecksum(checksum) => checksum,
            other => panic!("{other:?}"),
        }
    }

    pub fn written_ranges(&mut self) -> Vec<(u64, u64)> {
        match self.request(Request::WrittenRanges, &[]).unwrap() {
            Response::WrittenRanges(ranges) => ranges,
            other => panic!("{other:?}"),
        }
    }

    pub fn statistics(&mut self) -> Statistics {
        match self.request(Request::Statistics, &[]).unwrap() {
            Response::Statistics(statistics) => *statistics,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        self.process.kill();
        // A test that has waited for the end itself has reaped it.
        let _reaped = self.process.wait();
    }
}

/// A boot of the least microVM.
pub fn boot_request() -> BootRequest {
    BootRequest { memory_bytes: MEMORY, gic: gic(), ..BootRequest::default() }
}

/// A user and group that no other process of this test run has.
pub fn own_ids() -> (u32, u32) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = 2_000_000_000 + std::process::id() % 10_000 * 1_000 + NEXT.fetch_add(1, Ordering::Relaxed);
    (id, id)
}

/// The interrupt controller that the test run asks for by FIRN_TEST_GIC, or the host's newest.
fn gic() -> Option<GicVersion> {
    match std::env::var("FIRN_TEST_GIC").as_deref() {
        Ok("2") => Some(GicVersion::V2),
        Ok("3") => Some(GicVersion::V3),
        _ => None,
    }
}

pub fn restore_request(snapshot: &Snapshot, leaf: bool, track_writes: bool) -> RestoreRequest {
    let layers = snapshot.layers.iter().map(|(_, digest)| LayerIdentity { digest: *digest }).collect();
    RestoreRequest { layers, leaf, track_writes, ..RestoreRequest::default() }
}

/// The page size of this host, bytes.
pub fn host_page_size() -> u64 {
    // SAFETY: reads a constant of the process.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap()
}

pub fn file_with(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// A connected pair of nonblocking stream sockets.
pub fn stream_pair() -> (UnixStream, OwnedFd) {
    let (own, other) = UnixStream::pair().unwrap();
    own.set_read_timeout(Some(DEADLINE)).unwrap();
    other.set_nonblocking(true).unwrap();
    (own, other.into())
}

/// The host's counter, which ticks as the guest's does.
#[cfg(target_arch = "aarch64")]
pub fn host_counter() -> u64 {
    let ticks: u64;
    // SAFETY: Linux lets programs read the counter; the barrier keeps the read where it is.
    unsafe { std::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack)) };
    ticks
}
