//! What the runtime prints, as lines for the host. Never in the way of anything else: lines that find no room are counted, not kept.

use std::os::fd::AsFd;

use firn_protocol::decode;
use firn_protocol::v2::{GuestMessage, LogLine, RuntimeLog, guest_message};

use super::Session;
use crate::log_lines::Source;
use crate::machine::Machine;
use crate::outbox::Outbox;
use crate::runtime_process::read_some;

/// Reads of one output before everything else gets its turn: together more than a pipe holds.
const READS_AT_ONCE: usize = 4;

/// Longest message on the log pipe in bytes. A runtime cuts longer output.
const MAX_LOG_BYTES: usize = 1024 * 1024;

impl<M: Machine> Session<M> {
    /// Takes what was printed so far.
    pub(super) fn read_output(&mut self) {
        self.read_log();
        // Whoever prints past the runtime says nothing of the invocation that it does this for.
        let invocation = self.invocations.only().unwrap_or(0);
        let Some(runtime) = &mut self.runtime else { return };
        for (stream, output) in [("stdout", &mut runtime.stdout), ("stderr", &mut runtime.stderr)] {
            let source = Source::new(stream, "", invocation);
            for _ in 0..READS_AT_ONCE {
                let Some(output_now) = output.as_ref() else { break };
                let Some(bytes) = read_some(output_now.as_fd(), &mut self.buffer) else { break };
                if bytes.is_empty() {
                    *output = None;
                }
                let emit = |source: &Source, line: &[u8]| {
                    push_line(&mut self.outbox, &mut self.dropped_lines, source, line);
                };
                self.lines.push(source, bytes, emit);
            }
        }
    }

    /// Takes what was printed with the invocation that printed it.
    fn read_log(&mut self) {
        let Some(runtime) = &mut self.runtime else { return };
        for _ in 0..READS_AT_ONCE {
            let Some(log) = runtime.log.as_ref() else { return };
            let Some(bytes) = read_some(log.as_fd(), &mut self.buffer) else { return };
            if bytes.is_empty() {
                runtime.log = None;
                return;
            }
            runtime.logged.push(bytes);
            loop {
                let printed = match runtime.logged.next_message() {
                    Ok(Some(message)) => decode::<RuntimeLog>(message).ok(),
                    Ok(None) => break,
                    Err(_) => None,
                };
                let Some(printed) = printed else { return self.close_log() };
                let source = Source::new(&printed.stream, &printed.level, printed.invocation);
                let emit = |source: &Source, line: &[u8]| {
                    push_line(&mut self.outbox, &mut self.dropped_lines, source, line);
                };
                self.lines.push(source, &printed.text, emit);
            }
            if runtime.logged.pending_bytes() > MAX_LOG_BYTES {
                return self.close_log();
            }
        }
    }

    /// What comes after something that is no message cannot be told apart. Standard output and error are still there.
    fn close_log(&mut self) {
        if let Some(runtime) = &mut self.runtime {
            runtime.log = None;
            self.note("The log pipe is closed: the process wrote to it what is no message.");
        }
    }

    /// Sends the unfinished lines of an invocation that has ended.
    pub(super) fn finish_lines_of(&mut self, invocation: u32) {
        self.lines.finish_invocation(invocation, |source, line| {
            push_line(&mut self.outbox, &mut self.dropped_lines, source, line);
        });
    }

    /// Sends unfinished lines: whoever would finish them is frozen or gone.
    pub(super) fn finish_lines(&mut self) {
        self.lines.finish(|source, line| {
            push_line(&mut self.outbox, &mut self.dropped_lines, source, line);
        });
    }

    /// Queues a line of the agent's own log.
    pub(super) fn say_log(&mut self, level: &'static str, line: &str) {
        push_log(&mut self.outbox, &mut self.dropped_lines, agent_line(level, line));
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
            self.say(guest_message::Message::Log(agent_line("warn", &line)));
        }
    }
}

fn agent_line(level: &'static str, line: &str) -> LogLine {
    LogLine { stream: "agent".into(), line: line.into(), level: level.into(), invocation: 0 }
}

fn push_line(outbox: &mut Outbox, dropped: &mut u64, source: &Source, line: &[u8]) {
    let Source { stream, level, invocation } = *source;
    push_log(
        outbox,
        dropped,
        LogLine { stream: stream.into(), line: line.into(), level: level.into(), invocation },
    );
}

/// Once a line was dropped, all are until the host has been told: it sees one gap, not a line here and there.
fn push_log(outbox: &mut Outbox, dropped: &mut u64, line: LogLine) {
    if *dropped > 0 || !outbox.has_room_for_logs() {
        *dropped = dropped.saturating_add(1);
        return;
    }
    let _ = outbox.push(&GuestMessage { message: Some(guest_message::Message::Log(line)) });
}
