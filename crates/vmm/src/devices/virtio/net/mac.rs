//! The guest's MAC address.

use crate::devices::entropy;
use crate::error::{ErrorCode, Result, VmmError};

/// An address that somebody chose, or one of those that are nobody's: locally administered, of a single station.
pub(super) fn choose(chosen: Option<[u8; 6]>) -> Result<[u8; 6]> {
    match chosen {
        Some(mac) => {
            check(mac)?;
            Ok(mac)
        }
        None => {
            let [first, rest @ ..] = entropy::random::<6>()?;
            let [a, b, c, d, e] = rest;
            Ok([first & !GROUP | LOCAL, a, b, c, d, e])
        }
    }
}

/// Set in the first byte of an address of more than one station.
const GROUP: u8 = 1;
/// Set in the first byte of an address that no vendor gave.
const LOCAL: u8 = 2;

/// Refuses what cannot be the address of one station.
pub(super) fn check(mac: [u8; 6]) -> Result<()> {
    let [first, ..] = mac;
    if first & GROUP == 0 && mac != [0; 6] {
        return Ok(());
    }
    let text = mac.map(|byte| format!("{byte:02x}")).join(":");
    Err(VmmError::new(
        ErrorCode::Config,
        format!("the MAC address {text} is not that of one station; choose one like 02:00:00:00:00:01"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_addresses_are_local_of_one_station_and_differ() {
        let macs = [(); 64].map(|()| choose(None).unwrap());
        for mac in macs {
            assert_eq!(mac[0] & 3, 2);
            check(mac).unwrap();
        }
        assert_ne!(macs[0], macs[1]);
    }

    #[test]
    fn addresses_of_groups_and_of_nobody_are_refused() {
        for mac in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(choose(Some(mac)).unwrap_err().code, ErrorCode::Config);
        }
        assert_eq!(choose(Some([0x52, 0x54, 0, 1, 2, 3])).unwrap(), [0x52, 0x54, 0, 1, 2, 3]);
    }
}
