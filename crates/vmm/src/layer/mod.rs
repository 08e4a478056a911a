//! Memory layers: what a microVM's memory holds that its parent's does not.
//!
//! | module | what |
//! |---|---|
//! | [`format`] | the layer file, byte by byte |
//! | [`file`] | an open layer file, validated |
//! | [`view`] | what a stack of layers holds, without mapping it |
//! | [`diff`] | finding where memory may differ from its layers |
//! | [`compare`] | finding where it does |
//! | [`placement`] | where in the file each extent's data goes |
//! | [`writer`] | writing a layer file |
//! | [`range_set`] | sets of ranges |

pub mod compare;
pub mod diff;
pub mod file;
pub mod format;
pub mod placement;
pub mod range_set;
pub mod view;
pub mod writer;

#[cfg(test)]
mod chain_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use diff::{changed_ranges, read_ranges};
pub use file::LayerFile;
pub use format::{
    Digest, Extent, ExtentSource, GRANULE, GRANULE_LENGTH, LayerHeader, MAP_THRESHOLD, corrupt, hex,
};
pub use range_set::{Gaps, RangeSet};
pub use view::{Content, StackView};
pub use writer::{WriteOptions, WriteReport, write_layer};
