//! What tells a machine from its clones: its host name and its boot id.

use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};

use rustix::mount::mount_bind;
use rustix::system::sethostname;
use sha2::{Digest, Sha256};

use crate::AgentError;

/// The host name before the first resume.
const FIRST_HOST_NAME: &str = "firn";

/// What programs read as the boot id.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file that is mounted over it: the kernel draws its own id once and keeps it, in a snapshot too.
const BOOT_ID_FILE: &str = "/run/boot_id";

/// The host name and the boot id of this machine.
pub struct Identity {
    boot_id: Option<File>,
}

impl Identity {
    /// Sets a host name, and puts a file in the place of the kernel's boot id. Where that is not possible, the kernel's stays.
    pub fn establish() -> Self {
        let _ = sethostname(FIRST_HOST_NAME.as_bytes());
        let mounted = || {
            fs::write(BOOT_ID_FILE, fs::read(BOOT_ID).ok()?).ok()?;
            fs::set_permissions(BOOT_ID_FILE, fs::Permissions::from_mode(0o444)).ok()?;
            mount_bind(BOOT_ID_FILE, BOOT_ID).ok()?;
            File::options().write(true).open(BOOT_ID_FILE).ok()
        };
        Self { boot_id: mounted() }
    }

    /// Takes on the names that follow from the generation of a resume.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn renew(&self, generation: &[u8; 16]) -> Result<(), AgentError> {
        let names = Names::of(generation);
        sethostname(names.host.as_bytes()).map_err(AgentError::system("set the host name"))?;
        if let Some(file) = &self.boot_id {
            // As long as what was there before.
            file.write_all_at(names.boot_id.as_bytes(), 0)
                .map_err(AgentError::system("write the boot id"))?;
        }
        Ok(())
    }
}

/// What a generation becomes. It is hashed: who reads these knows nothing of what the seeds were made from.
struct Names {
    host: String,
    /// Like a random UUID, with a line end.
    boot_id: String,
}

impl Names {
    fn of(generation: &[u8; 16]) -> Self {
        let digest: [u8; 32] =
            Sha256::new().chain_update(b"firn.identity.v1\0").chain_update(generation).finalize().into();
        let (name, id) = digest.split_at(16);
        let mut host = String::from("firn-");
        for byte in name.iter().take(6) {
            let _ = write!(host, "{byte:02x}");
        }
        let mut boot_id = String::new();
        for (index, byte) in id.iter().enumerate() {
            let byte = match index {
                6 => (byte & 0x0f) | 0x40,
                8 => (byte & 0x3f) | 0x80,
                _ => *byte,
            };
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            let _ = write!(boot_id, "{dash}{byte:02x}");
        }
        boot_id.push('\n');
        Self { host, boot_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_when_two_generations_differ_in_one_bit() {
        let [first, second] = [[1; 16], {
            let mut other = [1; 16];
            other[15] ^= 1;
            other
        }]
        .map(|generation| Names::of(&generation));
        assert_ne!(first.host, second.host);
        assert_ne!(first.boot_id, second.boot_id);
        assert!(first.host.starts_with("firn-") && first.host.len() == 17);
        let parts: Vec<usize> = first.boot_id.trim_end().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!((first.boot_id.len(), &first.boot_id[14..15]), (37, "4"));
    }
}
