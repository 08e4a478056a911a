//! What a microVM's devices are made of.

use std::fs::File;
use std::os::fd::OwnedFd;

use super::limits::DeviceLimits;
use super::virtio::block::DiskThreads;
use super::virtio::block::image::DiskImage;
use crate::memory::Reclaimer;

/// The descriptors that a microVM's devices work on, and how they work.
pub struct DeviceOptions {
    /// The root file system. Read-only.
    pub root_disk: DiskImage,
    /// The app image; without one the app disk has capacity 0.
    pub app_disk: Option<File>,
    /// What the guest may write to, open for reading and writing; its size is a multiple of 512 bytes, and stays. A restore brings
    /// one of the same size if, and only if, the snapshot's microVM had one, with contents to which the guest's memory fits.
    pub scratch_disk: Option<File>,
    /// What the network card is plugged into: a stream socket, or a tap. Without one its link is down.
    pub link: Option<OwnedFd>,
    /// Where the serial console's output goes. Made nonblocking; what does not fit is lost.
    pub console: Option<File>,
    /// Nonblocking stream socket: the host's end of the agent stream.
    pub stream: Option<OwnedFd>,
    /// Whether the microVM is restored to serve: a leaf ignores doorbell events.
    pub leaf: bool,
    /// How fast devices may be.
    pub limits: DeviceLimits,
    /// Threads that were started beforehand; without them they are started with the devices.
    pub disk_threads: Option<DiskThreads>,
    /// Of a boot: whether there is a random number generator. A restored microVM has what its snapshot had.
    pub rng: bool,
    /// Of a boot: whether there is a network card; there is one, too, if there is a `link`. A restored microVM has what its
    /// snapshot had.
    pub net: bool,
    /// Of a boot: whether there is a balloon, by which the guest gives memory back. A restored microVM has what its snapshot had.
    pub balloon: bool,
    /// What takes back the memory that the guest gives back.
    pub reclaimer: Option<Reclaimer>,
    /// Of a boot: the network card's address; without one it gets a random one of its own.
    pub mac: Option<[u8; 6]>,
}

impl DeviceOptions {
    /// A root disk, and what every microVM has.
    pub fn new(root_disk: DiskImage) -> Self {
        Self {
            root_disk,
            app_disk: None,
            scratch_disk: None,
            link: None,
            console: None,
            stream: None,
            leaf: false,
            limits: DeviceLimits::default(),
            disk_threads: None,
            rng: false,
            net: false,
            balloon: false,
            reclaimer: None,
            mac: None,
        }
    }
}
