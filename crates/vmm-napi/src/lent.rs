//! Descriptors on their way to an owner in JavaScript.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use napi::Result;
use napi::bindgen_prelude::{Function, Unknown};
use rustix::fs::fstat;

use crate::failure::Failure;

/// What JavaScript makes of a descriptor's number: an object that closes it.
pub type Adopt<'env> = Function<'env, i32, Unknown<'env>>;

/// Descriptors whose numbers JavaScript got and of which it is not known whether they have an owner there: a thread can be ended
/// between any two instructions. Dropped with the object that lent them, which at the end of a thread is after Node.js has closed all that
/// the thread owned (`Environment::RunCleanup` closes handles before it finalizes native objects).
#[derive(Debug, Default)]
pub struct LentDescriptors(RefCell<Vec<Lent>>);

impl LentDescriptors {
    /// Has `adopt` make an object of a descriptor.
    ///
    /// # Errors
    /// What `adopt` throws, also when its thread ends; FIRN_IO if the descriptor is none.
    pub fn hand_over<'env>(&self, descriptor: OwnedFd, adopt: &Adopt<'env>) -> Result<Unknown<'env>> {
        let lent = Lent::new(descriptor)?;
        let adopted = adopt.call(lent.number);
        match &adopted {
            Ok(_) => std::mem::forget(lent),
            Err(_) => self.0.borrow_mut().push(lent),
        }
        adopted
    }
}

#[derive(Debug)]
struct Lent {
    number: RawFd,
    file: (u64, u64),
}

impl Lent {
    fn new(descriptor: OwnedFd) -> std::result::Result<Self, Failure> {
        let file = identity(&descriptor).map_err(Failure::io("look at a descriptor"))?;
        Ok(Self { number: descriptor.into_raw_fd(), file })
    }
}

impl Drop for Lent {
    /// Closes the descriptor, unless an owner has.
    fn drop(&mut self) {
        // SAFETY: the number is only asked what it means; if it means nothing, that is an error.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.number) };
        if identity(descriptor).is_ok_and(|file| file == self.file) {
            // SAFETY: it still means what was lent, which never had another number, so nothing else owns it.
            drop(unsafe { OwnedFd::from_raw_fd(self.number) });
        }
    }
}

/// Device and number: of sockets and pipes too they tell one from another.
fn identity(descriptor: impl AsFd) -> rustix::io::Result<(u64, u64)> {
    fstat(descriptor).map(|status| (status.st_dev, status.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(pipe: &OwnedFd) -> bool {
        rustix::io::write(pipe, b"x").is_ok()
    }

    #[test]
    fn what_was_lent_and_has_no_owner_is_closed() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let lent = Lent::new(read).unwrap();
        assert!(is_open(&write));
        drop(lent);
        assert!(!is_open(&write));
    }

    #[test]
    fn what_has_the_number_of_something_that_was_closed_is_left_open() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (other_read, other_write) = rustix::pipe::pipe().unwrap();
        let lent = Lent::new(read).unwrap();
        // SAFETY: this test is the owner that closes it, by putting another file in its place.
        let mut number = unsafe { OwnedFd::from_raw_fd(lent.number) };
        rustix::io::dup2(&other_read, &mut number).unwrap();
        drop(other_read);
        drop(lent);
        assert!(!is_open(&write));
        assert!(is_open(&other_write));
    }
}
