//! What the function's process sends: answers and errors.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use firn_protocol::v2::runtime_report::Message as Report;
use firn_protocol::v2::{Header, InvokeEnd};
use serde::Deserialize;

use super::client::Client;
use super::exchange::{Exchange, MAX_ERROR_BYTES, MAX_RESPONSE_BYTES, Poll, Purpose, Refusal, Upload};
use super::routes::Route;
use super::work::Work;
use super::{RuntimeApi, Stage};
use crate::answer::{Answer, error_json, json_headers};
use crate::function_url::{UrlAnswer, answer_of, answer_of_prelude};
use crate::http::{BadMessage, BodyDecoder, Fields, RequestHead};

/// Longest JSON before a streamed body in bytes.
const MAX_PRELUDE_BYTES: usize = 256 * 1024;

/// How much of a body is taken at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What is between that JSON and the body.
const PRELUDE_END: [u8; 8] = [0; 8];

/// The media type of an answer that begins with a JSON of status and headers.
const INTEGRATION_TYPE: &str = "application/vnd.awslambda.http-integration-response";

/// What a function says of an error.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ErrorText {
    error_message: String,
    error_type: String,
    stack_trace: Vec<String>,
}

impl RuntimeApi {
    /// Goes on with a connection, as far as what has arrived allows.
    pub(super) fn advance(&mut self, token: u64) {
        loop {
            let Some(index) = self.clients.iter().position(|client| client.token == token) else { return };
            let mut client = self.clients.swap_remove(index);
            let goes_on = match std::mem::replace(&mut client.exchange, Exchange::Head) {
                Exchange::Head => self.take_head(&mut client),
                Exchange::Upload(upload) => self.take_body(&mut client, upload),
                poll @ Exchange::Poll(_) => {
                    client.exchange = poll;
                    false
                }
            };
            let is_over = client.connection.has_ended && !goes_on
                || client.connection.closes && matches!(client.exchange, Exchange::Head);
            if is_over && !client.connection.has_output() {
                if let Exchange::Upload(Upload { purpose: Purpose::Stream { id, .. }, .. }) = client.exchange
                {
                    self.break_off(id);
                }
                return;
            }
            let poll = match (&client.exchange, goes_on) {
                (Exchange::Poll(poll), true) => Some(*poll),
                _ => None,
            };
            self.clients.push(client);
            if let Some(poll) = poll {
                self.begin_poll(poll);
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Takes the head of a request, if it is there. `true` if something has changed.
    fn take_head(&mut self, client: &mut Client) -> bool {
        if client.connection.closes {
            return false;
        }
        let (length, head) = match RequestHead::parse(&client.connection.input) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return false,
            Err(error) => {
                refuse_message(client, error);
                return false;
            }
        };
        client.connection.input.drain(..length);
        client.connection.closes = !head.keeps_alive;
        let decoder = match BodyDecoder::for_fields(&head.fields) {
            Ok(decoder) => decoder,
            Err(error) => {
                refuse_message(client, error);
                return false;
            }
        };
        if head.fields.lists("expect", "100-continue") && !decoder.is_done() {
            client.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let purpose = match self.purpose_of(&head, &decoder) {
            Ok(purpose) => purpose,
            Err(refusal) => Purpose::Refused(refusal),
        };
        let error_type =
            head.fields.text("lambda-runtime-function-error-type").unwrap_or_default().to_owned();
        client.exchange = Exchange::Upload(Upload { decoder, purpose, collected: Vec::new(), error_type });
        true
    }

    fn purpose_of(&mut self, head: &RequestHead, decoder: &BodyDecoder) -> Result<Purpose, Refusal> {
        Ok(match Route::of(&head.method, &head.target)? {
            Route::InvocationNext | Route::InvocationOrSnapshotNext if self.stage == Stage::Empty => {
                return Err(Refusal::invalid_state("No function is loaded."));
            }
            Route::InvocationOrSnapshotNext => Purpose::Poll(Poll::NextOrSnapshot),
            Route::InvocationNext => Purpose::Poll(Poll::Next),
            Route::RestoreNext if self.stage == Stage::Loading || self.is_quiescing => {
                Purpose::Poll(Poll::Restore)
            }
            Route::RestoreNext => {
                return Err(Refusal::invalid_state("restore/next comes before the first invocation/next."));
            }
            Route::LoadNext => Purpose::Poll(Poll::Load),
            Route::InvocationResponse(request_id) => {
                let id = self.running(&request_id)?;
                let mode = head.fields.text("lambda-runtime-function-response-mode").unwrap_or_default();
                if mode.eq_ignore_ascii_case("streaming") {
                    return Ok(self.begin_stream(id, &head.fields));
                }
                let announced = usize::try_from(decoder.announced_bytes()).unwrap_or(usize::MAX);
                if announced > MAX_RESPONSE_BYTES {
                    return Err(self.refuse_response(id));
                }
                Purpose::Response(id)
            }
            Route::InvocationError(request_id) => Purpose::InvocationError(self.running(&request_id)?),
            Route::InitError if self.stage == Stage::Loading || self.is_quiescing => Purpose::InitError,
            Route::InitError => return Err(Refusal::invalid_state("The function is initialized.")),
            Route::RestoreError if self.stage == Stage::Restoring => Purpose::RestoreError,
            Route::RestoreError => return Err(Refusal::invalid_state("There is no restore under way.")),
        })
    }

    /// Takes what is there of a body. `true` if that was its end.
    fn take_body(&mut self, client: &mut Client, mut upload: Upload) -> bool {
        let limit = if self.is_held_up(&upload) { 0 } else { PIECE_BYTES };
        let before = upload.collected.len();
        let result = upload.decoder.take(&mut client.connection.input, &mut upload.collected, limit);
        let taken = upload.collected.len().saturating_sub(before);
        if let Err(error) = result {
            if let Purpose::Stream { id, .. } = upload.purpose {
                self.break_off(id);
            }
            refuse_message(client, error);
            return false;
        }
        match &mut upload.purpose {
            Purpose::Stream { id, has_begun } => {
                let bytes = std::mem::take(&mut upload.collected);
                upload.collected = self.pass_on(*id, has_begun, bytes);
            }
            Purpose::Poll(_) | Purpose::Refused(_) => upload.collected.clear(),
            purpose if upload.collected.len() > purpose.limit() => {
                let refusal = match *purpose {
                    Purpose::Response(id) => self.refuse_response(id),
                    _ => too_large(MAX_ERROR_BYTES),
                };
                upload.purpose = Purpose::Refused(refusal);
                upload.collected = Vec::new();
            }
            _ => {}
        }
        if upload.decoder.is_done() {
            self.finish(client, upload);
            return true;
        }
        client.exchange = Exchange::Upload(upload);
        // There may be more, for which there was no room at once.
        taken > 0 && taken >= limit
    }

    /// Does what a request wants, now that it is complete.
    fn finish(&mut self, client: &mut Client, upload: Upload) {
        let Upload { decoder, purpose, collected, error_type } = upload;
        match purpose {
            Purpose::Poll(poll) => client.exchange = Exchange::Poll(poll),
            Purpose::Refused(refusal) => client.refuse(&refusal),
            Purpose::Response(id) => match self.index_of_running(id) {
                Some(index) => {
                    self.respond(index, collected);
                    client.accept();
                }
                None => client.refuse(&Refusal::invalid_id()),
            },
            Purpose::Stream { id, has_begun } => {
                if has_begun {
                    self.end_answer(id, stream_end(decoder.trailer()));
                } else {
                    self.break_off(id);
                }
                client.accept();
            }
            Purpose::InvocationError(id) => match self.index_of_running(id) {
                Some(index) => {
                    self.fail_with(index, error_payload(&collected, &error_type));
                    client.accept();
                }
                None => client.refuse(&Refusal::invalid_id()),
            },
            Purpose::InitError => {
                let (message, stack) = describe(&collected, &error_type);
                let code = if self.is_quiescing { "FIRN_FUNCTION_HOOK" } else { "FIRN_FUNCTION_IMPORT" };
                self.fail_function(code, message, stack);
                self.stage = Stage::Ready;
                client.accept();
            }
            Purpose::RestoreError => {
                let (message, stack) = describe(&collected, &error_type);
                self.broken = Some(message.clone());
                self.fail_function("FIRN_FUNCTION_HOOK", message, stack);
                self.stage = Stage::Ready;
                self.reports.push_back(Report::Resumed(Default::default()));
                client.accept();
            }
        }
    }

    /// Whether what has arrived must wait for the host.
    pub(super) fn is_held_up(&self, upload: &Upload) -> bool {
        let Purpose::Stream { id, .. } = upload.purpose else { return false };
        let work = self.works.iter().find(|work| work.id() == id);
        work.and_then(|work| work.answer.as_ref()).is_some_and(Answer::is_held_up)
    }

    /// The host takes more of an answer.
    pub(super) fn grant(&mut self, id: u32, bytes: u32) {
        if let Some(answer) =
            self.works.iter_mut().find(|work| work.id() == id).and_then(|work| work.answer.as_mut())
        {
            answer.grant(bytes);
        }
        self.advance_answer(id);
        let streams = |client: &&Client| match &client.exchange {
            Exchange::Upload(Upload { purpose: Purpose::Stream { id: streamed, .. }, .. }) => *streamed == id,
            _ => false,
        };
        if let Some(token) = self.clients.iter().find(streams).map(|client| client.token) {
            self.advance(token);
        }
    }

    /// The host gives an invocation up. One that a process has goes on, as on AWS: there is no way to tell it.
    pub(super) fn cancel(&mut self, id: u32) {
        if let Some(index) = self.works.iter().position(|work| work.id() == id) {
            let work = self.works.get(index);
            if work.is_some_and(Work::is_untouched) {
                self.fail(index, "AbortError", "The invocation was cancelled.");
            } else if work.is_some_and(|work| !work.is_running()) {
                let end = InvokeEnd {
                    function_error: "Unhandled".into(),
                    error_type: "AbortError".into(),
                    error_message: "The invocation was cancelled.".into(),
                    ..InvokeEnd::default()
                };
                self.works.remove(index);
                self.reports.push_back(Report::InvokeEnd(InvokeEnd { id, ..end }));
            }
        }
    }

    fn running(&self, request_id: &str) -> Result<u32, Refusal> {
        let found = self.works.iter().find(|work| work.is_running() && work.request_id() == request_id);
        found.map(Work::id).ok_or_else(Refusal::invalid_id)
    }

    fn index_of_running(&self, id: u32) -> Option<usize> {
        self.works.iter().position(|work| work.id() == id && work.is_running())
    }

    fn respond(&mut self, index: usize, body: Vec<u8>) {
        let Some(work) = self.works.get_mut(index) else { return };
        let made = if work.is_http() { answer_of(&body) } else { Ok(json(200, body)) };
        match made {
            Ok(UrlAnswer { status, headers, payload }) => {
                let id = work.id();
                work.begin_answer(Answer::whole(id, status, headers, payload, InvokeEnd::default()));
                self.advance_answer(id);
            }
            Err(message) => self.fail(index, "Runtime.InvalidResponse", &message),
        }
    }

    /// Ends an invocation with an error.
    pub(super) fn fail(&mut self, index: usize, error_type: &str, message: &str) {
        self.fail_with(index, error_json(error_type, message));
    }

    fn fail_with(&mut self, index: usize, payload: Vec<u8>) {
        let Some(work) = self.works.get_mut(index) else { return };
        let id = work.id();
        let UrlAnswer { status, headers, payload } = json(500, payload);
        let end = InvokeEnd { function_error: "Unhandled".into(), ..InvokeEnd::default() };
        work.begin_answer(Answer::whole(id, status, headers, payload, end));
        self.advance_answer(id);
    }

    fn refuse_response(&mut self, id: u32) -> Refusal {
        if let Some(index) = self.index_of_running(id) {
            let message = format!(
                "Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
            );
            self.fail(index, "Function.ResponseSizeTooLarge", &message);
        }
        too_large(MAX_RESPONSE_BYTES)
    }

    fn begin_stream(&mut self, id: u32, fields: &Fields) -> Purpose {
        let kind = fields.text("content-type").unwrap_or("application/octet-stream");
        let Some(work) = self.works.iter_mut().find(|work| work.id() == id) else {
            return Purpose::Refused(Refusal::invalid_id());
        };
        let has_prelude = work.is_http() && kind.eq_ignore_ascii_case(INTEGRATION_TYPE);
        if !has_prelude {
            let header = Header { name: "content-type".into(), value: kind.to_owned() };
            work.begin_answer(Answer::stream(id, 200, vec![header]));
            self.advance_answer(id);
        }
        Purpose::Stream { id, has_begun: !has_prelude }
    }

    /// Passes on what has arrived of a stream; returns what is kept until its beginning is complete.
    fn pass_on(&mut self, id: u32, has_begun: &mut bool, mut bytes: Vec<u8>) -> Vec<u8> {
        let Some(index) = self.works.iter().position(|work| work.id() == id) else { return Vec::new() };
        let Some(work) = self.works.get_mut(index) else { return Vec::new() };
        if !*has_begun {
            let end = bytes.windows(PRELUDE_END.len()).position(|window| window == PRELUDE_END);
            let Some(end) = end else {
                if bytes.len() <= MAX_PRELUDE_BYTES {
                    return bytes;
                }
                self.fail(index, "Runtime.InvalidResponse", "What precedes the streamed body has no end.");
                return Vec::new();
            };
            match answer_of_prelude(bytes.get(..end).unwrap_or_default()) {
                Ok(UrlAnswer { status, headers, .. }) => {
                    work.begin_answer(Answer::stream(id, status, headers))
                }
                Err(message) => {
                    self.fail(index, "Runtime.InvalidResponse", &message);
                    return Vec::new();
                }
            }
            *has_begun = true;
            bytes.drain(..end.saturating_add(PRELUDE_END.len()));
        }
        if let Some(answer) = &mut work.answer {
            answer.push(&bytes);
        }
        self.advance_answer(id);
        Vec::new()
    }

    /// A stream is over before its end.
    fn break_off(&mut self, id: u32) {
        let (error_type, message) =
            ("Runtime.TruncatedResponse", "The function broke off its response before its end.");
        match self.index_of_running(id) {
            Some(index) => self.fail(index, error_type, message),
            None => self.end_answer(
                id,
                InvokeEnd {
                    function_error: "Unhandled".into(),
                    error_type: error_type.into(),
                    error_message: message.into(),
                    ..InvokeEnd::default()
                },
            ),
        }
    }

    fn end_answer(&mut self, id: u32, end: InvokeEnd) {
        let work = self.works.iter_mut().find(|work| work.id() == id);
        if let Some(answer) = work.and_then(|work| work.answer.as_mut()) {
            answer.end(end);
        }
        self.advance_answer(id);
    }

    fn advance_answer(&mut self, id: u32) {
        let Some(index) = self.works.iter().position(|work| work.id() == id) else { return };
        let answer = self.works.get_mut(index).and_then(|work| work.answer.as_mut());
        if answer.is_some_and(|answer| answer.advance(&mut self.reports)) {
            self.works.remove(index);
            self.quiesce();
        }
    }
}

/// Answers a message that cannot be understood, and whatever may follow it.
fn refuse_message(client: &mut Client, error: BadMessage) {
    client.connection.closes = true;
    client.connection.input = Vec::new();
    client.refuse(&Refusal::new(error.status, "BadRequest", error.reason));
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("Exceeded maximum allowed payload size ({limit} bytes).");
    Refusal::new(413, "RequestEntityTooLarge", message)
}

fn json(status: u32, payload: Vec<u8>) -> UrlAnswer {
    UrlAnswer { status, headers: json_headers(), payload }
}

/// What a function says of its error, as it is if it is an object of JSON.
fn error_payload(body: &[u8], error_type: &str) -> Vec<u8> {
    let is_object = body.trim_ascii_start().starts_with(b"{");
    if is_object && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        return body.to_vec();
    }
    let error_type = if error_type.is_empty() { "Runtime.Unknown" } else { error_type };
    error_json(error_type, &String::from_utf8_lossy(body))
}

/// Message and stack of an error.
fn describe(body: &[u8], error_type: &str) -> (String, String) {
    let error: ErrorText = serde_json::from_slice(body).unwrap_or_else(|_| ErrorText {
        error_message: String::from_utf8_lossy(body).into_owned(),
        ..ErrorText::default()
    });
    let kind = if error.error_type.is_empty() { error_type } else { &error.error_type };
    let message = match (kind, error.error_message.as_str()) {
        ("", "") => "The function failed, and did not say why.".to_owned(),
        ("", message) => message.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    };
    (message, error.stack_trace.join("\n"))
}

/// The end of a stream: its trailer says whether it failed.
fn stream_end(trailer: &Fields) -> InvokeEnd {
    let Some(error_type) = trailer.text("lambda-runtime-function-error-type") else {
        return InvokeEnd::default();
    };
    let body = trailer.text("lambda-runtime-function-error-body").unwrap_or_default();
    let body = BASE64_STANDARD.decode(body).unwrap_or_else(|_| body.as_bytes().to_vec());
    let error: ErrorText = serde_json::from_slice(&body).unwrap_or_default();
    let message = if error.error_message.is_empty() {
        "The function failed while it sent its response.".to_owned()
    } else {
        error.error_message
    };
    InvokeEnd {
        function_error: "Unhandled".into(),
        error_type: if error_type.is_empty() { "Runtime.Unknown".into() } else { error_type.to_owned() },
        error_message: message,
        ..InvokeEnd::default()
    }
}
