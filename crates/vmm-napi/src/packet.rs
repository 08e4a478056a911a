//! From options to a request with open descriptors.

use std::os::fd::OwnedFd;

use firn_vmm::control::{
    BootRequest, CONTROL_VERSION, Descriptor, GicVersion, LayerIdentity, Request, RequestFrame,
    RestoreRequest, SnapshotRequest,
};
use firn_vmm::layer::{HEADER_LENGTH, LayerHeader};
use napi::bindgen_prelude::Uint8Array;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::agent_stream::{AgentStream, SEND_BUFFER_BYTES};
use crate::device_options::{DeviceLimits, NetOptions};
use crate::failure::Failure;
use crate::files::{open_input, open_writable};
use crate::link::Link;
use crate::options::{
    BootOptions, Layer, MissesOptions, PrepareOptions, RestoreOptions, SnapshotOptions, WorkingSetOptions,
};
use crate::pending::{Connections, Kept};

/// A file to open or create: what it is, what an error calls it, where it is.
type NamedFile = (Descriptor, &'static str, String);

/// A request, detached from JavaScript's memory, with paths that are not open yet.
#[derive(Debug)]
pub struct Work {
    request: Box<Request>,
    inputs: Vec<NamedFile>,
    outputs: Vec<NamedFile>,
    scratch_disk: Option<String>,
    link: Option<Link>,
    connect: Option<Connect>,
}

/// What a microVM that starts is to be connected to.
#[derive(Debug)]
struct Connect {
    initial_bytes: Vec<u8>,
    console: bool,
}

/// A request ready to be sent.
#[derive(Debug)]
pub struct Packet {
    /// The message.
    pub frame: RequestFrame,
    /// What travels with it; closed here when it is sent.
    pub descriptors: Vec<OwnedFd>,
    /// What stays here until the response.
    pub kept: Kept,
}

impl Work {
    /// A request that needs no files.
    pub fn plain(request: Request) -> Self {
        Self {
            request: Box::new(request),
            inputs: Vec::new(),
            outputs: Vec::new(),
            scratch_disk: None,
            link: None,
            connect: None,
        }
    }

    /// A boot.
    ///
    /// # Errors
    /// FIRN_VMM_OPTIONS for a negative memory size or an unknown interrupt controller.
    pub fn boot(options: BootOptions) -> Result<Self, Failure> {
        let gic = match options.gic {
            None => None,
            Some(2) => Some(GicVersion::V2),
            Some(3) => Some(GicVersion::V3),
            Some(other) => {
                return Err(Failure::options(format!("there is no GIC version {other}: choose 2 or 3")));
            }
        };
        let request = Request::Boot(BootRequest {
            vcpus: options.vcpus,
            memory_bytes: u64::try_from(options.memory_bytes)
                .map_err(|_| Failure::options("the memory size is negative"))?,
            command_line: options.command_line,
            gic,
            track_writes: false,
            rng: options.rng,
            net: options.net.is_some(),
            balloon: options.balloon,
            mac: options.net.as_ref().map(NetOptions::mac).transpose()?.flatten(),
            limits: DeviceLimits::to_vmm(options.limits.as_ref())?,
        });
        let mut inputs =
            vec![(Descriptor::Kernel, "kernel", options.kernel_path), root_disk(options.root_disk_path)];
        inputs.extend(options.initrd_path.map(|path| (Descriptor::Initrd, "initrd", path)));
        inputs.extend(options.app_disk_path.map(|path| (Descriptor::AppDisk, "app disk", path)));
        let connect = Connect { initial_bytes: Vec::new(), console: options.console };
        Ok(Self {
            inputs,
            scratch_disk: options.scratch_disk_path,
            link: link(options.net)?,
            connect: Some(connect),
            ..Self::plain(request)
        })
    }

    /// A restore.
    ///
    /// # Errors
    /// FIRN_VMM_OPTIONS for a digest that is not 32 bytes long.
    pub fn restore(options: RestoreOptions) -> Result<Self, Failure> {
        let (layers, mut inputs) = snapshot_inputs(options.layers, options.state_path)?;
        inputs.push(root_disk(options.root_disk_path));
        inputs.extend(options.app_disk_path.map(|path| (Descriptor::AppDisk, "app disk", path)));
        inputs.extend(options.working_set_path.map(|path| (Descriptor::WorkingSet, "working set", path)));
        let request = Request::Restore(RestoreRequest {
            layers,
            app_image: options.app_image_digest.as_ref().map(digest).transpose()?,
            leaf: options.leaf,
            paused: options.paused,
            track_writes: false,
            record_reads: options.record_reads,
            limits: DeviceLimits::to_vmm(options.limits.as_ref())?,
        });
        let initial = options.initial_bytes.as_deref().unwrap_or_default();
        let initial_bytes = initial.get(..SEND_BUFFER_BYTES).unwrap_or(initial).to_vec();
        let connect = Connect { initial_bytes, console: options.console };
        Ok(Self {
            inputs,
            scratch_disk: options.scratch_disk_path,
            link: link(options.net)?,
            connect: Some(connect),
            ..Self::plain(request)
        })
    }

    /// A preparation.
    ///
    /// # Errors
    /// FIRN_VMM_OPTIONS for a digest that is not 32 bytes long.
    pub fn prepare(options: PrepareOptions) -> Result<Self, Failure> {
        let (layers, mut inputs) = snapshot_inputs(options.layers, options.state_path)?;
        let sets = options.working_set_paths.into_iter();
        inputs.extend(sets.map(|path| (Descriptor::WorkingSet, "working set", path)));
        let request = RestoreRequest { layers, ..RestoreRequest::default() };
        Ok(Self { inputs, ..Self::plain(Request::Prepare(request)) })
    }

    /// A snapshot.
    ///
    /// # Errors
    /// FIRN_VMM_OPTIONS for a digest that is not 32 bytes long.
    pub fn snapshot(options: SnapshotOptions) -> Result<Self, Failure> {
        let app_image = options.app_image_digest.as_ref().map(digest).transpose()?;
        Ok(Self {
            outputs: vec![
                (Descriptor::LayerOutput, "memory layer", options.layer_path),
                (Descriptor::StateOutput, "snapshot state", options.state_path),
            ],
            ..Self::plain(Request::Snapshot(SnapshotRequest { app_image }))
        })
    }

    /// Writing down a working set.
    pub fn record_working_set(options: WorkingSetOptions) -> Self {
        let previous = options.previous_path.map(|path| (Descriptor::WorkingSet, "working set", path));
        Self {
            inputs: previous.into_iter().collect(),
            outputs: vec![(Descriptor::WorkingSetOutput, "working set", options.path)],
            ..Self::plain(Request::RecordWorkingSet)
        }
    }

    /// Writing down what a working set did not name, or that working set with it.
    pub fn record_misses(options: MissesOptions) -> Self {
        let sets = options.working_set_path.into_iter().chain(options.previous_path);
        Self {
            inputs: sets.map(|path| (Descriptor::WorkingSet, "working set", path)).collect(),
            outputs: vec![(Descriptor::WorkingSetOutput, "working set", options.path)],
            ..Self::plain(Request::RecordMisses)
        }
    }

    /// Opens, creates and connects everything that the request needs.
    ///
    /// # Errors
    /// FIRN_IO, naming the file, FIRN_VMM_OPTIONS for a path that names something else.
    pub fn open(self, id: u32) -> Result<Packet, Failure> {
        let mut descriptors = Vec::new();
        let mut kept = Kept::default();
        for (descriptor, role, path) in &self.inputs {
            let file = open_input(role, path)?;
            if *descriptor == Descriptor::Layer && kept.memory_bytes.is_none() {
                kept.memory_bytes = memory_bytes_of(&file);
            }
            descriptors.push((*descriptor, file));
        }
        for (descriptor, role, path) in &self.outputs {
            descriptors.push((*descriptor, kept.outputs.create(role, path)?));
        }
        if let Some(path) = &self.scratch_disk {
            descriptors.push((Descriptor::ScratchDisk, open_writable("scratch disk", path)?));
        }
        if let Some(link) = &self.link {
            descriptors.push((Descriptor::Net, link.open()?));
        }
        if let Some(connect) = &self.connect {
            kept.connections = Some(connect.open(&mut descriptors)?);
        }
        let (descriptors, files) = descriptors.into_iter().unzip();
        let frame = RequestFrame { version: CONTROL_VERSION, id, descriptors, request: *self.request };
        Ok(Packet { frame, descriptors: files, kept })
    }
}

impl Connect {
    fn open(&self, descriptors: &mut Vec<(Descriptor, OwnedFd)>) -> Result<Connections, Failure> {
        let stream = AgentStream::create(&self.initial_bytes)?;
        descriptors.push((Descriptor::Stream, stream.vmm_end));
        let console = if self.console {
            let (read_end, write_end) =
                pipe_with(PipeFlags::CLOEXEC).map_err(Failure::io("create the console's pipe"))?;
            // A console that nobody reads loses bytes; it must not stop the guest.
            fcntl_setfl(&write_end, OFlags::NONBLOCK).map_err(Failure::io("set up the console's pipe"))?;
            descriptors.push((Descriptor::Console, write_end));
            Some(read_end)
        } else {
            None
        };
        Ok(Connections { stream: stream.node_end, console, initial_bytes_written: stream.bytes_written })
    }
}

/// Guest memory of which a file is a layer. Whether it is one is for the VMM to say.
fn memory_bytes_of(layer: &OwnedFd) -> Option<u64> {
    let mut header = [0; HEADER_LENGTH];
    let read = rustix::io::pread(layer, &mut header, 0).ok()?;
    if read < HEADER_LENGTH {
        None
    } else {
        LayerHeader::decode(&header).ok().map(|header| header.memory_size)
    }
}

/// The layers of a snapshot as the VMM is told of them, and the files to open.
fn snapshot_inputs(
    layers: Vec<Layer>,
    state_path: String,
) -> Result<(Vec<LayerIdentity>, Vec<NamedFile>), Failure> {
    let mut identities = Vec::with_capacity(layers.len());
    let mut inputs: Vec<NamedFile> = Vec::with_capacity(layers.len() + 1);
    for layer in layers {
        identities.push(LayerIdentity { digest: digest(&layer.digest)? });
        inputs.push((Descriptor::Layer, "memory layer", layer.path));
    }
    inputs.push((Descriptor::State, "snapshot state", state_path));
    Ok((identities, inputs))
}

fn root_disk(path: String) -> NamedFile {
    (Descriptor::RootDisk, "root disk", path)
}

fn link(net: Option<NetOptions>) -> Result<Option<Link>, Failure> {
    net.map_or(Ok(None), |net| Link::choose(net.socket_path, net.tap_name))
}

fn digest(bytes: &Uint8Array) -> Result<[u8; 32], Failure> {
    <[u8; 32]>::try_from(bytes.as_ref())
        .map_err(|_| Failure::options(format!("a SHA-256 digest has 32 bytes, not {}", bytes.len())))
}
