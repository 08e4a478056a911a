//! How HTTP requests reach functions that know only events, and how what they return becomes a response: payload format 2.0 of AWS
//! Lambda's function URLs. The runtime for Node.js does the same for its handlers.

mod event;
mod result;

pub use event::{day_of, event_of};
pub use result::{UrlAnswer, answer_of, answer_of_prelude};
