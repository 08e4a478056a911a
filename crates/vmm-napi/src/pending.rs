//! Requests that wait for their response.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use napi::{Env, JsDeferred};

use crate::failure::Failure;
use crate::files::Outputs;
use crate::reply::{Prepared, Reply, Started};

/// How a reply is made on the JavaScript thread.
pub type Resolver = Box<dyn FnOnce(Env) -> napi::Result<Reply> + Send>;

/// The promise of one request. It keeps Node running until it is settled, so each must be.
pub struct Answer {
    deferred: JsDeferred<Reply, Resolver>,
}

impl Answer {
    /// Takes over the promise.
    pub const fn new(deferred: JsDeferred<Reply, Resolver>) -> Self {
        Self { deferred }
    }

    /// Resolves or rejects the promise.
    pub fn settle(self, result: Result<Reply, Failure>) {
        match result {
            Ok(reply) => self.deferred.resolve(Box::new(move |_| Ok(reply))),
            Err(failure) => self.deferred.reject(failure.into()),
        }
    }
}

/// Node's ends of what a microVM that starts is connected to.
#[derive(Debug)]
pub struct Connections {
    /// Agent stream.
    pub stream: OwnedFd,
    /// Console, if wanted.
    pub console: Option<OwnedFd>,
    /// How many of the initial bytes wait in the stream.
    pub initial_bytes_written: usize,
}

/// What is kept for a request until its response.
#[derive(Debug, Default)]
pub struct Kept {
    /// Of a boot or restore.
    pub connections: Option<Connections>,
    /// Of a snapshot or a working set.
    pub outputs: Outputs,
    /// Of a preparation or a restore that brings layers: guest memory, as the first of them says.
    pub memory_bytes: Option<u64>,
}

impl Kept {
    /// The reply of a request that the VMM answered with `reply`; Node's ends, if there are any, go to `deposit`.
    fn complete(self, pid: u32, reply: Reply, deposit: impl FnOnce(Connections)) -> Reply {
        self.outputs.keep();
        if let Reply::Prepared(prepared) = reply {
            return Reply::Prepared(Prepared { pid, ..prepared });
        }
        match self.connections {
            Some(connections) => {
                let written = connections.initial_bytes_written;
                deposit(connections);
                Reply::Started(Started {
                    pid,
                    initial_bytes_written: u32::try_from(written).unwrap_or(u32::MAX),
                })
            }
            None => reply,
        }
    }
}

/// The requests of one microVM that wait, by number.
#[derive(Default)]
pub struct Pending {
    waiting: HashMap<u32, (Answer, Kept)>,
}

impl Pending {
    /// Waits for the response to request `id`.
    pub fn insert(&mut self, id: u32, answer: Answer, kept: Kept) {
        if let Some((earlier, _)) = self.waiting.insert(id, (answer, kept)) {
            earlier.settle(Err(Failure::internal(format!("request number {id} was used twice"))));
        }
    }

    /// Settles request `id`; without effect if it was cancelled before. What a microVM is connected to goes to `deposit` before that.
    pub fn settle(
        &mut self,
        id: u32,
        pid: u32,
        result: Result<Reply, Failure>,
        deposit: impl FnOnce(Connections),
    ) {
        if let Some((answer, kept)) = self.waiting.remove(&id) {
            answer.settle(result.map(|reply| kept.complete(pid, reply, deposit)));
        }
    }

    /// Rejects all that wait.
    pub fn reject_all(&mut self, failure: &Failure) {
        for (_, (answer, _)) in self.waiting.drain() {
            answer.settle(Err(failure.clone()));
        }
    }
}
