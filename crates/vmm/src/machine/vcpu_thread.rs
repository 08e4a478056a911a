//! The threads that run the vCPUs, and how they are started and stopped together.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
use crate::kvm::vcpu::{Counters, ImmediateExit};
use crate::memory::{Helper, SharedWork};

/// How long a vCPU may take to leave KVM_RUN. It takes microseconds; this is for a host that swaps.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longest that the first vCPU's thread waits awake at a time once it is told to be ready: twice what a start on a base takes an emulated CPU.
const AWAKE: Duration = Duration::from_millis(1);

/// What the vCPUs are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Stop,
    /// To run in a moment: see [`Crew::get_ready`].
    Ready,
    Run,
    End,
}

/// What a vCPU's thread is to do before there is a guest.
type Task = Box<dyn FnOnce(&mut Vcpu) -> Result<()> + Send>;

struct Orders {
    wanted: Wanted,
    /// Whether the first vCPU's thread has to be woken to see what is wanted: that takes a system call.
    first_sleeps: bool,
    /// The vCPU of each thread, until that has taken it.
    vcpus: Vec<Option<Arc<Mutex<Vcpu>>>>,
    /// For the first vCPU's thread.
    task: Option<Task>,
    /// What that thread takes part in for as long as it has nothing else to do.
    shared_work: Option<SharedWork>,
    running: usize,
    /// Threads that are not in a KVM_RUN without a guest.
    ready: usize,
    /// The guest's time, until the first vCPU's thread has set it: before that no vCPU runs.
    guest_time: Option<Counters>,
    /// Needed to run: until there are some, a thread waits whatever is wanted.
    devices: Option<Arc<Mutex<Devices>>>,
    /// At most one doorbell between two starts, and one end a vCPU: a guest cannot make it grow.
    events: Vec<Event>,
    /// A doorbell has rung since the vCPUs were last started.
    rung: bool,
}

struct Shared {
    orders: Mutex<Orders>,
    /// For whoever waits but the first vCPU's thread.
    changed: Condvar,
    /// For the first vCPU's thread.
    first_changed: Condvar,
    /// Whether the orders for the first vCPU's thread have changed since it saw them: for a look without the lock.
    has_news: AtomicBool,
    events_fd: OwnedFd,
    /// When the guest's time began to go on, the first time.
    started: OnceLock<Instant>,
    /// When the first of them entered KVM_RUN with a guest to run.
    first_run: OnceLock<Instant>,
    exits: AtomicU64,
    mmio_exits: AtomicU64,
}

/// The threads of a microVM's vCPUs. There is one from the start, which takes part in loading memory until there are vCPUs.
pub struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// What ends KVM_RUN, of each thread that has a vCPU.
    exits: Vec<ImmediateExit>,
}

impl Crew {
    /// Starts the first vCPU's thread. It takes a while to be there: do this before it is known what is to be run.
    ///
    /// # Errors
    /// FIRN_IO if the host has no thread to give.
    pub fn start() -> Result<Self> {
        register_signal_handler(SIGRTMIN(), on_kick)
            .map_err(VmmError::wrap(ErrorCode::Io, "install the signal handler that stops vCPUs"))?;
        let shared = Arc::new(Shared {
            orders: Mutex::new(Orders {
                wanted: Wanted::Stop,
                first_sleeps: false,
                task: None,
                vcpus: Vec::new(),
                shared_work: None,
                running: 0,
                ready: 0,
                guest_time: None,
                devices: None,
                events: Vec::new(),
                rung: false,
            }),
            changed: Condvar::new(),
            first_changed: Condvar::new(),
            has_news: AtomicBool::new(false),
            events_fd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(VmmError::wrap(ErrorCode::Io, "create an eventfd"))?,
            started: OnceLock::new(),
            first_run: OnceLock::new(),
            exits: AtomicU64::new(0),
            mmio_exits: AtomicU64::new(0),
        });
        let mut crew = Self { shared, threads: Vec::new(), exits: Vec::new() };
        crew.start_thread()?;
        Ok(crew)
    }

    /// Gives the threads their vCPUs, which must be final, and starts those that are missing. Each enters KVM_RUN once, without running
    /// the guest: the first time KVM registers the interrupt controller, and from another thread than before it waits for all CPUs.
    /// Then they wait for [`Crew::connect`] and [`Crew::set`].
    pub(super) fn with_vcpus(mut self, vcpus: &[Arc<Mutex<Vcpu>>]) -> Result<Self> {
        for vcpu in vcpus {
            self.exits.push(lock(vcpu)?.immediate_exit());
        }
        let mut orders = lock(&self.shared.orders)?;
        orders.vcpus = vcpus.iter().cloned().map(Some).collect();
        self.hand_to_first(orders);
        while self.threads.len() < vcpus.len() {
            self.start_thread()?;
        }
        Ok(self)
    }

    fn start_thread(&mut self) -> Result<()> {
        let index = self.threads.len();
        let worker = Worker { index, shared: Arc::clone(&self.shared) };
        let thread = std::thread::Builder::new()
            .name(format!("vcpu{index}"))
            .spawn(move || worker.work())
            .map_err(VmmError::wrap(ErrorCode::Io, "start a vCPU thread"))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until every thread has entered KVM_RUN once. Until then the vCPUs are busy, and KVM refuses access to the
    /// interrupt controller.
    ///
    /// # Errors
    /// FIRN_KVM if a first KVM_RUN failed.
    pub(super) fn wait_ready(&self) -> Result<()> {
        self.wait_out()?;
        match self.take_events().into_iter().next() {
            Some(Event::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Has the first vCPU's thread do something with its vCPU, which may not leave an exit to be completed, and waits for that. Beyond
    /// the limit KVM_RUN is interrupted.
    ///
    /// # Errors
    /// What the task returns, or FIRN_KVM if it does not heed the interruption.
    pub(super) fn perform(
        &self,
        limit: Duration,
        task: impl FnOnce(&mut Vcpu) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.hand_task(lock(&self.shared.orders)?, Box::new(task));
        if self.wait_until_none(|orders| self.threads.len().saturating_sub(orders.ready), "", limit).is_err()
        {
            self.kick();
        }
        self.wait_ready()
    }

    /// Gives the threads the devices that the guest reaches, without which they do not run.
    pub(super) fn connect(&self, devices: &Arc<Mutex<Devices>>) -> Result<()> {
        lock(&self.shared.orders)?.devices = Some(Arc::clone(devices));
        Ok(())
    }

    /// Has the first vCPU's thread wake up, which takes long, while the rest of a start is done. It enters KVM_RUN once without running the
    /// guest, which takes the longer the longer ago the last time is, takes part in loading memory, and waits awake for the order to run.
    /// Whoever uses the vCPU or the interrupt controller before that calls [`Crew::wait_out`].
    pub(super) fn get_ready(&self) -> Result<()> {
        let mut orders = lock(&self.shared.orders)?;
        if orders.wanted != Wanted::Stop {
            return Ok(());
        }
        orders.wanted = Wanted::Ready;
        self.hand_task(orders, Box::new(Vcpu::complete_exit));
        Ok(())
    }

    /// Whether no thread is in a KVM_RUN without a guest, or about to enter one.
    pub(super) fn is_out(&self) -> Result<bool> {
        Ok(lock(&self.shared.orders)?.ready >= self.threads.len())
    }

    /// Waits until no thread is in a KVM_RUN without a guest.
    ///
    /// # Errors
    /// FIRN_KVM if that takes longer than the deadline.
    pub(super) fn wait_out(&self) -> Result<()> {
        let missing = |orders: &Orders| self.threads.len().saturating_sub(orders.ready);
        self.wait_until_none(missing, "vCPUs were not ready", DEADLINE)
    }

    fn hand_task(&self, mut orders: MutexGuard<'_, Orders>, task: Task) {
        orders.task = Some(task);
        orders.ready = orders.ready.saturating_sub(1);
        self.hand_to_first(orders);
    }

    /// Lets the guest run, whose time goes on from here. It is set by the first vCPU's thread, when nothing else is left to be done.
    pub(super) fn run_from(&self, time: Counters) -> Result<()> {
        lock(&self.shared.orders)?.guest_time = Some(time);
        self.set(Wanted::Run)
    }

    /// The time of a guest that was stopped before it was set.
    pub(super) fn take_guest_time(&self) -> Result<Option<Counters>> {
        Ok(lock(&self.shared.orders)?.guest_time.take())
    }

    pub(super) fn set(&self, wanted: Wanted) -> Result<()> {
        let mut orders = lock(&self.shared.orders)?;
        if std::mem::replace(&mut orders.wanted, wanted) == wanted {
            return Ok(());
        }
        if wanted == Wanted::Run {
            orders.rung = false;
        }
        self.hand_to_first(orders);
        if self.threads.len() > 1 {
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Lets go of the orders, and has the first vCPU's thread see them.
    fn hand_to_first(&self, mut orders: MutexGuard<'_, Orders>) {
        let sleeps = std::mem::take(&mut orders.first_sleeps);
        drop(orders);
        // Behind the lock, which a thread that waits awake takes as soon as it sees this: it would go to sleep over one that is held.
        self.shared.has_news.store(true, Ordering::Release);
        if sleeps {
            self.shared.first_changed.notify_one();
        }
    }

    /// Stops all vCPUs and waits until they are.
    ///
    /// # Errors
    /// FIRN_KVM if that takes longer than the deadline; then they all go on, unless something has happened that stops them.
    pub(super) fn stop(&self) -> Result<()> {
        self.set(Wanted::Stop)?;
        self.kick();
        let busy = |orders: &Orders| orders.running + self.threads.len().saturating_sub(orders.ready);
        let stopped = self.wait_until_none(busy, "vCPUs did not stop", DEADLINE);
        if stopped.is_err() && lock(&self.shared.orders)?.events.is_empty() {
            self.set(Wanted::Run)?;
        }
        stopped
    }

    fn wait_until_none(&self, count: impl Fn(&Orders) -> usize, what: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut orders = lock(&self.shared.orders)?;
        while count(&orders) > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late = format!("{} {what} in {limit:?}", count(&orders));
                return Err(VmmError::new(ErrorCode::Kvm, late));
            }
            let waited = self.shared.changed.wait_timeout(orders, left);
            orders = waited.map_err(|_| VmmError::new(ErrorCode::Kvm, "a vCPU thread has died"))?.0;
        }
        Ok(())
    }

    fn kick(&self) {
        for (thread, exit) in self.threads.iter().zip(&self.exits) {
            // SAFETY: the vCPU outlives the crew: whoever has both drops the crew first.
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

    /// When the guest began to run, if it has.
    pub(super) fn first_run(&self) -> Option<Instant> {
        self.shared.first_run.get().copied()
    }

    /// When the time of a guest that was restored began to go on, the first time.
    pub(super) fn started(&self) -> Option<Instant> {
        self.shared.started.get().copied()
    }

    /// Returns of KVM_RUN, and how many were for MMIO.
    pub(super) fn exits(&self) -> (u64, u64) {
        (self.shared.exits.load(Ordering::Relaxed), self.shared.mmio_exits.load(Ordering::Relaxed))
    }
}

/// By the thread of the first vCPU, while that does not run.
impl Helper for Crew {
    fn share(&self, work: SharedWork) {
        // If the lock is poisoned a thread has died: others than it do the work.
        if let Ok(mut orders) = lock(&self.shared.orders) {
            orders.shared_work = Some(work);
            self.hand_to_first(orders);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // If the lock is poisoned a thread has died, and the process is about to.
        if self.set(Wanted::End).is_err() {
            return;
        }
        self.kick();
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// The signal only has to interrupt KVM_RUN.
extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

struct Worker {
    /// Which vCPU's.
    index: usize,
    shared: Arc<Shared>,
}

/// What comes next for a thread.
enum Next {
    Vcpu(Arc<Mutex<Vcpu>>),
    Task(Task),
    SharedWork(SharedWork),
    Run(Arc<Mutex<Devices>>, Option<Counters>),
    End,
}

impl Worker {
    fn work(&self) {
        if let Err(error) = confine_vcpu_thread() {
            // Out of its jail it must not run a guest.
            return self.note(Err(error), |orders| orders.ready += 1);
        }
        let mut vcpu = None;
        loop {
            match (self.next(), &vcpu) {
                (Next::Vcpu(given), _) => {
                    self.prepare(&given, |vcpu| vcpu.complete_exit());
                    vcpu = Some(given);
                }
                (Next::SharedWork(work), _) => self.take_part(&work),
                (Next::Task(task), Some(vcpu)) => self.prepare(vcpu, task),
                (Next::Run(devices, time), Some(vcpu)) => {
                    let outcome = self.run(vcpu, &devices, time);
                    self.note(outcome, |orders| orders.running -= 1);
                }
                // Nothing that takes a vCPU is wanted of threads that have none.
                (Next::Task(_) | Next::Run(..), None) | (Next::End, _) => return,
            }
        }
    }

    /// Does something before there is a guest.
    fn prepare(&self, vcpu: &Mutex<Vcpu>, task: impl FnOnce(&mut Vcpu) -> Result<()>) {
        let outcome = lock(vcpu).and_then(|mut vcpu| task(&mut vcpu));
        self.note(outcome, |orders| orders.ready += 1);
    }

    /// Does a part of what is shared: there may be something else to do by now.
    fn take_part(&self, work: &SharedWork) {
        if !work()
            && let Ok(mut orders) = lock(&self.shared.orders)
        {
            orders.shared_work.take_if(|current| Arc::ptr_eq(current, work));
        }
    }

    fn note(&self, outcome: Result<()>, change: impl FnOnce(&mut Orders)) {
        if let Ok(mut orders) = lock(&self.shared.orders) {
            if let Err(error) = outcome {
                self.report(&mut orders, Event::Failed(error));
            }
            change(&mut orders);
        }
        self.shared.changed.notify_all();
    }

    /// Waits until there is something to do.
    fn next(&self) -> Next {
        let is_first = self.index == 0;
        let mut awake_until = None;
        let Ok(mut orders) = lock(&self.shared.orders) else { return Next::End };
        loop {
            if orders.wanted == Wanted::End {
                return Next::End;
            }
            if let Some(vcpu) = orders.vcpus.get_mut(self.index).and_then(Option::take) {
                return Next::Vcpu(vcpu);
            }
            if let Some(task) = orders.task.take_if(|_| is_first) {
                return Next::Task(task);
            }
            if let Some(work) = orders.shared_work.as_ref().filter(|_| is_first) {
                return Next::SharedWork(Arc::clone(work));
            }
            if let (Wanted::Run, Some(devices)) = (orders.wanted, &orders.devices)
                && (is_first || orders.guest_time.is_none())
            {
                let devices = Arc::clone(devices);
                orders.running += 1;
                return Next::Run(devices, orders.guest_time);
            }
            let until = (is_first && orders.wanted == Wanted::Ready)
                .then(|| *awake_until.get_or_insert_with(|| Instant::now() + AWAKE))
                .filter(|until| Instant::now() < *until);
            let awake = if let Some(until) = until {
                self.shared.has_news.store(false, Ordering::Relaxed);
                drop(orders);
                self.wait_awake(until);
                lock(&self.shared.orders).ok()
            } else if is_first {
                orders.first_sleeps = true;
                self.shared.first_changed.wait(orders).ok()
            } else {
                self.shared.changed.wait(orders).ok()
            };
            let Some(guard) = awake else { return Next::End };
            orders = guard;
        }
    }

    fn is_run_wanted(&self) -> bool {
        lock(&self.shared.orders).is_ok_and(|orders| orders.wanted == Wanted::Run)
    }

    /// Has the guest's time go on from here, and then lets the other vCPUs run.
    fn set_time(&self, vcpu: &Vcpu, time: Counters) -> Result<()> {
        vcpu.set_counters(time)?;
        self.shared.started.get_or_init(Instant::now);
        let mut orders = lock(&self.shared.orders)?;
        orders.guest_time = None;
        if orders.vcpus.len() > 1 {
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Runs guest code until something stops the vCPUs, and completes the last exit.
    fn run(&self, vcpu: &Mutex<Vcpu>, devices: &Mutex<Devices>, time: Option<Counters>) -> Result<()> {
        let mut vcpu = lock(vcpu)?;
        if let Some(time) = time {
            self.set_time(&vcpu, time)?;
        }
        let exit = vcpu.immediate_exit();
        // Cleared before the order is read, set after it is given: a stop between the two is seen by one or the other.
        // SAFETY: the lock is held, the vCPU is alive.
        unsafe { exit.set(false) };
        while self.is_run_wanted() {
            self.shared.first_run.get_or_init(Instant::now);
            self.shared.exits.fetch_add(1, Ordering::Relaxed);
            match vcpu.run() {
                Ok(VcpuExit::MmioRead(address, data)) => {
                    self.shared.mmio_exits.fetch_add(1, Ordering::Relaxed);
                    lock(devices)?.read(address, data);
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    self.shared.mmio_exits.fetch_add(1, Ordering::Relaxed);
                    let outcome = lock(devices)?.write(address, data)?;
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

    /// Waits until the orders have changed, or until this time.
    fn wait_awake(&self, until: Instant) {
        while !self.shared.has_news.load(Ordering::Acquire) && Instant::now() < until {
            std::hint::spin_loop();
        }
    }

    fn stop_all(&self, event: Event) -> Result<()> {
        let mut orders = lock(&self.shared.orders)?;
        self.report(&mut orders, event);
        Ok(())
    }

    /// Stops this vCPU, and the others as soon as [`Crew::stop`] kicks them. Of doorbells that several vCPUs ring before all have
    /// stopped, the first is the one that the controller answers: a second would be taken for one that rang after the answer.
    fn report(&self, orders: &mut MutexGuard<'_, Orders>, event: Event) {
        if orders.wanted == Wanted::Run {
            orders.wanted = Wanted::Stop;
        }
        let is_doorbell = matches!(event, Event::Doorbell { .. });
        if is_doorbell && std::mem::replace(&mut orders.rung, true) {
            return;
        }
        orders.events.push(event);
        // The counter of an eventfd takes 2^64 - 1 events.
        let _full = rustix::io::write(&self.shared.events_fd, &1_u64.to_ne_bytes());
    }
}
