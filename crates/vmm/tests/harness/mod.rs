//! A controller for tests: one `firn-vmm` process, driven over its control socket as the binding drives it.

#![allow(dead_code, reason = "each test file uses its part of the harness")]

pub mod guest;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use firn_vmm::control::{
    BootRequest, CONTROL_VERSION, ControlSocket, Descriptor, Event, GicVersion, LayerIdentity, Message,
    Request, RequestFrame, Response, RestoreRequest, SnapshotReport, SnapshotRequest, Statistics,
};
use firn_vmm::error::VmmError;
use rustix::event::{PollFd, PollFlags, poll};

/// Guest memory of the tests' microVMs.
pub const MEMORY: u64 = 128 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

/// A microVM in a process of its own.
pub struct Vmm {
    socket: ControlSocket,
    process: Child,
    next_id: u32,
    events: Vec<Event>,
}

/// The files of a snapshot. The digest is a stand-in: the VMM only compares it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub layers: Vec<(PathBuf, [u8; 32])>,
    pub state: PathBuf,
    pub report: SnapshotReport,
}

impl Vmm {
    /// A process without a microVM.
    pub fn spawn() -> Self {
        let (own, other) = ControlSocket::pair().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_firn-vmm"))
            .stdin(Stdio::from(other.into_fd()))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { socket: own, process, next_id: 0, events: Vec::new() }
    }

    /// Boots a guest program.
    pub fn boot(image: &[u8], track_writes: bool) -> Self {
        let mut vmm = Self::spawn();
        let request = BootRequest {
            vcpus: 1,
            memory_bytes: MEMORY,
            command_line: String::new(),
            gic: gic(),
            track_writes,
        };
        vmm.request(
            Request::Boot(request),
            &[(Descriptor::Kernel, &file_with(image)), (Descriptor::RootDisk, &file_with(&[0; 512]))],
        )
        .unwrap();
        vmm
    }

    /// Restores a snapshot in a new process.
    pub fn restore(snapshot: &Snapshot, leaf: bool, track_writes: bool) -> Result<Self, VmmError> {
        Self::restore_as(snapshot, restore_request(snapshot, leaf, track_writes))
    }

    /// Restores a snapshot in a new process; its vCPUs stay stopped.
    pub fn restore_paused(snapshot: &Snapshot) -> Self {
        let request = RestoreRequest { paused: true, ..restore_request(snapshot, false, false) };
        Self::restore_as(snapshot, request).unwrap()
    }

    fn restore_as(snapshot: &Snapshot, request: RestoreRequest) -> Result<Self, VmmError> {
        let mut vmm = Self::spawn();
        let layers: Vec<File> = snapshot.layers.iter().map(|(path, _)| File::open(path).unwrap()).collect();
        let state = File::open(&snapshot.state).unwrap();
        let disk = file_with(&[0; 512]);
        let mut files: Vec<(Descriptor, &File)> =
            layers.iter().map(|file| (Descriptor::Layer, file)).collect();
        files.extend([(Descriptor::State, &state), (Descriptor::RootDisk, &disk)]);
        vmm.request(Request::Restore(request), &files)?;
        Ok(vmm)
    }

    /// Restores the topmost layer of a snapshot on a process that was prepared with the layers below.
    pub fn restore_prepared(base: &Snapshot, snapshot: &Snapshot) -> Result<Self, VmmError> {
        let mut vmm = Self::spawn();
        let below: Vec<File> = base.layers.iter().map(|(path, _)| File::open(path).unwrap()).collect();
        let state = File::open(&base.state).unwrap();
        let mut files: Vec<(Descriptor, &File)> =
            below.iter().map(|file| (Descriptor::Layer, file)).collect();
        files.push((Descriptor::State, &state));
        vmm.request(Request::Prepare(restore_request(base, false, false)), &files)?;

        let (top, digest) = snapshot.layers.last().unwrap();
        let (top, state, disk) =
            (File::open(top).unwrap(), File::open(&snapshot.state).unwrap(), file_with(&[0; 512]));
        let request = RestoreRequest {
            layers: vec![LayerIdentity { digest: *digest }],
            ..restore_request(snapshot, false, false)
        };
        let files = [(Descriptor::Layer, &top), (Descriptor::State, &state), (Descriptor::RootDisk, &disk)];
        vmm.request(Request::Restore(request), &files)?;
        Ok(vmm)
    }

    /// Sends a request and waits for its response; events that come before it are kept.
    pub fn request(&mut self, request: Request, files: &[(Descriptor, &File)]) -> Result<Response, VmmError> {
        self.next_id += 1;
        let frame = RequestFrame {
            version: CONTROL_VERSION,
            id: self.next_id,
            descriptors: files.iter().map(|(meaning, _)| *meaning).collect(),
            request,
        };
        let descriptors: Vec<_> = files.iter().map(|(_, file)| file.as_fd()).collect();
        self.socket.send(&frame, &descriptors)?;
        loop {
            match self.receive() {
                Message::Response { id, result } => {
                    assert_eq!(id, self.next_id);
                    return result;
                }
                Message::Event(event) => self.events.push(event),
            }
        }
    }

    fn receive(&mut self) -> Message {
        let timeout = rustix::event::Timespec { tv_sec: DEADLINE.as_secs().try_into().unwrap(), tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        assert!(poll(&mut fds, Some(&timeout)).unwrap() > 0, "firn-vmm said nothing for {DEADLINE:?}");
        self.socket.receive::<Message>().unwrap().expect("firn-vmm ended").message
    }

    /// The next event.
    pub fn event(&mut self) -> Event {
        if !self.events.is_empty() {
            return self.events.remove(0);
        }
        match self.receive() {
            Message::Event(event) => event,
            Message::Response { .. } => panic!("a response without a request"),
        }
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

    /// Snapshots into `directory`, on top of the layers that this microVM was restored from.
    pub fn snapshot(&mut self, below: Option<&Snapshot>, directory: &Path, name: &str) -> Snapshot {
        let path = directory.join(format!("{name}.layer"));
        let state = directory.join(format!("{name}.state"));
        let create =
            |path: &Path| File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let response = self.request(
            Request::Snapshot(SnapshotRequest { app_image: None }),
            &[(Descriptor::LayerOutput, &create(&path)), (Descriptor::StateOutput, &create(&state))],
        );
        let Response::Snapshot(report) = response.unwrap() else { panic!("not a snapshot report") };
        let mut layers = below.map(|snapshot| snapshot.layers.clone()).unwrap_or_default();
        let mut digest = [0; 32];
        for (slot, byte) in digest.iter_mut().zip(name.bytes()) {
            *slot = byte;
        }
        layers.push((path, digest));
        Snapshot { layers, state, report }
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
        let _ended = self.process.kill();
        self.process.wait().unwrap();
    }
}

/// The interrupt controller that the test run asks for by FIRN_TEST_GIC, or the host's newest.
fn gic() -> Option<GicVersion> {
    match std::env::var("FIRN_TEST_GIC").as_deref() {
        Ok("2") => Some(GicVersion::V2),
        Ok("3") => Some(GicVersion::V3),
        _ => None,
    }
}

fn restore_request(snapshot: &Snapshot, leaf: bool, track_writes: bool) -> RestoreRequest {
    RestoreRequest {
        layers: snapshot.layers.iter().map(|(_, digest)| LayerIdentity { digest: *digest }).collect(),
        app_image: None,
        leaf,
        paused: false,
        track_writes,
    }
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
