//! What the runtime prints, as lines for the host. Never in the way of anything else: lines that find no room are counted, not kept.

use std::os::fd::AsFd;

use firn_protocol::v1::{GuestMessage, LogLine, guest_message};

use super::Session;
use crate::machine::Machine;
use crate::outbox::Outbox;
use crate::runtime_process::read_some;

/// Reads of one output before everything else gets its turn: together more than a pipe holds.
const READS_AT_ONCE: usize = 4;

impl<M: Machine> Session<M> {
    /// Takes what was printed so far.
    pub(super) fn read_output(&mut self) {
        let Some(runtime) = &mut self.runtime else { return };
        let streams = [
            ("stdout", &mut runtime.stdout, &mut self.stdout_lines),
            ("stderr", &mut runtime.stderr, &mut self.stderr_lines),
        ];
        for (stream, output, lines) in streams {
            for _ in 0..READS_AT_ONCE {
                let Some(output_now) = output.as_ref() else { break };
                let Some(bytes) = read_some(output_now.as_fd(), &mut self.buffer) else { break };
                if bytes.is_empty() {
                    *output = None;
                }
                lines.push(bytes, |line| push_log(&mut self.outbox, &mut self.dropped_lines, stream, line));
            }
        }
    }

    /// Sends unfinished lines: whoever would finish them is frozen or gone.
    pub(super) fn finish_lines(&mut self) {
        for (stream, lines) in [("stdout", &mut self.stdout_lines), ("stderr", &mut self.stderr_lines)] {
            lines.finish(|line| push_log(&mut self.outbox, &mut self.dropped_lines, stream, line));
        }
    }

    pub(super) fn say_log(&mut self, stream: &str, line: &[u8]) {
        push_log(&mut self.outbox, &mut self.dropped_lines, stream, line);
    }

    /// Tells the host how many lines are missing, once there is room for lines again.
    pub(super) fn report_dropped_lines(&mut self) {
        if self.outbox.has_much_room_for_logs() {
            self.tell_dropped_lines();
        }
    }

    /// Tells the host now, whether there is room or not.
    pub(super) fn tell_dropped_lines(&mut self) {
        if self.dropped_lines > 0 {
            let line =
                format!("{} log lines were dropped: the host did not read fast enough.", self.dropped_lines);
            self.dropped_lines = 0;
            let line = LogLine { stream: "agent".into(), line: line.into_bytes() };
            self.say(guest_message::Message::Log(line));
        }
    }
}

/// Once a line was dropped, all are until the host has been told: it sees one gap, not a line here and there.
fn push_log(outbox: &mut Outbox, dropped: &mut u64, stream: &str, line: &[u8]) {
    if *dropped > 0 || !outbox.has_room_for_logs() {
        *dropped = dropped.saturating_add(1);
        return;
    }
    let line = LogLine { stream: stream.into(), line: line.to_vec() };
    let _ = outbox.push(&GuestMessage { message: Some(guest_message::Message::Log(line)) });
}
