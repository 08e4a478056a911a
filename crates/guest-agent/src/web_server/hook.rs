//! The lifecycle hooks of AWS Lambda MicroVMs.

/// One of the hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Whether a snapshot may be taken now.
    Ready,
    /// Told after the first resume.
    Run,
    /// Told after each other resume.
    Resume,
    /// Told before a snapshot or a pause of what was resumed before.
    Suspend,
}

impl Hook {
    /// The last part of its path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Run => "run",
            Self::Resume => "resume",
            Self::Suspend => "suspend",
        }
    }
}
