//! Memory layers: what a microVM's memory holds that its parent's does not.
//!
//! | module | what |
//! |---|---|
//! | [`format`] | the layer file, byte by byte |
//! | [`file`] | an open layer file, validated |
//! | [`view`] | what a stack of layers holds, without mapping it |
//! | [`range_set`] | sets of ranges |

pub mod file;
pub mod format;
pub mod range_set;
pub mod view;

pub use file::LayerFile;
pub use format::{
    Digest, Extent, ExtentSource, GRANULE, GRANULE_LENGTH, HEADER_LENGTH, LayerHeader, MAP_THRESHOLD,
    corrupt, hex,
};
pub use range_set::{Gaps, RangeSet};
pub use view::{Content, StackView};
