//! What a server is asked and told beside its requests: the lifecycle hooks of AWS Lambda MicroVMs, if it has them.

use std::time::Instant;

use firn_protocol::v2::runtime_report::Message as Report;
use firn_protocol::v2::{FunctionReady, RuntimeResumed};

use super::exchange::{Exchange, Purpose};
use super::hook::Hook;
use super::{BUSY_PAUSE, RETRY_PAUSE, Stage, WebServer};

/// Where the hooks are.
const PREFIX: &str = "/aws/lambda-microvms/runtime/v1";

/// Of what a failing hook says, so many bytes are passed on.
const MAX_SHOWN_BYTES: usize = 1024;

impl WebServer {
    /// Sends a hook.
    pub(super) fn call(&mut self, hook: Hook) {
        let token = self.new_token();
        let head = format!(
            "POST {PREFIX}/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n{{}}",
            hook.name(),
            self.port
        );
        match Exchange::open(token, self.port, Purpose::Hook(hook)) {
            Ok(mut exchange) => {
                exchange.connection.send(head.as_bytes());
                self.exchanges.push(exchange);
                self.advance(token);
            }
            Err(_) => self.finish_hook(hook, None),
        }
    }

    /// Goes on after a hook, which was answered by status and text, or not at all.
    pub(super) fn finish_hook(&mut self, hook: Hook, answer: Option<(u32, Vec<u8>)>) {
        let status = answer.as_ref().map(|(status, _)| *status);
        if hook == Hook::Ready {
            return self.finish_ready(status);
        }
        let failed = !matches!(status, Some(200..=299 | 404 | 405 | 501));
        if failed {
            let said = answer.map(|(_, text)| text).unwrap_or_default();
            let said =
                String::from_utf8_lossy(said.get(..said.len().min(MAX_SHOWN_BYTES)).unwrap_or_default())
                    .into_owned();
            let status = status.map_or_else(|| "nothing".to_owned(), |status| status.to_string());
            let message = format!("The hook POST {PREFIX}/{} answered {status}: {said}", hook.name());
            self.fail_function("FIRN_FUNCTION_HOOK", message.clone());
            if hook != Hook::Suspend {
                self.broken = Some(message);
            }
        }
        match hook {
            Hook::Suspend if failed => self.is_quiescing = false,
            Hook::Suspend => self.quiesce(),
            _ => self.reports.push_back(Report::Resumed(RuntimeResumed {})),
        }
    }

    fn finish_ready(&mut self, status: Option<u32>) {
        let pause = match status {
            // It does not listen yet.
            None => RETRY_PAUSE,
            Some(503) => BUSY_PAUSE,
            Some(status) => {
                self.has_hooks = (200..=299).contains(&status);
                self.stage = Stage::Serving;
                self.reports.push_back(Report::FunctionReady(FunctionReady::default()));
                return;
            }
        };
        self.retry_at = Instant::now().checked_add(pause);
    }
}
