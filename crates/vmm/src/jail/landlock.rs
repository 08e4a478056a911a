//! Landlock: no path, no port, no signal to anybody outside.

use landlock::{
    ABI, Access, AccessFs, AccessNet, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope,
};

use crate::error::{ErrorCode, Result, VmmError};

/// The newest version whose rights are known here; of these an older kernel takes those that it has.
const NEWEST: ABI = ABI::V6;

/// Forbids this process every right that the kernel's Landlock knows, with no exception. Descriptors that are open, or come over the
/// control socket, keep what they could do.
///
/// Returns the version in force, or 0 if the kernel has no Landlock.
///
/// # Errors
/// FIRN_IO if the kernel has Landlock and refuses.
pub fn forbid_everything() -> Result<u8> {
    let refused = |error| VmmError::wrap::<landlock::RulesetError>(ErrorCode::Io, "enter Landlock")(error);
    let status = Ruleset::default()
        .set_compatibility(landlock::CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(refused)?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Ok(0),
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(u8::try_from((effective_abi as i32).min(NEWEST as i32)).unwrap_or(u8::MAX))
        }
        _ => Ok(0),
    }
}
