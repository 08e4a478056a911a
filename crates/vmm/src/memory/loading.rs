//! Memory that is being loaded while something else is done.

use super::copy::{Copying, Helper};
use super::guest::{GuestMemoryOptions, LoadOptions, MemoryStack};
use crate::error::Result;
use crate::layer::{Digest, LayerFile};

/// A stack of layers whose mappings are complete, and of which the rest is copied later, or by another thread. What it holds can be had
/// when that is finished, and not before.
#[derive(Debug)]
pub struct Loading {
    memory: MemoryStack,
    copying: Option<Copying>,
}

impl Loading {
    /// Begins with memory as the layers describe it, each with its digest, as [`MemoryStack::from_layers`].
    ///
    /// # Errors
    /// As [`MemoryStack::from_layers`]; what fails to be copied is an error of [`Self::finish`].
    pub fn new(
        options: GuestMemoryOptions,
        layers: Vec<(LayerFile, Digest)>,
        how: &LoadOptions,
    ) -> Result<Self> {
        let mut memory = MemoryStack::anonymous(options)?;
        let copying = memory.map(layers, how)?;
        memory.protect_clone()?;
        Ok(Self { memory, copying: Some(copying) })
    }

    /// Lays more layers over the memory, as [`MemoryStack::push_with`], once what is there is complete.
    ///
    /// # Errors
    /// As [`MemoryStack::push_with`]; what fails to be copied is an error of [`Self::finish`].
    pub fn push(&mut self, layers: Vec<(LayerFile, Digest)>, how: &LoadOptions) -> Result<()> {
        if layers.is_empty() {
            return Ok(());
        }
        self.copying = Some(self.finish()?.map(layers, how)?);
        Ok(())
    }

    /// Has another thread begin with what is to be copied, while this one does something that maps nothing.
    pub fn share(&mut self, helper: &dyn Helper) {
        if let Some(copying) = &mut self.copying {
            copying.share(helper);
        }
    }

    /// Copies what is left to copy, and waits for what another thread has begun with.
    ///
    /// # Errors
    /// [`crate::error::ErrorCode::SnapshotCorrupt`] if a file has shrunk; [`crate::error::ErrorCode::Memory`] if a read failed or did not
    /// end. Memory is unusable.
    pub fn finish(&mut self) -> Result<&mut MemoryStack> {
        if let Some(copying) = &self.copying {
            self.memory.finish(copying)?;
            self.copying = None;
        }
        Ok(&mut self.memory)
    }

    /// The memory, as [`Self::finish`].
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn into_memory(mut self) -> Result<MemoryStack> {
        self.finish()?;
        Ok(self.memory)
    }

    /// As [`MemoryStack::host_address`].
    pub fn host_address(&self) -> *mut u8 {
        self.memory.host_address()
    }

    /// As [`MemoryStack::size`].
    pub fn size(&self) -> u64 {
        self.memory.size()
    }
}

/// Memory that is complete.
impl From<MemoryStack> for Loading {
    fn from(memory: MemoryStack) -> Self {
        Self { memory, copying: None }
    }
}
