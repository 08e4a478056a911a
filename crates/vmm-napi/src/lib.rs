//! The Node.js binding of `firn-vmm`: one [`VmmProcess`] a microVM.
//!
//! | module | what |
//! |---|---|
//! | [`vmm_process`] | the class that JavaScript sees; hands everything to a supervisor |
//! | [`supervisor`] | the one thread of a microVM: spawns its process, sends, receives, reaps |
//! | [`inbox`] | what the JavaScript thread tells the supervisor |
//! | [`packet`] | from options to a request with open descriptors |
//! | [`pending`] | requests that wait for their response |
//! | [`spawn`] | starting the process |
//! | [`jail`] | the user id and the cgroup that a process is given |
//! | [`agent_stream`] | the socket pair of the agent stream |
//! | [`lent`] | descriptors on their way to an owner in JavaScript |
//! | [`link`] | what a network card is plugged into |
//! | [`files`] | opening what the VMM reads and creating what it writes |
//! | [`stderr_tail`] | the last words of a process |
//! | [`ending`] | why a process ended |
//! | [`options`], [`device_options`], [`reply`], [`event`], [`failure`] | values that cross into and out of JavaScript |
//!
//! Nothing here opens /dev/kvm, and guest memory never enters this process. Nothing blocks the JavaScript thread.

pub mod agent_stream;
pub mod device_options;
pub mod ending;
pub mod event;
pub mod failure;
pub mod files;
pub mod inbox;
pub mod jail;
pub mod lent;
pub mod link;
pub mod options;
pub mod packet;
pub mod pending;
pub mod reply;
pub mod spawn;
pub mod stderr_tail;
pub mod supervisor;
pub mod vmm_process;
