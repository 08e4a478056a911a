//! The threads that run the vCPUs, and how they are started and stopped together.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kvm_ioctls::VcpuExit;
use rustix::event::{EventfdFlags, eventfd};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::lock;
use crate::control::Event;
use crate::devices::{Devices, MmioOutcome};
use crate::error::{ErrorCode, Result, VmmError};
use crate::kvm::Vcpu;
use crate::kvm::vcpu::ImmediateExit;

/// How long a vCPU may take to leave KVM_RUN. It takes microseconds; this is for a host that swaps.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What the vCPUs are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Stop,
    Run,
    End,
}

#[derive(Debug)]
struct Orders {
    wanted: Wanted,
    running: usize,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
    events_fd: OwnedFd,
    exits: AtomicU64,
    mmio_exits: AtomicU64,
}

/// All vCPU threads of one microVM.
#[derive(Debug)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    members: Vec<(JoinHandle<()>, ImmediateExit)>,
}

impl Crew {
    /// Starts a thread for each vCPU; they wait for [`Crew::set`].
    pub(super) fn start(vcpus: &[Arc<Mutex<Vcpu>>], devices: &Arc<Mutex<Devices>>) -> Result<Self> {
        register_signal_handler(SIGRTMIN(), on_kick)
            .map_err(VmmError::wrap(ErrorCode::Io, "install the signal handler that stops vCPUs"))?;
        let shared = Arc::new(Shared {
            orders: Mutex::new(Orders { wanted: Wanted::Stop, running: 0, events: Vec::new() }),
            changed: Condvar::new(),
            events_fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(VmmError::wrap(ErrorCode::Io, "create an eventfd"))?,
            exits: AtomicU64::new(0),
            mmio_exits: AtomicU64::new(0),
        });
        let mut crew = Self { shared, members: Vec::with_capacity(vcpus.len()) };
        for (index, vcpu) in vcpus.iter().enumerate() {
            let exit = lock(vcpu)?.immediate_exit();
            let worker = Worker {
                vcpu: Arc::clone(vcpu),
                devices: Arc::clone(devices),
                shared: Arc::clone(&crew.shared),
            };
            let thread = std::thread::Builder::new()
                .name(format!("vcpu{index}"))
                .spawn(move || worker.work())
                .map_err(VmmError::wrap(ErrorCode::Io, "start a vCPU thread"))?;
            crew.members.push((thread, exit));
        }
        Ok(crew)
    }

    pub(super) fn set(&self, wanted: Wanted) -> Result<()> {
        lock(&self.shared.orders)?.wanted = wanted;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Stops all vCPUs and waits until they are.
    pub(super) fn stop(&self) -> Result<()> {
        self.set(Wanted::Stop)?;
        self.kick();
        let deadline = Instant::now() + STOP_DEADLINE;
        let mut orders = lock(&self.shared.orders)?;
        while orders.running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(VmmError::new(
                    ErrorCode::Kvm,
                    format!("{} vCPUs did not stop in {STOP_DEADLINE:?}", orders.running),
                ));
            }
            let waited = self.shared.changed.wait_timeout(orders, left);
            orders = waited.map_err(|_| VmmError::new(ErrorCode::Kvm, "a vCPU thread has died"))?.0;
        }
        Ok(())
    }

    fn kick(&self) {
        for (thread, exit) in &self.members {
            // SAFETY: the thread holds the vCPU, and it is joined before the handle is dropped.
            unsafe { exit.set(true) };
            // A thread that has ended by itself needs no signal.
            let _ended = thread.kill(SIGRTMIN());
        }
    }

    pub(super) fn events_fd(&self) -> BorrowedFd<'_> {
        self.shared.events_fd.as_fd()
    }

    pub(super) fn take_events(&self) -> Vec<Event> {
        let mut counter = [0_u8; 8];
        // Nothing to read means that somebody else was quicker; the events say what there is.
        let _empty = rustix::io::read(&self.shared.events_fd, &mut counter);
        lock(&self.shared.orders).map(|mut orders| std::mem::take(&mut orders.events)).unwrap_or_default()
    }

    /// Returns of KVM_RUN, and how many were for MMIO.
    pub(super) fn exits(&self) -> (u64, u64) {
        (self.shared.exits.load(Ordering::Relaxed), self.shared.mmio_exits.load(Ordering::Relaxed))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // If the lock is poisoned a thread has died, and the process is about to.
        if self.set(Wanted::End).is_err() {
            return;
        }
        self.kick();
        for (thread, _) in self.members.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// The signal only has to interrupt KVM_RUN.
extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

struct Worker {
    vcpu: Arc<Mutex<Vcpu>>,
    devices: Arc<Mutex<Devices>>,
    shared: Arc<Shared>,
}

impl Worker {
    fn work(&self) {
        while self.wait_for_run() {
            let outcome = self.run();
            if let Ok(mut orders) = lock(&self.shared.orders) {
                if let Err(error) = outcome {
                    self.report(&mut orders, Event::Failed(error));
                }
                orders.running -= 1;
            }
            self.shared.changed.notify_all();
        }
    }

    /// Waits until the vCPU is to run; false if it is to end.
    fn wait_for_run(&self) -> bool {
        let Ok(mut orders) = lock(&self.shared.orders) else { return false };
        loop {
            match orders.wanted {
                Wanted::End => return false,
                Wanted::Run => {
                    orders.running += 1;
                    return true;
                }
                Wanted::Stop => match self.shared.changed.wait(orders) {
                    Ok(guard) => orders = guard,
                    Err(_) => return false,
                },
            }
        }
    }

    fn is_run_wanted(&self) -> bool {
        lock(&self.shared.orders).is_ok_and(|orders| orders.wanted == Wanted::Run)
    }

    /// Runs guest code until something stops the vCPUs, and completes the last exit.
    fn run(&self) -> Result<()> {
        let mut vcpu = lock(&self.vcpu)?;
        let exit = vcpu.immediate_exit();
        // Cleared before the order is read, set after it is given: a stop between the two is seen by one or the other.
        // SAFETY: the lock is held, the vCPU is alive.
        unsafe { exit.set(false) };
        while self.is_run_wanted() {
            self.shared.exits.fetch_add(1, Ordering::Relaxed);
            match vcpu.run() {
                Ok(VcpuExit::MmioRead(address, data)) => {
                    self.shared.mmio_exits.fetch_add(1, Ordering::Relaxed);
                    lock(&self.devices)?.read(address, data);
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    self.shared.mmio_exits.fetch_add(1, Ordering::Relaxed);
                    let outcome = lock(&self.devices)?.write(address, data)?;
                    if let MmioOutcome::Doorbell { event, detail } = outcome {
                        self.stop_all(Event::Doorbell { event, detail })?;
                    }
                }
                Ok(VcpuExit::SystemEvent(kind, _)) => {
                    let reset = kind == kvm_bindings::KVM_SYSTEM_EVENT_RESET;
                    self.stop_all(Event::Stopped { reset })?;
                }
                Ok(VcpuExit::Intr) => {}
                Ok(other) => {
                    return Err(VmmError::new(
                        ErrorCode::Guest,
                        format!("the guest caused the exit {other:?}"),
                    ));
                }
                Err(error) if error.errno() == libc::EINTR || error.errno() == libc::EAGAIN => {
                    // SAFETY: as above.
                    unsafe { exit.set(false) };
                }
                // An access to a device by an instruction without a syndrome, for example a load pair.
                Err(error) if error.errno() == libc::ENOSYS => {
                    return Err(VmmError::new(
                        ErrorCode::Guest,
                        "the guest accessed a device with an instruction that cannot be emulated",
                    ));
                }
                Err(error) => return Err(VmmError::wrap(ErrorCode::Kvm, "run a vCPU")(error)),
            }
        }
        vcpu.complete_exit()
    }

    fn stop_all(&self, event: Event) -> Result<()> {
        let mut orders = lock(&self.shared.orders)?;
        self.report(&mut orders, event);
        Ok(())
    }

    /// Stops this vCPU, and the others as soon as [`Crew::stop`] kicks them.
    fn report(&self, orders: &mut MutexGuard<'_, Orders>, event: Event) {
        if orders.wanted == Wanted::Run {
            orders.wanted = Wanted::Stop;
        }
        orders.events.push(event);
        // The counter of an eventfd takes 2^64 - 1 events.
        let _full = rustix::io::write(&self.shared.events_fd, &1_u64.to_ne_bytes());
    }
}
