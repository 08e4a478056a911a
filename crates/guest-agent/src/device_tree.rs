//! Looks a device up in the device tree that the kernel shows as folders and files.

use std::fs;
use std::path::Path;

use crate::AgentError;

/// A device's frame of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceFrame {
    /// Guest physical address.
    pub address: u64,
    /// Size in bytes.
    pub size: u64,
}

/// Levels of nodes that are searched: devices sit below the root, or below a bus there.
const SEARCH_DEPTH: usize = 3;

/// Finds the first device whose `compatible` names `compatible`, below the tree's `root` (`/proc/device-tree`).
///
/// # Errors
///
/// [`AgentError::DeviceTree`] if there is no such device, or its `reg` does not hold an address and a size.
pub fn find_device(root: &Path, compatible: &str) -> Result<DeviceFrame, AgentError> {
    search(root, compatible, SEARCH_DEPTH)?
        .ok_or_else(|| AgentError::DeviceTree(format!("no device is compatible with {compatible}")))
}

fn search(parent: &Path, compatible: &str, depth: usize) -> Result<Option<DeviceFrame>, AgentError> {
    let Ok(entries) = fs::read_dir(parent) else { return Ok(None) };
    for entry in entries.flatten() {
        let node = entry.path();
        if !node.is_dir() {
            continue;
        }
        let names = fs::read(node.join("compatible")).unwrap_or_default();
        if names.split(|byte| *byte == 0).any(|name| name == compatible.as_bytes()) {
            return read_frame(parent, &node).map(Some);
        }
        if depth > 1
            && let Some(found) = search(&node, compatible, depth - 1)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read_frame(parent: &Path, node: &Path) -> Result<DeviceFrame, AgentError> {
    // The specification's defaults, for a parent that does not say.
    let address_cells = read_cell(&parent.join("#address-cells")).unwrap_or(2);
    let size_cells = read_cell(&parent.join("#size-cells")).unwrap_or(1);
    let reg = fs::read(node.join("reg"))
        .map_err(|error| AgentError::DeviceTree(format!("{}/reg cannot be read: {error}", node.display())))?;
    let wrong = || AgentError::DeviceTree(format!("{}/reg holds no address and size", node.display()));
    let address_bytes =
        usize::try_from(address_cells).ok().and_then(|cells| cells.checked_mul(4)).ok_or_else(wrong)?;
    let size_bytes =
        usize::try_from(size_cells).ok().and_then(|cells| cells.checked_mul(4)).ok_or_else(wrong)?;
    let (address, rest) = reg.split_at_checked(address_bytes).ok_or_else(wrong)?;
    let size = rest.get(..size_bytes).ok_or_else(wrong)?;
    Ok(DeviceFrame {
        address: big_endian(address).ok_or_else(wrong)?,
        size: big_endian(size).ok_or_else(wrong)?,
    })
}

fn read_cell(path: &Path) -> Option<u32> {
    let bytes: [u8; 4] = fs::read(path).ok()?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// One or two cells as a number.
fn big_endian(cells: &[u8]) -> Option<u64> {
    let is_one_or_two_cells = matches!(cells.len(), 4 | 8);
    is_one_or_two_cells.then(|| cells.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::tempdir;

    fn tree(address_cells: u32, size_cells: u32, reg: &[u8]) -> tempfile::TempDir {
        let root = tempdir().unwrap();
        let bus = root.path().join("soc");
        let device = bus.join("doorbell@a000000");
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(root.path().join("cpus")).unwrap();
        fs::write(root.path().join("model"), b"firn\0").unwrap();
        fs::write(bus.join("#address-cells"), address_cells.to_be_bytes()).unwrap();
        fs::write(bus.join("#size-cells"), size_cells.to_be_bytes()).unwrap();
        fs::write(device.join("compatible"), b"firn,doorbell-v1\0firn,doorbell\0").unwrap();
        fs::write(device.join("reg"), reg).unwrap();
        root
    }

    #[test]
    fn find_device_returns_the_frame_when_addresses_have_two_cells() {
        let root = tree(2, 2, &[0, 0, 0, 1, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        let found = find_device(root.path(), "firn,doorbell").unwrap();
        assert_eq!(found, DeviceFrame { address: 0x1_0a00_0000, size: 0x1_0000 });
    }

    #[test]
    fn find_device_returns_the_frame_when_addresses_have_one_cell() {
        let root = tree(1, 1, &[0x0a, 0, 0, 0, 0, 1, 0, 0]);
        let found = find_device(root.path(), "firn,doorbell").unwrap();
        assert_eq!(found, DeviceFrame { address: 0x0a00_0000, size: 0x1_0000 });
    }

    #[test]
    fn find_device_fails_when_there_is_none_or_its_reg_is_wrong() {
        let root = tree(2, 2, &[0x0a, 0, 0, 0]);
        assert!(matches!(find_device(root.path(), "firn,doorbell"), Err(AgentError::DeviceTree(_))));
        assert!(matches!(find_device(root.path(), "firn,door"), Err(AgentError::DeviceTree(_))));
        let root = tree(0x4000_0000, 2, &[0; 16]);
        assert!(matches!(find_device(root.path(), "firn,doorbell"), Err(AgentError::DeviceTree(_))));
    }
}
