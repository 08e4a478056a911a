//! The generation file: it tells processes that nobody else tells that the machine was resumed, perhaps as a clone.
//!
//! A process maps its four bytes and looks at them before it draws a random number. They change at each resume, after the kernel is
//! reseeded and before any code of the function runs.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use crate::AgentError;

/// Where every process finds it.
pub const GENERATION_FILE: &str = "/run/firn/generation";

/// The file, and what it says.
pub struct Generation {
    file: File,
    number: u32,
}

impl Generation {
    /// Makes the file, which everybody may read.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn create(path: &Path) -> Result<Self, AgentError> {
        let make = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
                fs::set_permissions(folder, Permissions::from_mode(0o755))?;
            }
            fs::write(path, 0_u32.to_ne_bytes())?;
            fs::set_permissions(path, Permissions::from_mode(0o444))?;
            File::options().write(true).open(path)
        };
        let file = make().map_err(AgentError::system(format!("make {}", path.display())))?;
        Ok(Self { file, number: 0 })
    }

    /// Writes another number.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn advance(&mut self) -> Result<(), AgentError> {
        self.number = self.number.wrapping_add(1);
        self.file
            .write_all_at(&self.number.to_ne_bytes(), 0)
            .map_err(AgentError::system("write the generation file"))
    }
}

/// Whether a process has the generation file mapped, by its `maps` of proc: then it reseeds itself.
pub fn follows_generation(maps: &str) -> bool {
    maps.lines().any(|line| line.ends_with(GENERATION_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advance_changes_what_a_reader_sees_and_everybody_may_read() {
        let folder = std::env::temp_dir().join(format!("firn-generation-{}", std::process::id()));
        let path = folder.join("firn/generation");
        let mut generation = Generation::create(&path).unwrap();
        let mut seen = vec![fs::read(&path).unwrap()];
        for _ in 0..3 {
            generation.advance().unwrap();
            seen.push(fs::read(&path).unwrap());
        }
        assert!(seen.iter().all(|bytes| bytes.len() == 4));
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_who_has_the_file_mapped_follows_it() {
        let others = "aaaa0000-aaaa1000 r-xp 00000000 fe:00 12  /usr/bin/node\n";
        assert!(!follows_generation(others));
        assert!(!follows_generation("aaaa0000-aaaa1000 r--s 00000000 00:15 7  /run/firn/generation.old\n"));
        let mapped = format!("{others}ffff0000-ffff1000 r--s 00000000 00:15 7  /run/firn/generation\n");
        assert!(follows_generation(&mapped));
    }
}
