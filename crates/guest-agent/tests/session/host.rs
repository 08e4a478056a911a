//! The host's end of a session.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use firn_guest_agent::AgentError;
use firn_guest_agent::manifest::Interface;
use firn_guest_agent::runtime_process::{RuntimeProcess, RuntimeSpec};
use firn_guest_agent::runtime_setup::RuntimeSetup;
use firn_guest_agent::session::Session;
use firn_protocol::v2::guest_message::Message as Said;
use firn_protocol::v2::host_message::Message as Say;
use firn_protocol::v2::{
    Credit, GuestMessage, HostMessage, Invoke, InvokeEnd, LoadFunction, LogLine, ResponseHead, ResumeRecord,
    SnapshotGo,
};
use firn_protocol::{FrameDecoder, INITIAL_CREDIT_BYTES, decode, frame};
use rustix::process::Pid;

use crate::test_machine::{Deeds, TestMachine};

/// For a function that writes to its bridge itself: the one socket that its process has.
const BRIDGE_MODULE: &str = "
    import { readdirSync, readlinkSync } from 'node:fs';
    const isSocket = (fd) => {
      try { return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:') } catch { return false }
    };
    export const bridge = readdirSync('/proc/self/fd').map(Number).find(isSocket);";

/// How long a test waits for a message.
const LIMIT: Duration = Duration::from_secs(120);

/// Takes the host's next message, which must be of this pattern.
macro_rules! expect_next {
    ($host:expr, $pattern:pat $(if $condition:expr)?) => {
        match $host.next() {
            $pattern $(if $condition)? => {}
            other => $host.unexpected(stringify!($pattern $(if $condition)?), &other),
        }
    };
}
pub(crate) use expect_next;

/// The answer of an invocation.
#[derive(Debug)]
pub struct Answer {
    pub payload: Vec<u8>,
    pub end: InvokeEnd,
}

/// A session in a thread of its own, with a function in a folder of its own.
pub struct Host {
    pub deeds: Deeds,
    /// The process that was started at boot.
    pub runtime: Option<Pid>,
    /// Log lines that came so far, as "stream: line".
    pub logs: Vec<String>,
    /// The same as they came.
    pub lines: Vec<LogLine>,
    stream: UnixStream,
    decoder: FrameDecoder,
    session: Option<JoinHandle<Result<(), AgentError>>>,
    root: tempfile::TempDir,
}

impl Host {
    /// Starts a session; `program` becomes `index.js` of the function.
    pub fn start(program: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("index.js"), program).unwrap();
        fs::write(root.path().join("bridge.js"), BRIDGE_MODULE).unwrap();
        fs::write(root.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
        let runtime = RuntimeProcess::start(node_runtime(root.path())).unwrap();
        let setup = RuntimeSetup { root: root.path().into(), ..RuntimeSetup::default() };
        Self::serve(root, setup, Some(runtime))
    }

    /// Starts a session of a runtime that starts its process with the function: `program` becomes `bootstrap.mjs`, for Node.js.
    pub fn start_bootstrap(program: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("bootstrap.mjs"), program).unwrap();
        let setup = RuntimeSetup {
            interface: Interface::RuntimeApi,
            starts_at_load: true,
            program: node_program(),
            arguments: vec!["bootstrap.mjs".into()],
            root: root.path().into(),
            ..RuntimeSetup::default()
        };
        Self::serve(root, setup, None)
    }

    /// Starts a session of a runtime that starts its process at boot: `program` becomes `runtime.mjs`, for Node.js.
    pub fn boot(program: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("runtime.mjs");
        fs::write(&path, program).unwrap();
        // One that is free: the process must be told before anybody listens.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let setup = RuntimeSetup {
            interface: Interface::RuntimeApi,
            program: node_program(),
            arguments: vec![path.into()],
            root: root.path().into(),
            api_port: port,
            ..RuntimeSetup::default()
        };
        let runtime = setup.start_at_boot(None).unwrap();
        Self::serve(root, setup, runtime)
    }

    fn serve(root: tempfile::TempDir, setup: RuntimeSetup, runtime: Option<RuntimeProcess>) -> Self {
        let pid = runtime.as_ref().map(|runtime| runtime.pid);
        let deeds = Deeds::default();
        let machine = TestMachine { deeds: deeds.clone(), rings: 0 };
        let (stream, its_stream) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let setup = RuntimeSetup {
            name: "node".into(),
            version: "24.9.0".into(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            ..setup
        };
        let mut session = Session::new(machine, its_stream.into(), setup, Ok(runtime)).unwrap();
        let session = Some(spawn(move || session.run()));
        let mut host = Self {
            deeds,
            runtime: pid,
            logs: Vec::new(),
            lines: Vec::new(),
            stream,
            decoder: FrameDecoder::new(),
            session,
            root,
        };
        expect_next!(host, Said::Hello(hello) if hello.agent_abi == 2 && hello.doorbell_present && hello.runtime_name == "node");
        expect_next!(host, Said::RuntimeReady(_));
        host
    }

    /// Starts a session of [`start_bootstrap`](Self::start_bootstrap), and loads the function.
    pub fn load_bootstrap(program: &str) -> Self {
        let mut host = Self::start_bootstrap(program);
        host.say(load_function(100_000));
        expect_next!(host, Said::FunctionReady(_));
        host
    }

    /// Starts a session, and loads the function.
    pub fn load(program: &str) -> Self {
        let mut host = Self::start(program);
        host.say(load_function(100_000));
        expect_next!(host, Said::FunctionReady(_));
        host
    }

    /// Ends the test, with what came and the log.
    pub fn unexpected(&self, expected: &str, came: &Said) -> ! {
        panic!("expected {expected}, got {came:?}; log: {:#?}", self.logs)
    }

    pub fn say(&mut self, message: Say) {
        self.stream.write_all(&frame(&HostMessage { message: Some(message) }).unwrap()).unwrap();
    }

    /// The next message that is no log line.
    pub fn next(&mut self) -> Said {
        loop {
            match self.receive().unwrap_or_else(|| panic!("the session has ended: {:?}", self.logs)) {
                Said::Log(log) => {
                    self.logs.push(format!("{}: {}", log.stream, String::from_utf8_lossy(&log.line)));
                    self.lines.push(log);
                }
                other => return other,
            }
        }
    }

    /// The next message, or `None` if the session has ended.
    fn receive(&mut self) -> Option<Said> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(bytes) = self.decoder.next_message().unwrap() {
                return decode::<GuestMessage>(bytes).unwrap().message;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
                // A child's end that wakes this thread ends a read with a limit, though nothing handles the signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("nothing came: {error}; log: {:#?}", self.logs),
            }
        }
    }

    /// A whole answer, which comes without others in between.
    pub fn next_result(&mut self) -> Answer {
        match self.next() {
            Said::ResponseHead(head) => self.rest_of(head),
            other => self.unexpected("the head of a response", &other),
        }
    }

    /// The rest of an answer that has begun.
    pub fn rest_of(&mut self, head: ResponseHead) -> Answer {
        let mut payload = head.payload.clone();
        // One that is shorter ends without any credit.
        if payload.len() == INITIAL_CREDIT_BYTES {
            self.grant(head.id, payload.len());
        }
        loop {
            match self.next() {
                Said::PayloadChunk(chunk) if chunk.id == head.id => {
                    payload.extend_from_slice(&chunk.data);
                    self.grant(head.id, chunk.data.len());
                }
                Said::InvokeEnd(end) if end.id == head.id => return Answer { payload, end },
                other => self.unexpected("the rest of a response", &other),
            }
        }
    }

    fn grant(&mut self, id: u32, bytes: usize) {
        self.say(Say::Credit(Credit { id, bytes: u32::try_from(bytes).unwrap() }));
    }

    /// The text of a result that is no error.
    pub fn answer(&mut self) -> String {
        let result = self.next_result();
        assert_eq!(result.end.function_error, "", "{:?}", String::from_utf8_lossy(&result.payload));
        String::from_utf8(result.payload).unwrap()
    }

    /// Asks for the doorbell, and waits until it has been rung for the `count`th time. A VMM delivers nothing before that.
    pub fn snapshot(&mut self, event: u32, count: usize) {
        self.say(Say::SnapshotGo(SnapshotGo { event }));
        let deadline = Instant::now() + LIMIT;
        while self.deeds.lock().unwrap().iter().filter(|deed| deed.starts_with("ring")).count() < count {
            assert!(Instant::now() < deadline, "the doorbell was not rung");
            sleep(Duration::from_millis(1));
        }
    }

    /// The state of the runtime process, as /proc has it: "T" is stopped.
    pub fn runtime_state(&self) -> char {
        let id = self.runtime.unwrap().as_raw_nonzero();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }

    /// Closes the stream; returns how the session ended.
    pub fn close(mut self) -> Result<(), AgentError> {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
        self.wait()
    }

    /// Waits until the session ends by itself.
    pub fn wait(&mut self) -> Result<(), AgentError> {
        self.session.take().unwrap().join().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        // One that was started for a function ends when nobody answers it any more.
        if let Some(runtime) = self.runtime {
            let _ = rustix::process::kill_process(runtime, rustix::process::Signal::KILL);
        }
        let _ = &self.root;
    }
}

pub fn load_function(ready_timeout_ms: u32) -> Say {
    Say::LoadFunction(LoadFunction {
        entry: "index.js".into(),
        ready_timeout_ms,
        function_name: "example".into(),
        ..LoadFunction::default()
    })
}

pub fn invoke(id: u32, event: &str, timeout_ms: u32) -> Say {
    Say::Invoke(Invoke {
        id,
        request_id: format!("request-{id}"),
        timeout_ms,
        kind: "event".into(),
        payload: event.into(),
        ..Invoke::default()
    })
}

pub fn resume_record(byte: u8) -> Say {
    Say::Resume(ResumeRecord {
        generation: vec![byte; 16],
        entropy: vec![byte; 64],
        clock_seconds: 1_763_870_400,
        clock_nanoseconds: 5,
        environment: [("SECRET".to_owned(), format!("secret {byte}"))].into(),
    })
}

fn node_runtime(root: &Path) -> RuntimeSpec {
    let repository = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let addon = repository.join(format!("packages/guest/dist/addon/linux-{arch}/reseed.node"));
    assert!(addon.exists(), "run `npm run build:addon -w @firn/guest` first: {} is missing", addon.display());
    let arguments = [
        "--conditions=firn-source".into(),
        "--expose-gc".into(),
        repository.join("packages/guest/src/runtime/main.ts").display().to_string(),
        format!("--root={}", root.display()),
        format!("--addon={}", addon.display()),
    ];
    RuntimeSpec {
        program: node_program(),
        arguments: arguments.map(Into::into).into(),
        environment: Vec::new(),
        user: None,
        folder: "/".into(),
        has_bridge: true,
        cgroup: None,
    }
}

pub fn node_program() -> PathBuf {
    let repository = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let candidates = [repository.join("node_modules/.bin/node"), PathBuf::from("/usr/bin/node")];
    candidates
        .into_iter()
        .find(|program| {
            Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
        })
        .expect("no Node.js: run `npm install` first")
}
