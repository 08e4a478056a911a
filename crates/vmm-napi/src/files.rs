//! Opening what the VMM reads and creating what it writes; it gets descriptors only, never paths.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Opens a regular file or block device read-only and close-on-exec.
///
/// # Errors
/// FIRN_IO, naming what the file is for, FIRN_VMM_OPTIONS for anything else that the path may name.
pub fn open_input(role: &str, path: &str) -> Result<OwnedFd, Failure> {
    open_existing(File::options().read(true), path, &format!("open the {role} {path}"))
}

/// Opens a regular file or block device that a microVM writes to, close-on-exec.
///
/// # Errors
/// Those of [`open_input`].
pub fn open_writable(role: &str, path: &str) -> Result<OwnedFd, Failure> {
    let doing = format!("open the {role} {path} for writing");
    open_existing(File::options().read(true).write(true), path, &doing)
}

fn open_existing(options: &mut OpenOptions, path: &str, doing: &str) -> Result<OwnedFd, Failure> {
    // A FIFO would wait for its other end, and with it the thread that hears of deadlines and of the microVM's end.
    let file = options.custom_flags(libc::O_NONBLOCK).open(path).map_err(Failure::io(doing))?;
    let kind = file.metadata().map_err(Failure::io(doing))?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Failure::options(format!(
            "{doing}: it is neither a regular file nor a block device; name one that is"
        )));
    }
    Ok(file.into())
}

/// Files that were created for a snapshot, removed again unless they are kept.
#[derive(Debug, Default)]
pub struct Outputs {
    paths: Vec<PathBuf>,
}

impl Outputs {
    /// Creates a file that must not exist, for this user alone, whatever the umask: it may be the memory of a guest.
    ///
    /// # Errors
    /// FIRN_IO, naming what the file is for.
    pub fn create(&mut self, role: &str, path: &str) -> Result<OwnedFd, Failure> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
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
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

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
    fn outputs_are_private_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("layer");
        let before = rustix::process::umask(Mode::empty());
        let created = Outputs::default().create("memory layer", path.to_str().unwrap()).unwrap();
        rustix::process::umask(before);
        assert_eq!(File::from(created).metadata().unwrap().permissions().mode() & 0o7777, 0o600);
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

    #[test]
    fn what_is_no_file_is_refused_without_waiting_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        for path in [fifo.to_str().unwrap(), folder.path().to_str().unwrap(), "/dev/null"] {
            let error = open_input("kernel", path).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("FIRN_VMM_OPTIONS: open the kernel {path}: it is")),
                "{error}"
            );
        }
        let error = open_writable("scratch disk", fifo.to_str().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("FIRN_VMM_OPTIONS: "), "{error}");
    }
}
