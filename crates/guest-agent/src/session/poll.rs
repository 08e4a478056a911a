//! Waiting for whatever comes first.

use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Phase, Session};
use crate::AgentError;
use crate::machine::Machine;

/// Something that can be read, or that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The host sent bytes, or closed the stream.
    Stream,
    /// The runtime sent bytes.
    Bridge,
    /// Something has happened at a descriptor of what the agent does for processes without a bridge.
    Peer(u64),
    /// The runtime printed something.
    Output,
    /// The runtime process has ended.
    RuntimeEnded,
    /// Some child has ended.
    ChildEnded,
}

impl<M: Machine> Session<M> {
    /// Blocks until something can be read or written, or the next deadline is due.
    pub(super) fn wait_for_events(&self) -> Result<Vec<Event>, AgentError> {
        let timeout = self.next_deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|duration| Timespec::try_from(duration).ok());
        let mut watched = self.watched();
        let (mut descriptors, events): (Vec<PollFd<'_>>, Vec<Option<Event>>) = watched.drain(..).unzip();
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => {
                return Err(AgentError::System { action: "wait for events".into(), source: error.into() });
            }
        }
        let ready = descriptors.iter().zip(events).filter(|(descriptor, event)| {
            let flags = match event {
                Some(Event::Peer(_)) => PollFlags::IN | PollFlags::OUT | PollFlags::HUP | PollFlags::ERR,
                _ => PollFlags::IN | PollFlags::HUP | PollFlags::ERR,
            };
            descriptor.revents().intersects(flags)
        });
        Ok(ready.filter_map(|(_, event)| event).collect())
    }

    fn watched(&self) -> Vec<(PollFd<'_>, Option<Event>)> {
        let mut stream_flags = PollFlags::empty();
        if self.takes_host_messages() {
            stream_flags |= PollFlags::IN;
        }
        if !self.outbox.is_empty() {
            stream_flags |= PollFlags::OUT;
        }
        let mut watched = vec![(PollFd::new(&self.stream, stream_flags), Some(Event::Stream))];
        // What is frozen has nothing to say; not looking keeps the way from the doorbell to the resume record short.
        if self.phase == Phase::Prepared {
            return watched;
        }
        if let Some(runtime) = &self.runtime {
            // Before the bridge: what an invocation printed is passed on before its end.
            for output in [&runtime.log, &runtime.stdout, &runtime.stderr].into_iter().flatten() {
                watched.push((PollFd::new(output, PollFlags::IN), Some(Event::Output)));
            }
            if let Some(bridge) = &runtime.bridge {
                let mut flags = PollFlags::empty();
                if !self.outbox.is_full() && self.bridge_closed_deadline.is_none() {
                    flags |= PollFlags::IN;
                }
                if !bridge.commands.is_empty() && self.bridge_closed_deadline.is_none() {
                    flags |= PollFlags::OUT;
                }
                if !flags.is_empty() {
                    watched.push((PollFd::new(&bridge.socket, flags), Some(Event::Bridge)));
                }
            }
            if let Some(peer) = &self.peer {
                let all = peer.watched(!self.outbox.is_full());
                watched.extend(
                    all.into_iter().map(|(descriptor, token)| (descriptor, Some(Event::Peer(token)))),
                );
            }
            watched.push((PollFd::new(&runtime.ended, PollFlags::IN), Some(Event::RuntimeEnded)));
        }
        if let Some(children) = self.machine.child_events() {
            watched.push((PollFd::from_borrowed_fd(children, PollFlags::IN), Some(Event::ChildEnded)));
        }
        watched
    }

    /// Whether the next message of the host may be handled now.
    pub(super) fn takes_host_messages(&self) -> bool {
        let bridge = self.runtime.as_ref().and_then(|runtime| runtime.bridge.as_ref());
        let room = bridge.is_none_or(|bridge| !bridge.commands.is_full());
        room && matches!(self.phase, Phase::Running | Phase::Prepared)
    }
}
