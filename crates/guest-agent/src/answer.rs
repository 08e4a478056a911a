//! An answer on its way to the host, as fast as that takes it.

use std::collections::VecDeque;

use firn_protocol::INITIAL_CREDIT_BYTES;
use firn_protocol::v2::runtime_report::Message as Report;
use firn_protocol::v2::{Header, InvokeEnd, PayloadChunk, ResponseHead};

/// Longest piece in bytes.
const MAX_CHUNK_BYTES: usize = 64 * 1024;

/// What of an answer has not been sent.
pub struct Answer {
    head: Option<ResponseHead>,
    id: u32,
    credit: usize,
    waiting: Vec<u8>,
    sent: usize,
    end: Option<InvokeEnd>,
}

impl Answer {
    /// One that is there as a whole.
    pub fn whole(id: u32, status: u32, headers: Vec<Header>, payload: Vec<u8>, end: InvokeEnd) -> Self {
        let head = ResponseHead { id, status, headers, ..ResponseHead::default() };
        Self { waiting: payload, end: Some(InvokeEnd { id, ..end }), ..Self::begin(head) }
    }

    /// One that is written piece by piece.
    pub fn stream(id: u32, status: u32, headers: Vec<Header>) -> Self {
        Self::begin(ResponseHead { id, status, headers, streams: true, ..ResponseHead::default() })
    }

    fn begin(head: ResponseHead) -> Self {
        let (id, head) = (head.id, Some(head));
        Self { head, id, credit: INITIAL_CREDIT_BYTES, waiting: Vec::new(), sent: 0, end: None }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Nothing more follows.
    pub fn end(&mut self, end: InvokeEnd) {
        self.end.get_or_insert(InvokeEnd { id: self.id, ..end });
    }

    pub fn grant(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Whether something waits for the host.
    pub fn is_held_up(&self) -> bool {
        self.sent < self.waiting.len()
    }

    /// Sends what may be sent. `true` once that was all.
    pub fn advance(&mut self, reports: &mut VecDeque<Report>) -> bool {
        if let Some(head) = self.head.take() {
            let payload = self.next_piece(INITIAL_CREDIT_BYTES);
            reports.push_back(Report::ResponseHead(ResponseHead { payload, ..head }));
        }
        while self.is_held_up() && self.credit > 0 {
            let data = self.next_piece(MAX_CHUNK_BYTES);
            reports.push_back(Report::PayloadChunk(PayloadChunk { id: self.id, data, last: false }));
        }
        if self.is_held_up() {
            return false;
        }
        self.waiting = Vec::new();
        self.sent = 0;
        self.end.take().is_some_and(|end| {
            reports.push_back(Report::InvokeEnd(end));
            true
        })
    }

    fn next_piece(&mut self, limit: usize) -> Vec<u8> {
        let rest = self.waiting.get(self.sent..).unwrap_or_default();
        let piece = rest.get(..rest.len().min(self.credit).min(limit)).unwrap_or_default().to_vec();
        self.sent = self.sent.saturating_add(piece.len());
        self.credit = self.credit.saturating_sub(piece.len());
        piece
    }
}

/// The header of an answer that is JSON.
pub fn json_headers() -> Vec<Header> {
    vec![Header { name: "content-type".into(), value: "application/json".into() }]
}

/// An error as the payload of an answer, in the form of AWS Lambda.
pub fn error_json(error_type: &str, message: &str) -> Vec<u8> {
    serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string().into_bytes()
}
