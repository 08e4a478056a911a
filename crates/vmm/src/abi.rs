//! Assertions on values that files and guests have, checked when the VMM is compiled.

/// Fails the build, with what to do, if a value that is outside of this program is not what it was.
///
/// `what` is the name of what has such values, `version` what is to be raised when one changes on purpose, and `written` where else the
/// value is written down.
macro_rules! abi_assert {
    ($what:literal, version: $version:literal, written: $written:literal, $($condition:expr),+ $(,)?) => {
        $(const _: () = assert!(
            $condition,
            concat!(
                "\nThis changes ", $what, ", which files or guests have: ", stringify!($condition), "\n",
                "If it was not meant, undo it. If it was: raise ", $version, ", change this assertion and ", $written,
                ", and take the golden snapshots anew (tests/golden.rs)."
            )
        );)+
    };
}

pub(crate) use abi_assert;
