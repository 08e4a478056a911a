//! What memory holds that its layers do not: finding it, and writing it down as a layer.
//!
//! | module | what |
//! |---|---|
//! | [`changed`] | where memory may differ from its layers, and what of them was read |
//! | [`compare`] | where it does differ |
//! | [`placement`] | where in the file each extent's data goes |
//! | [`writer`] | writing a layer file |

pub mod changed;
pub mod compare;
pub mod placement;
pub mod writer;

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
mod layer_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use changed::{changed_ranges, read_ranges};
pub use writer::{WriteOptions, WriteReport, write_layer};
