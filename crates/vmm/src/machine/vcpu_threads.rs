//! The threads that run the vCPUs, and how they are started and stopped together.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kvm_ioctls::VcpuExit;
use rustix::event::{EventfdFlags, eventfd};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::lock;
use crate::control::Event;
use crate::devices::{Devices, MmioOutcome};
use crate::error::{ErrorCode, Result, VmmError};
use crate::jail::seccomp::confine_vcpu_thread;
use crate::kvm::Vcpu;
use crate::kvm::vcpu::ImmediateExit;

/// How long a vCPU may take to leave KVM_RUN. It takes microseconds; this is for a host that swaps.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long vCPUs may take to enter KVM_RUN once and leave it.
pub(super) const FIRST_RUN_MAX: Duration = Duration::from_secs(10);

/// What a vCPU does in its first KVM_RUN, on its thread, before there is a guest. It may not leave an exit to be completed.
pub(super) type FirstRun = Box<dyn FnOnce(&mut Vcpu) -> Result<()> + Send>;

/// What the vCPUs are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Stop,
    Run,
    End,
}

struct State {
    command: Command,
    /// Threads that have a guest in KVM_RUN, or are about to.
    running: usize,
    /// Threads that have done their first KVM_RUN.
    ready: usize,
    /// Needed to run: until there are some, a thread waits whatever the command is.
    devices: Option<Arc<Devices>>,
    /// At most one doorbell between two starts, and one end a vCPU: a guest cannot make it grow.
    events: Vec<Event>,
    /// A doorbell has rung since the vCPUs were last started.
    rung: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    events_fd: OwnedFd,
    /// When the first of them entered KVM_RUN with a guest to run.
    first_run: OnceLock<Instant>,
    exits: AtomicU64,
    mmio_exits: AtomicU64,
}

/// A vCPU with its thread.
struct VcpuThread {
    thread: Option<JoinHandle<()>>,
    vcpu: Arc<Mutex<Vcpu>>,
    /// What ends the vCPU's KVM_RUN.
    exit: ImmediateExit,
}

/// The vCPUs of a microVM, each on a thread of its own.
pub(super) struct VcpuThreads {
    shared: Arc<Shared>,
    threads: Vec<VcpuThread>,
}

impl VcpuThreads {
    /// Starts a thread for each vCPU, which must be final. Each enters KVM_RUN once, without running the guest: the first time KVM
    /// registers the interrupt controller, and from another thread than before it waits for all CPUs. When all have left it, which is
    /// interrupted when `limit` has passed, this returns: until then the vCPUs are busy, and KVM refuses access to the interrupt controller.
    /// Then they wait for [`VcpuThreads::connect`] and [`VcpuThreads::set`]. If there is a `first_run`, it is what the first vCPU does in
    /// its first KVM_RUN.
    ///
    /// # Errors
    /// FIRN_IO if the host has no thread to give, FIRN_KVM if a first KVM_RUN failed, or does not heed the interruption.
    pub(super) fn start(
        vcpus: Vec<Arc<Mutex<Vcpu>>>,
        mut first_run: Option<FirstRun>,
        limit: Duration,
    ) -> Result<Self> {
        register_signal_handler(SIGRTMIN(), on_kick)
            .map_err(VmmError::wrap(ErrorCode::Io, "install the signal handler that stops vCPUs"))?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                command: Command::Stop,
                running: 0,
                ready: 0,
                devices: None,
                events: Vec::new(),
                rung: false,
            }),
            changed: Condvar::new(),
            events_fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(VmmError::wrap(ErrorCode::Io, "create an eventfd"))?,
            first_run: OnceLock::new(),
            exits: AtomicU64::new(0),
            mmio_exits: AtomicU64::new(0),
        });
        let mut all = Self { shared, threads: Vec::new() };
        for (index, vcpu) in vcpus.into_iter().enumerate() {
            let exit = lock(&vcpu)?.immediate_exit();
            let worker = Worker { vcpu: Arc::clone(&vcpu), shared: Arc::clone(&all.shared) };
            let first_run = first_run.take().unwrap_or_else(|| Box::new(Vcpu::complete_exit));
            let thread = std::thread::Builder::new()
                .name(format!("vcpu{index}"))
                .spawn(move || worker.work(first_run))
                .map_err(VmmError::wrap(ErrorCode::Io, "start a vCPU thread"))?;
            all.threads.push(VcpuThread { thread: Some(thread), vcpu, exit });
        }
        all.wait_ready(limit)?;
        Ok(all)
    }

    fn wait_ready(&self, limit: Duration) -> Result<()> {
        let missing = |state: &State| self.threads.len().saturating_sub(state.ready);
        if self.wait_until_none(missing, "", limit).is_err() {
            self.kick();
            self.wait_until_none(missing, "vCPUs were not ready", DEADLINE)?;
        }
        match self.take_events().into_iter().next() {
            Some(Event::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// The vCPUs, in the order in which they were created.
    pub(super) fn vcpus(&self) -> impl ExactSizeIterator<Item = &Mutex<Vcpu>> {
        self.threads.iter().map(|thread| &*thread.vcpu)
    }

    /// Gives the threads the devices that the guest reaches, without which they do not run.
    pub(super) fn connect(&self, devices: &Arc<Devices>) -> Result<()> {
        lock(&self.shared.state)?.devices = Some(Arc::clone(devices));
        Ok(())
    }

    pub(super) fn set(&self, command: Command) -> Result<()> {
        let mut state = lock(&self.shared.state)?;
        state.command = command;
        if command == Command::Run {
            state.rung = false;
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Stops all vCPUs and waits until they are.
    ///
    /// # Errors
    /// FIRN_KVM if that takes longer than the deadline; then they all go on, unless something has happened that stops them.
    pub(super) fn stop(&self) -> Result<()> {
        self.set(Command::Stop)?;
        self.kick();
        let stopped = self.wait_until_none(|state| state.running, "vCPUs did not stop", DEADLINE);
        if stopped.is_err() && lock(&self.shared.state)?.events.is_empty() {
            self.set(Command::Run)?;
        }
        stopped
    }

    fn wait_until_none(&self, count: impl Fn(&State) -> usize, what: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut state = lock(&self.shared.state)?;
        while count(&state) > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late = format!("{} {what} in {limit:?}", count(&state));
                return Err(VmmError::new(ErrorCode::Kvm, late));
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.map_err(|_| VmmError::new(ErrorCode::Kvm, "a vCPU thread has died"))?.0;
        }
        Ok(())
    }

    fn kick(&self) {
        for VcpuThread { thread, exit, .. } in &self.threads {
            // SAFETY: the vCPU is alive: it is beside what ends its KVM_RUN.
            unsafe { exit.set(true) };
            // A thread that has ended by itself needs no signal.
            let _ended = thread.as_ref().map(|thread| thread.kill(SIGRTMIN()));
        }
    }

    pub(super) fn events_fd(&self) -> BorrowedFd<'_> {
        self.shared.events_fd.as_fd()
    }

    pub(super) fn take_events(&self) -> Vec<Event> {
        let mut counter = [0_u8; 8];
        // Nothing to read means that somebody else was quicker; the events say what there is.
        let _empty = rustix::io::read(&self.shared.events_fd, &mut counter);
        lock(&self.shared.state).map(|mut state| std::mem::take(&mut state.events)).unwrap_or_default()
    }

    /// When the guest began to run, if it has.
    pub(super) fn first_run(&self) -> Option<Instant> {
        self.shared.first_run.get().copied()
    }

    /// Returns of KVM_RUN, and how many were for MMIO.
    pub(super) fn exits(&self) -> (u64, u64) {
        (self.shared.exits.load(Ordering::Relaxed), self.shared.mmio_exits.load(Ordering::Relaxed))
    }
}

impl Drop for VcpuThreads {
    fn drop(&mut self) {
        // If the lock is poisoned a thread has died, and the process is about to.
        if self.set(Command::End).is_err() {
            return;
        }
        self.kick();
        for thread in &mut self.threads {
            let _panicked = thread.thread.take().map(JoinHandle::join);
        }
    }
}

/// The signal only has to interrupt KVM_RUN.
extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// What a vCPU's thread does.
struct Worker {
    vcpu: Arc<Mutex<Vcpu>>,
    shared: Arc<Shared>,
}

impl Worker {
    fn work(&self, first_run: FirstRun) {
        // Out of its jail it must not run a guest.
        let outcome =
            confine_vcpu_thread().and_then(|()| lock(&self.vcpu).and_then(|mut vcpu| first_run(&mut vcpu)));
        let has_failed = outcome.is_err();
        self.note(outcome, |state| state.ready += 1);
        if has_failed {
            return;
        }
        while let Some(devices) = self.next() {
            let outcome = self.run(&devices);
            self.note(outcome, |state| state.running -= 1);
        }
    }

    fn note(&self, outcome: Result<()>, change: impl FnOnce(&mut State)) {
        if let Ok(mut state) = lock(&self.shared.state) {
            if let Err(error) = outcome {
                self.report(&mut state, Event::Failed(error));
            }
            change(&mut state);
        }
        self.shared.changed.notify_all();
    }

    /// Waits until the guest is to run; nothing if the thread is to end.
    fn next(&self) -> Option<Arc<Devices>> {
        let mut state = lock(&self.shared.state).ok()?;
        loop {
            match (state.command, &state.devices) {
                (Command::End, _) => return None,
                (Command::Run, Some(devices)) => {
                    let devices = Arc::clone(devices);
                    state.running += 1;
                    return Some(devices);
                }
                _ => state = self.shared.changed.wait(state).ok()?,
            }
        }
    }

    fn is_run_wanted(&self) -> bool {
        lock(&self.shared.state).is_ok_and(|state| state.command == Command::Run)
    }

    /// Runs guest code until something stops the vCPUs, and completes the last exit.
    fn run(&self, devices: &Devices) -> Result<()> {
        let mut vcpu = lock(&self.vcpu)?;
        let exit = vcpu.immediate_exit();
        // Cleared before the command is read, set after it is given: a stop between the two is seen by one or the other.
        // SAFETY: the lock is held, the vCPU is alive.
        unsafe { exit.set(false) };
        while self.is_run_wanted() {
            self.shared.first_run.get_or_init(Instant::now);
            self.shared.exits.fetch_add(1, Ordering::Relaxed);
            match vcpu.run() {
                Ok(VcpuExit::MmioRead(address, data)) => {
                    self.shared.mmio_exits.fetch_add(1, Ordering::Relaxed);
                    devices.read(address, data)?;
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    self.shared.mmio_exits.fetch_add(1, Ordering::Relaxed);
                    let outcome = devices.write(address, data)?;
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
        let mut state = lock(&self.shared.state)?;
        self.report(&mut state, event);
        Ok(())
    }

    /// Stops this vCPU, and the others as soon as [`VcpuThreads::stop`] kicks them. Of doorbells that several vCPUs ring before all have
    /// stopped, the first is the one that the controller answers: a second would be taken for one that rang after the answer.
    fn report(&self, state: &mut MutexGuard<'_, State>, event: Event) {
        if state.command == Command::Run {
            state.command = Command::Stop;
        }
        let is_doorbell = matches!(event, Event::Doorbell { .. });
        if is_doorbell && std::mem::replace(&mut state.rung, true) {
            return;
        }
        state.events.push(event);
        // The counter of an eventfd takes 2^64 - 1 events.
        let _full = rustix::io::write(&self.shared.events_fd, &1_u64.to_ne_bytes());
    }
}
