//! Memory layers: the file format, finding what changed, writing the difference to a parent.

pub mod diff;
pub mod format;
pub mod writer;

pub use diff::changed_ranges;
pub use format::{Digest, Extent, ExtentSource, LayerFile};
pub use writer::{WriteOptions, WriteReport, write_layer};
