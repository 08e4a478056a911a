//! PID 1 of a Firn guest.
//!
//! | module | is |
//! |---|---|
//! | [`init`] | what the binary does: boot, connect, serve, power off |
//! | [`session`] | the agent's side of the agent stream: one loop over all descriptors |
//! | [`machine`] | what a session asks of the machine it runs on; [`guest_machine`] is the real one |
//! | `runtime_process`, `invocations`, `log_lines`, `outbox` | what a session is made of |
//! | `doorbell`, `device_tree`, `mmio` | the doorbell |
//! | `manifest`, [`runtime_setup`] | what the image says about its runtime, and how its processes are started |
//! | `runtime_api` | the Runtime API of AWS Lambda, over `http` |
//! | `web_server` | functions that are HTTP servers |
//! | `peer` | either of these, as the session sees it |
//! | `answer` | an answer on its way to the host |
//! | `function_url` | requests as events, and results as responses |
//! | `cgroup`, `entropy`, `identity`, `memory`, `mounts`, `vsock` | what the real machine is made of |
//! | `sys` | system calls that need `unsafe` |
//!
//! Everything that arrives from the runtime process is hostile: it is the function that runs there.

mod answer;
mod cgroup;
mod device_tree;
mod doorbell;
mod entropy;
mod error;
mod function_url;
mod generation;
pub mod guest_machine;
mod http;
mod identity;
pub mod init;
mod invocations;
mod log_lines;
pub mod machine;
pub mod manifest;
mod memory;
mod mmio;
mod mounts;
mod outbox;
mod peer;
mod runtime_api;
pub mod runtime_process;
pub mod runtime_setup;
pub mod session;
mod sys;
mod vsock;
mod web_server;

pub use error::AgentError;
pub use init::run_as_init;
