//! The jail that is wanted, as the command line of `firn-vmm` says it. The environment is empty, and the first message comes too
//! late: the jail is entered before anything is read.

use std::ffi::OsString;
use std::path::PathBuf;

use super::report::JailLevel;
use crate::error::{ErrorCode, Result, VmmError};

/// The jail that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JailOptions {
    /// The level, or `None` for the one that reaches least of those that the host allows.
    pub level: Option<JailLevel>,
    /// A user and group of its own, which only root can give away.
    pub ids: Option<(u32, u32)>,
    /// The directory of the cgroup to join.
    pub cgroup: Option<PathBuf>,
}

impl JailOptions {
    /// The arguments that say this.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let level = self.level.map_or("auto", JailLevel::as_str);
        let mut arguments = vec![OsString::from(format!("--jail={level}"))];
        arguments.extend(self.ids.map(|(uid, gid)| OsString::from(format!("--ids={uid}:{gid}"))));
        arguments.extend(self.cgroup.as_ref().map(|path| {
            let mut argument = OsString::from("--cgroup=");
            argument.push(path);
            argument
        }));
        arguments
    }

    /// What these arguments say; without arguments, the defaults.
    ///
    /// # Errors
    /// FIRN_CONFIG for an argument that does not exist, or a value that it does not have.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut options = Self::default();
        for argument in arguments {
            let text = argument.to_string_lossy();
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            let understood = match name {
                "--jail" => {
                    options.level = JailLevel::from_name(value);
                    options.level.is_some() || value == "auto"
                }
                "--ids" => {
                    options.ids = value
                        .split_once(':')
                        .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)))
                        .filter(|ids| *ids != (u32::MAX, u32::MAX));
                    options.ids.is_some()
                }
                "--cgroup" => {
                    options.cgroup = Some(PathBuf::from(value));
                    value.starts_with('/')
                }
                _ => false,
            };
            if !understood {
                return Err(VmmError::new(
                    ErrorCode::Config,
                    format!(
                        "firn-vmm does not understand the argument {text:?}; it takes --jail=auto|root|user-namespaces|minimal, --ids=UID:GID and --cgroup=/DIRECTORY"
                    ),
                ));
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<JailOptions> {
        JailOptions::from_arguments(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_say_what_was_wanted() {
        for level in [None, Some(JailLevel::Root), Some(JailLevel::UserNamespaces), Some(JailLevel::Minimal)]
        {
            let options =
                JailOptions { level, ids: Some((7, 8)), cgroup: Some(PathBuf::from("/sys/fs/cgroup/a=b")) };
            assert_eq!(JailOptions::from_arguments(options.to_arguments()).unwrap(), options);
        }
        assert_eq!(parse(&[]).unwrap(), JailOptions::default());
        assert_eq!(parse(&["--jail=auto"]).unwrap(), JailOptions::default());
    }

    #[test]
    fn arguments_that_do_not_exist_are_refused() {
        for wrong in ["", "--jail", "--jail=none", "--ids=1", "--ids=-1:2", "--cgroup=relative", "kernel"] {
            assert_eq!(parse(&[wrong]).unwrap_err().code, ErrorCode::Config, "{wrong}");
        }
    }
}
