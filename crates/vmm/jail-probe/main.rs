//! A program of the tests: it enters the jail as `firn-vmm` does, makes one attempt to reach something outside, and says what came of it.
//!
//! Its standard input is a control socket, on which it says `Jailed` and then, in a packet of text, the outcome. An attempt that ends the
//! process has no outcome; the test sees the signal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_possible_truncation,
    reason = "a test program: what fails, fails the test"
)]

mod attempts;

use std::ffi::OsString;
use std::os::fd::AsFd;

use firn_vmm::control::{ControlSocket, Event, Message};
use firn_vmm::jail::{self, JailOptions, seccomp};
use rustix::net::SendFlags;

fn main() {
    let (own, arguments): (Vec<OsString>, Vec<OsString>) =
        std::env::args_os().skip(1).partition(|argument| argument.to_string_lossy().starts_with("--probe-"));
    jail::close_inherited().unwrap();
    let socket = ControlSocket::from_fd(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let options = JailOptions::from_arguments(arguments).unwrap();
    let inside = match jail::enter(&options, |pid, pidfd| socket.send(&Message::Successor { pid }, &[pidfd]))
    {
        Ok(Some(inside)) => inside,
        Ok(None) => return,
        Err(error) => return socket.send(&Message::Event(Event::Failed(error)), &[]).unwrap(),
    };
    let mut attempt = None;
    let mut filter = true;
    for argument in own {
        match argument.to_str().and_then(|text| text.split_once('=')) {
            Some(("--probe-attempt", value)) => attempt = Some(value.to_owned()),
            _ => filter = false,
        }
    }
    if filter {
        seccomp::confine_main_thread().unwrap();
    }
    socket.send(&Message::Jailed(inside.report), &[]).unwrap();
    let outcome = attempts::make(&attempt.expect("--probe-attempt=NAME"), &inside.proc_files);
    rustix::net::send(socket.as_fd(), outcome.as_bytes(), SendFlags::empty()).unwrap();
}
