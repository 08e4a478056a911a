//! The process of one microVM: serves its control socket until that is closed.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::{pread, retry_on_intr};

use crate::control::{
    CONTROL_VERSION, ControlSocket, Descriptor, Event, Message, PreparedReport, Received, Request,
    RequestFrame, Response, RestoreRequest,
};
use crate::devices::Watched;
use crate::error::{ErrorCode, Result, VmmError};
use crate::jail::{Inside, ProcFiles, seccomp};
use crate::kvm::Kvm;
use crate::machine::{BootFiles, Machine, Prepared, RestoreFiles, microseconds_since};
use crate::snapshot::{MachineState, decode};
use crate::working_set::{FILE_LENGTH_MAX, WorkingSet};

/// Longest state file that is read, in bytes; the decoder has a tighter limit of its own.
const STATE_FILE_MAX: usize = 8 << 20;
/// How much of a file is read at first, in bytes: most state files whole.
const FIRST_READ: usize = 32 << 10;
/// After the guest has stopped, how long the controller may take to close the socket before the process ends by itself.
const LINGER: Duration = Duration::from_secs(10);

/// What an event is about: the control socket, the machine's own events, or a descriptor of its devices.
const CONTROL: u64 = 0;
const MACHINE: u64 = 1;
const DEVICES: u64 = 2;

/// Installs the filter of system calls, says which jail this is, and serves until the controller closes the socket or the microVM ends.
/// A host without KVM is an error of the first request, which can tell the controller.
///
/// # Errors
/// FIRN_JAIL_UNAVAILABLE if the kernel has no filters, FIRN_PROTOCOL or FIRN_IO if the socket itself cannot be served.
pub fn serve(socket: ControlSocket, kvm: Result<Kvm>, inside: Inside) -> Result<()> {
    let Inside { proc_files, mut report, started } = inside;
    seccomp::confine_main_thread()?;
    report.microseconds = microseconds_since(started);
    socket.send(&Message::Jailed(report), &[])?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)
        .map_err(VmmError::wrap(ErrorCode::Io, "create an epoll"))?;
    let mut server = Server { socket, kvm, proc_files, poll, machine: None, prepared: None, stream: None };
    server.watch(CONTROL)?;
    server.run()
}

struct Server {
    socket: ControlSocket,
    kvm: Result<Kvm>,
    proc_files: ProcFiles,
    poll: OwnedFd,
    machine: Option<Machine>,
    prepared: Option<Prepared>,
    /// The stream that is being watched, by its descriptor's number, which only changes when it is replaced.
    stream: Option<RawFd>,
}

impl Server {
    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(8);
        loop {
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(VmmError::wrap(ErrorCode::Io, "wait for events")(error)),
            }
            for event in &events {
                match event.data.u64() {
                    MACHINE => {
                        if self.on_machine()? {
                            return self.linger();
                        }
                    }
                    CONTROL => {
                        let Some(received) = self.socket.receive::<RequestFrame>()? else { return Ok(()) };
                        // What has happened is said before: a resume answers the doorbell that was rung.
                        if self.machine.is_some() && self.on_machine()? {
                            return self.linger();
                        }
                        self.on_request(received)?;
                    }
                    device => {
                        if self.on_device(device.saturating_sub(DEVICES))? {
                            return self.linger();
                        }
                    }
                }
            }
        }
    }

    /// Waits for the controller to read what was said last.
    fn linger(&self) -> Result<()> {
        let deadline = Instant::now() + LINGER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let timeout = rustix::event::Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or_default(),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [rustix::event::PollFd::new(&self.socket, rustix::event::PollFlags::IN)];
            if rustix::event::poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
                && self.socket.receive::<RequestFrame>()?.is_none()
            {
                return Ok(());
            }
        }
    }

    fn on_request(&mut self, received: Received<RequestFrame>) -> Result<()> {
        let start = Instant::now();
        let frame = received.message;
        let result = if frame.version == CONTROL_VERSION {
            Descriptors::new(frame.descriptors, received.descriptors)
                .and_then(|descriptors| self.handle(frame.request, descriptors, start))
        } else {
            Err(VmmError::new(
                ErrorCode::Protocol,
                format!(
                    "the controller speaks version {} of the control protocol, this VMM {CONTROL_VERSION}",
                    frame.version
                ),
            ))
        };
        match self.socket.send(&Message::Response { id: frame.id, result }, &[]) {
            // How much there is to say can be up to the guest: an answer that does not fit is an error of its request alone.
            Err(error) if error.code == ErrorCode::Protocol => {
                self.socket.send(&Message::Response { id: frame.id, result: Err(error) }, &[])
            }
            sent => sent,
        }
    }

    fn handle(&mut self, request: Request, mut files: Descriptors, start: Instant) -> Result<Response> {
        match request {
            Request::Boot(request) => {
                self.refuse_second_start()?;
                refuse_tracking(request.track_writes)?;
                let boot = BootFiles {
                    kernel: files.need_file(Descriptor::Kernel)?,
                    initrd: files.take_file(Descriptor::Initrd),
                    root_disk: files.need_file(Descriptor::RootDisk)?,
                    app_disk: files.take_file(Descriptor::AppDisk),
                    scratch_disk: files.take_file(Descriptor::ScratchDisk),
                    link: files.take(Descriptor::Net),
                    stream: files.take(Descriptor::Stream),
                    console: files.take_file(Descriptor::Console),
                };
                let machine = Machine::boot(self.kvm()?, &request, boot)?;
                self.adopt(machine)
            }
            Request::Prepare(request) => {
                self.refuse_second_start()?;
                refuse_tracking(request.track_writes)?;
                let state = read_state(&files.need_file(Descriptor::State)?)?;
                let layers = files.take_all_files(Descriptor::Layer);
                let sets = files.take_all_files(Descriptor::WorkingSet).into_iter().map(read_working_set);
                let sets = sets.collect::<Result<Vec<_>>>()?;
                let mut prepared = Prepared::new(self.kvm()?, state, layers, &request, &sets)?;
                let touched_pages = prepared.touched_pages();
                let mut phases = prepared.end_preparation(&self.proc_files)?;
                phases.total = microseconds_since(start);
                self.prepared = Some(prepared);
                Ok(Response::Prepared(PreparedReport {
                    private_bytes: self.proc_files.private_bytes()?,
                    touched_pages,
                    phases,
                }))
            }
            Request::Restore(request) => self.restore(&request, files, start),
            Request::Snapshot(request) => {
                let mut layer = files.need_file(Descriptor::LayerOutput)?;
                let mut state = files.need_file(Descriptor::StateOutput)?;
                let pagemap = self
                    .proc_files
                    .pagemap
                    .try_clone()
                    .map_err(VmmError::wrap(ErrorCode::Io, "share the pagemap"))?;
                self.machine()?.snapshot(&request, &pagemap, &mut layer, &mut state).map(Response::Snapshot)
            }
            Request::Resume => {
                let stream = files.take(Descriptor::Stream);
                let machine = self.machine()?;
                let is_replaced = stream.is_some();
                if let Some(stream) = stream {
                    machine.devices().replace_stream(stream)?;
                }
                machine.resume()?;
                if is_replaced {
                    // It can have the number of one that the guest has had closed, which is not watched any more.
                    self.stream = None;
                }
                self.watch_stream()?;
                Ok(Response::Done)
            }
            Request::Pause => self.machine()?.stop().map(|()| Response::Done),
            Request::Statistics => {
                let machine = self.machine.as_ref().ok_or_else(no_machine)?;
                machine
                    .statistics(&self.proc_files)
                    .map(|statistics| Response::Statistics(Box::new(statistics)))
            }
            Request::MemoryChecksum => {
                let machine = self.machine()?;
                if !machine.is_stopped() {
                    return Err(VmmError::new(
                        ErrorCode::Config,
                        "the memory of a running microVM has no checksum",
                    ));
                }
                machine.memory_checksum().map(Response::MemoryChecksum)
            }
            Request::RecordWorkingSet => {
                let mut output = files.need_file(Descriptor::WorkingSetOutput)?;
                let previous = files.take_file(Descriptor::WorkingSet).map(read_working_set).transpose()?;
                let pagemap = &self.proc_files.pagemap;
                let machine = self.machine.as_ref().ok_or_else(no_machine)?;
                machine.record_working_set(pagemap, previous.as_ref(), &mut output).map(Response::WorkingSet)
            }
            Request::RecordMisses => {
                let mut output = files.need_file(Descriptor::WorkingSetOutput)?;
                let mut next = || files.take_file(Descriptor::WorkingSet).map(read_working_set).transpose();
                let learnt_from = next()?.zip(next()?);
                let pagemap = &self.proc_files.pagemap;
                let machine = self.machine.as_ref().ok_or_else(no_machine)?;
                machine.record_misses(pagemap, learnt_from.as_ref(), &mut output).map(Response::WorkingSet)
            }
            Request::SetBalloon(bytes) => {
                self.machine()?.devices().set_balloon(bytes).map(|()| Response::Done)
            }
            #[cfg(feature = "test-support")]
            Request::WrittenRanges => self.machine()?.written_ranges().map(Response::WrittenRanges),
            #[cfg(not(feature = "test-support"))]
            Request::WrittenRanges => Err(without_test_support()),
        }
    }

    fn restore(
        &mut self,
        request: &RestoreRequest,
        mut files: Descriptors,
        start: Instant,
    ) -> Result<Response> {
        if self.machine.is_some() {
            return self.refuse_second_start().map(|()| Response::Done);
        }
        refuse_tracking(request.track_writes)?;
        // Closed when the guest runs.
        let state_file = files.take_file(Descriptor::State);
        let state = state_file.as_ref().map(read_state).transpose()?;
        let read_state = microseconds_since(start);
        let layers = files.take_all_files(Descriptor::Layer);
        let restore_files = RestoreFiles {
            root_disk: files.need_file(Descriptor::RootDisk)?,
            app_disk: files.take_file(Descriptor::AppDisk),
            scratch_disk: files.take_file(Descriptor::ScratchDisk),
            link: files.take(Descriptor::Net),
            stream: files.take(Descriptor::Stream),
            console: files.take_file(Descriptor::Console),
            working_set: files.take_file(Descriptor::WorkingSet).map(read_working_set).transpose()?,
        };
        let mut machine = match (self.prepared.take(), state) {
            (Some(prepared), state) => prepared.restore(state.as_ref(), layers, request, restore_files)?,
            (None, Some(state)) => {
                let nothing_more = RestoreRequest { layers: Vec::new(), ..request.clone() };
                let prepared = Prepared::new(self.kvm()?, state, layers, request, &[])?;
                prepared.restore(None, Vec::new(), &nothing_more, restore_files)?
            }
            (None, None) => return Err(missing(Descriptor::State)),
        };
        machine.set_requested_at(start, read_state);
        self.adopt(machine)
    }

    fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().ok_or_else(no_machine)
    }

    fn kvm(&self) -> Result<&Kvm> {
        self.kvm.as_ref().map_err(Clone::clone)
    }

    fn refuse_second_start(&self) -> Result<()> {
        if self.machine.is_some() || self.prepared.is_some() {
            return Err(VmmError::new(
                ErrorCode::Protocol,
                "this process has its microVM; each process has one",
            ));
        }
        Ok(())
    }

    fn adopt(&mut self, machine: Machine) -> Result<Response> {
        self.machine = Some(machine);
        self.watch(MACHINE)?;
        self.watch_stream()?;
        for what in Watched::ALL.into_iter().filter(|what| *what != Watched::Stream) {
            self.watch_device(what)?;
        }
        Ok(Response::Done)
    }

    /// True if the microVM has ended.
    fn on_machine(&mut self) -> Result<bool> {
        let machine = self.machine()?;
        let events = machine.take_events();
        if !events.is_empty() {
            machine.stop()?;
        }
        let ended = events.iter().any(|event| !matches!(event, Event::Doorbell { .. }));
        for event in events {
            self.socket.send(&Message::Event(event), &[])?;
        }
        Ok(ended)
    }

    /// A descriptor of the devices, of this place among [`Watched::ALL`], is ready. True if the microVM has ended.
    fn on_device(&mut self, place: u64) -> Result<bool> {
        let what = usize::try_from(place).ok().and_then(|place| Watched::ALL.get(place).copied());
        let (Some(machine), Some(what)) = (self.machine.as_mut(), what) else { return Ok(false) };
        // A stopped microVM must stay as it is: what arrives now is moved when it resumes. Of the console it sees nothing.
        if machine.is_stopped() && what != Watched::Console {
            return Ok(false);
        }
        let outcome = machine.devices().on_ready(what);
        if let Err(error) = outcome {
            self.socket.send(&Message::Event(Event::Failed(error)), &[])?;
            return Ok(true);
        }
        self.watch_stream()?;
        Ok(false)
    }

    fn watch(&self, what: u64) -> Result<()> {
        let fd = match (what, &self.machine) {
            (MACHINE, Some(machine)) => machine.events_fd(),
            _ => self.socket.as_fd(),
        };
        self.add(fd, what, epoll::EventFlags::IN)
    }

    fn watch_stream(&mut self) -> Result<()> {
        let Some(machine) = &self.machine else { return Ok(()) };
        let number = machine.devices().watched_fd(Watched::Stream)?;
        if number.is_some() && self.stream != number {
            self.watch_device(Watched::Stream)?;
            self.stream = number;
        }
        Ok(())
    }

    fn watch_device(&self, what: Watched) -> Result<()> {
        let Some(machine) = &self.machine else { return Ok(()) };
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let place = (0_u64..).zip(Watched::ALL).find(|(_, other)| *other == what).map(|(place, _)| place);
        let add = |fd: BorrowedFd<'_>| self.add(fd, DEVICES + place.unwrap_or_default(), flags);
        machine.devices().with_watched(what, add).map(|_| ())
    }

    fn add(&self, fd: BorrowedFd<'_>, what: u64, flags: epoll::EventFlags) -> Result<()> {
        match epoll::add(&self.poll, fd, epoll::EventData::new_u64(what), flags) {
            // A console that is a regular file takes everything at once, and cannot be waited for.
            Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::PERM) => Ok(()),
            Err(error) => Err(VmmError::wrap(ErrorCode::Io, "watch a descriptor")(error)),
        }
    }
}

/// The descriptors that came with a request, by what they are for.
struct Descriptors(Vec<(Descriptor, OwnedFd)>);

impl Descriptors {
    fn new(meanings: Vec<Descriptor>, descriptors: Vec<OwnedFd>) -> Result<Self> {
        if meanings.len() != descriptors.len() {
            return Err(VmmError::new(
                ErrorCode::Protocol,
                format!("{} descriptors were announced and {} came", meanings.len(), descriptors.len()),
            ));
        }
        Ok(Self(meanings.into_iter().zip(descriptors).collect()))
    }

    fn take(&mut self, wanted: Descriptor) -> Option<OwnedFd> {
        let index = self.0.iter().position(|(meaning, _)| *meaning == wanted)?;
        Some(self.0.remove(index).1)
    }

    fn take_file(&mut self, wanted: Descriptor) -> Option<File> {
        self.take(wanted).map(File::from)
    }

    fn need_file(&mut self, wanted: Descriptor) -> Result<File> {
        self.take_file(wanted).ok_or_else(|| missing(wanted))
    }

    fn take_all_files(&mut self, wanted: Descriptor) -> Vec<File> {
        std::iter::from_fn(|| self.take_file(wanted)).collect()
    }
}

/// Writes are recorded by builds for tests only.
fn refuse_tracking(is_wanted: bool) -> Result<()> {
    if is_wanted && !cfg!(feature = "test-support") { Err(without_test_support()) } else { Ok(()) }
}

fn without_test_support() -> VmmError {
    VmmError::new(
        ErrorCode::Config,
        "this firn-vmm does not record writes; build it with the feature test-support",
    )
}

fn no_machine() -> VmmError {
    VmmError::new(ErrorCode::Protocol, "there is no microVM yet; boot or restore one")
}

fn missing(descriptor: Descriptor) -> VmmError {
    VmmError::new(ErrorCode::Protocol, format!("the request came without its {descriptor:?} descriptor"))
}

fn read_state(file: &File) -> Result<MachineState> {
    decode(&read_from_start(file, STATE_FILE_MAX, "the state file")?)
}

fn read_working_set(file: File) -> Result<WorkingSet> {
    WorkingSet::decode(&read_from_start(&file, FILE_LENGTH_MAX, "the working set")?)
}

/// All of a file, or more than its first `max` bytes, wherever its offset is. To ask for its length would be a call more in every start.
fn read_from_start(file: &File, max: usize, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(FIRST_READ);
    loop {
        let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        retry_on_intr(|| pread(file, spare_capacity(&mut bytes), offset))
            .map_err(VmmError::wrap(ErrorCode::Io, format!("read {what}")))?;
        // Nothing but the end of a file makes a read of it short.
        if bytes.len() < bytes.capacity() || bytes.len() > max {
            return Ok(bytes);
        }
        bytes.reserve(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_whole_whatever_its_length_and_not_far_beyond_the_most() {
        for length in [0, 1, FIRST_READ - 1, FIRST_READ, FIRST_READ + 1, 5 * FIRST_READ] {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            assert!(read_from_start(&file, length, "a file").unwrap() == bytes, "{length} bytes");
            let part = read_from_start(&file, length / 2, "a file").unwrap();
            assert!(bytes.starts_with(&part), "{length} bytes");
            assert!(part.len() >= length / 2 && part.len() <= length.max(FIRST_READ), "{length} bytes");
        }
    }

    #[test]
    fn what_cannot_be_read_at_an_offset_is_an_error() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(read_from_start(&File::from(reader), 1, "a pipe").unwrap_err().code, ErrorCode::Io);
    }
}
