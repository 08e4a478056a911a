//! Opening what the VMM reads and creating what it writes; it gets descriptors only, never paths.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Opens a regular file or block device read-only and close-on-exec.
///
/// # Errors
/// FIRN_IO, naming what the file is for.
pub fn open_input(role: &str, path: &str) -> Result<OwnedFd, Failure> {
    File::open(path).map(OwnedFd::from).map_err(Failure::io(format_args!("open the {role} {path}")))
}

/// Opens a file that a microVM writes to, close-on-exec.
///
/// # Errors
/// FIRN_IO, naming what the file is for.
pub fn open_writable(role: &str, path: &str) -> Result<OwnedFd, Failure> {
    File::options()
        .read(true)
        .write(true)
        .open(path)
        .map(OwnedFd::from)
        .map_err(Failure::io(format_args!("open the {role} {path} for writing")))
}

/// Files that were created for a snapshot, removed again unless they are kept.
#[derive(Debug, Default)]
pub struct Outputs {
    paths: Vec<PathBuf>,
}

impl Outputs {
    /// Creates a file that must not exist, mode 0600.
    ///
    /// # Errors
    /// FIRN_IO, naming what the file is for.
    pub fn create(&mut self, role: &str, path: &str) -> Result<OwnedFd, Failure> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(Failure::io(format_args!("create the {role} {path}")))?;
        self.paths.push(Path::new(path).to_path_buf());
        Ok(file.into())
    }

    /// The files are complete: leave them.
    pub fn keep(mut self) {
        self.paths.clear();
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        for path in &self.paths {
            // A file that someone else has removed meanwhile needs no removal.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_vanish_unless_kept_and_never_overwrite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer");
        let name = path.to_str().unwrap();

        let mut failed = Outputs::default();
        failed.create("memory layer", name).unwrap();
        assert!(path.exists());
        drop(failed);
        assert!(!path.exists());

        let mut complete = Outputs::default();
        complete.create("memory layer", name).unwrap();
        complete.keep();
        assert!(path.exists());

        let mut second = Outputs::default();
        let error = second.create("memory layer", name).unwrap_err().to_string();
        assert!(error.starts_with("FIRN_IO: create the memory layer "), "{error}");
        drop(second);
        assert!(path.exists(), "a file that was there before is not removed");
    }

    #[test]
    fn a_missing_input_is_named() {
        let error = open_input("kernel", "/no/such/Image").unwrap_err().to_string();
        let writable = open_writable("scratch disk", "/no/such/image").unwrap_err().to_string();
        assert!(
            writable.starts_with("FIRN_IO: open the scratch disk /no/such/image for writing: "),
            "{writable}"
        );
        assert!(error.starts_with("FIRN_IO: open the kernel /no/such/Image: No such file"), "{error}");
    }
}
