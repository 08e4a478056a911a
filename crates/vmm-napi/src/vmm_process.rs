//! The class that JavaScript sees.

use std::sync::Arc;

use firn_vmm::control::Request;
use napi::bindgen_prelude::{Object, Unknown};
use napi::{Env, Result};
use napi_derive::napi;

use crate::event::{EventFunction, EventSink};
use crate::failure::Failure;
use crate::inbox::{Command, Inbox};
use crate::jail::JailWish;
use crate::lent::{Adopt, LentDescriptors};
use crate::options::{
    BootOptions, JailOptions, MissesOptions, PrepareOptions, RestoreOptions, SnapshotOptions,
    WorkingSetOptions,
};
use crate::packet::Work;
use crate::pending::{Answer, Resolver};
use crate::reply::Reply;
use crate::supervisor::supervise;

/// Stack of a supervisor in bytes; it holds one control packet and little else.
const SUPERVISOR_STACK_BYTES: usize = 512 << 10;

/// One `firn-vmm` process, for one microVM. Killed when this object is collected.
///
/// Every request takes a number that the caller chooses, with which it can be cancelled. Errors read `FIRN_CODE: sentence`.
#[napi]
pub struct VmmProcess {
    inbox: Arc<Inbox>,
    lent: LentDescriptors,
}

#[napi]
impl VmmProcess {
    /// Starts the process, without waiting for it: if that fails, every request is rejected, and the exit event tells.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        binary_path: String,
        jail: JailOptions,
        #[napi(ts_arg_type = "(event: VmmEvent) => void")] on_event: EventFunction,
    ) -> Result<Self> {
        let jail = JailWish::try_from(jail)?;
        let (inbox, wake) = Inbox::new()?;
        let inbox = Arc::new(inbox);
        let shared = Arc::clone(&inbox);
        std::thread::Builder::new()
            .name("firn-supervisor".to_owned())
            .stack_size(SUPERVISOR_STACK_BYTES)
            .spawn(move || supervise(&binary_path, &jail, &shared, &wake, EventSink::new(on_event)))
            .map_err(Failure::io("start the thread of a microVM"))?;
        Ok(Self { inbox, lent: LentDescriptors::default() })
    }

    /// The jail; resolves when the process is in it.
    #[napi(ts_return_type = "Promise<JailReport>", catch_unwind)]
    pub fn jailed<'env>(&self, env: &'env Env, id: u32) -> Result<Object<'env>> {
        let (answer, promise) = promise(env)?;
        self.inbox.push(Command::Jailed { id, answer });
        Ok(promise)
    }

    /// Boots a kernel; resolves when the vCPUs run.
    #[napi(ts_return_type = "Promise<Started>", catch_unwind)]
    pub fn boot<'env>(&self, env: &'env Env, id: u32, options: BootOptions) -> Result<Object<'env>> {
        self.request(env, id, Work::boot(options)?)
    }

    /// Does everything that restores on top of these layers have in common; resolves when the process waits for its restore.
    #[napi(ts_return_type = "Promise<Prepared>", catch_unwind)]
    pub fn prepare<'env>(&self, env: &'env Env, id: u32, options: PrepareOptions) -> Result<Object<'env>> {
        self.request(env, id, Work::prepare(options)?)
    }

    /// Whether the process runs at this moment. It may have ended a little before the exit event tells.
    #[napi(catch_unwind)]
    pub fn is_running(&self) -> bool {
        self.inbox.is_running()
    }

    /// Restores a snapshot; resolves when the vCPUs run, or could.
    #[napi(ts_return_type = "Promise<Started>", catch_unwind)]
    pub fn restore<'env>(&self, env: &'env Env, id: u32, options: RestoreOptions) -> Result<Object<'env>> {
        self.request(env, id, Work::restore(options)?)
    }

    /// Has `adopt` make an object of Node's end of the agent stream of a microVM that has started, and returns that. The object has to
    /// close the descriptor; if there comes none, it is closed with this object. It can be taken once.
    #[napi(
        ts_generic_types = "T",
        ts_args_type = "adopt: (fd: number) => T",
        ts_return_type = "T",
        catch_unwind
    )]
    pub fn take_stream<'env>(&self, adopt: Adopt<'env>) -> Result<Unknown<'env>> {
        let stream =
            self.inbox.take_stream().ok_or_else(|| Failure::internal("there is no stream to take"))?;
        self.lent.hand_over(stream, &adopt)
    }

    /// The same with the read end of the console's pipe, if there is one.
    #[napi(
        ts_generic_types = "T",
        ts_args_type = "adopt: (fd: number) => T",
        ts_return_type = "T | null",
        catch_unwind
    )]
    pub fn take_console<'env>(&self, adopt: Adopt<'env>) -> Result<Option<Unknown<'env>>> {
        self.inbox.take_console().map(|console| self.lent.hand_over(console, &adopt)).transpose()
    }

    /// Writes a snapshot into two new files, which are removed again if it fails or is cancelled.
    #[napi(ts_return_type = "Promise<SnapshotReport>", catch_unwind)]
    pub fn snapshot<'env>(&self, env: &'env Env, id: u32, options: SnapshotOptions) -> Result<Object<'env>> {
        self.request(env, id, Work::snapshot(options)?)
    }

    /// Writes down which memory the microVM has written, into a new file, which is removed again if that fails or is cancelled.
    #[napi(ts_return_type = "Promise<WorkingSetReport>", catch_unwind)]
    pub fn record_working_set<'env>(
        &self,
        env: &'env Env,
        id: u32,
        options: WorkingSetOptions,
    ) -> Result<Object<'env>> {
        self.request(env, id, Work::record_working_set(options))
    }

    /// Writes down which memory the microVM has written that its working set did not name, into a new file, as above.
    #[napi(ts_return_type = "Promise<WorkingSetReport>", catch_unwind)]
    pub fn record_misses<'env>(
        &self,
        env: &'env Env,
        id: u32,
        options: MissesOptions,
    ) -> Result<Object<'env>> {
        self.request(env, id, Work::record_misses(options))
    }

    /// Lets the vCPUs run again.
    #[napi(ts_return_type = "Promise<void>", catch_unwind)]
    pub fn resume<'env>(&self, env: &'env Env, id: u32) -> Result<Object<'env>> {
        self.request(env, id, Work::plain(Request::Resume))
    }

    /// Stops the vCPUs.
    #[napi(ts_return_type = "Promise<void>", catch_unwind)]
    pub fn pause<'env>(&self, env: &'env Env, id: u32) -> Result<Object<'env>> {
        self.request(env, id, Work::plain(Request::Pause))
    }

    /// Has the guest's balloon hold so many bytes, as far as the guest can spare them.
    #[napi(ts_return_type = "Promise<void>", catch_unwind)]
    pub fn set_balloon_bytes<'env>(&self, env: &'env Env, id: u32, bytes: i64) -> Result<Object<'env>> {
        let bytes = u64::try_from(bytes).map_err(|_| Failure::options("a balloon's size is negative"))?;
        self.request(env, id, Work::plain(Request::SetBalloon(bytes)))
    }

    /// Counters and phases.
    #[napi(ts_return_type = "Promise<Statistics>", catch_unwind)]
    pub fn statistics<'env>(&self, env: &'env Env, id: u32) -> Result<Object<'env>> {
        self.request(env, id, Work::plain(Request::Statistics))
    }

    /// A checksum of all guest memory, 16 hexadecimal digits.
    #[napi(ts_return_type = "Promise<string>", catch_unwind)]
    pub fn memory_checksum<'env>(&self, env: &'env Env, id: u32) -> Result<Object<'env>> {
        self.request(env, id, Work::plain(Request::MemoryChecksum))
    }

    /// Rejects request `id` with this error, whose text reads `FIRN_CODE: sentence`. Without effect if it was answered.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: u32, code: String, message: String) {
        self.inbox.push(Command::Cancel { id, failure: Failure::new(code, message) });
    }

    /// Kills the process; resolves when it is gone, at once if it already is.
    #[napi(ts_return_type = "Promise<void>", catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let (answer, promise) = promise(env)?;
        self.inbox.push(Command::Close { answer: Some(answer) });
        Ok(promise)
    }

    fn request<'env>(&self, env: &'env Env, id: u32, work: Work) -> Result<Object<'env>> {
        let (answer, promise) = promise(env)?;
        self.inbox.push(Command::Request { id, work, answer });
        Ok(promise)
    }
}

impl Drop for VmmProcess {
    fn drop(&mut self) {
        self.inbox.push(Command::Close { answer: None });
    }
}

fn promise(env: &Env) -> Result<(Answer, Object<'_>)> {
    let (deferred, promise) = env.create_deferred::<Reply, Resolver>()?;
    Ok((Answer::new(deferred), promise))
}
