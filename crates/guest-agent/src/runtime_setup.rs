//! How the processes of functions are started on this machine.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use firn_protocol::v2::LoadFunction;

use crate::AgentError;
use crate::function_url::day_of;
use crate::manifest::{Interface, Manifest};
use crate::runtime_process::{RuntimeProcess, RuntimeSpec};

/// Where functions run, as far as the AWS SDKs and the names of functions are concerned.
const REGION: &str = "local";

/// What the image says, made ready for this machine.
#[derive(Debug, Clone, Default)]
pub struct RuntimeSetup {
    /// How deploys name the runtime.
    pub name: String,
    /// Of the language's own program.
    pub version: String,
    /// How processes get their invocations.
    pub interface: Interface,
    /// Whether the program is started when a function is loaded.
    pub starts_at_load: bool,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What each process finds in its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// User and group to run as; `None` for the agent's own.
    pub user: Option<u32>,
    /// Where the function's files are.
    pub root: PathBuf,
    /// Port of the Runtime API; 0 for any.
    pub api_port: u16,
}

impl RuntimeSetup {
    /// For a manifest, on a machine of so much memory and so many processors.
    #[must_use]
    pub fn new(manifest: &Manifest, memory_mib: u64, processors: usize) -> Self {
        let (program, arguments) = manifest.command(memory_mib, processors);
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            interface: manifest.interface(),
            starts_at_load: manifest.starts_at_load(),
            program: program.into(),
            arguments: arguments.into_iter().map(OsString::from).collect(),
            ..Self::default()
        }
    }

    /// Starts the program when the machine boots, if it is one that is.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start_at_boot(&self, cgroup: Option<File>) -> Result<Option<RuntimeProcess>, AgentError> {
        if self.starts_at_load {
            return Ok(None);
        }
        let mut environment = self.environment.clone();
        if self.interface == Interface::RuntimeApi {
            environment.push(variable("AWS_LAMBDA_RUNTIME_API", &format!("127.0.0.1:{}", self.api_port)));
        }
        let (program, arguments) = (self.program.clone(), self.arguments.clone());
        let has_bridge = self.interface == Interface::Bridge;
        let (user, folder) = (self.user, PathBuf::from("/"));
        let spec = RuntimeSpec { program, arguments, environment, user, folder, has_bridge, cgroup };
        RuntimeProcess::start(spec).map(Some)
    }

    /// Starts the program for a function.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with the program.
    pub fn start_for(
        &self,
        load: &LoadFunction,
        api_address: &str,
        cgroup: Option<File>,
    ) -> Result<RuntimeProcess, String> {
        let (program, arguments) = (self.program.clone(), self.arguments.clone());
        self.start(program, arguments, load, variable("AWS_LAMBDA_RUNTIME_API", api_address), cgroup)
    }

    /// Starts the command of a function that is an HTTP server, in the folder of the function.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with the program.
    pub fn start_command(&self, load: &LoadFunction, cgroup: Option<File>) -> Result<RuntimeProcess, String> {
        let (program, arguments) = load.command.split_first().ok_or("The command is empty.")?;
        // A path is one in the app; a name is looked for where programs are.
        let program = if program.contains('/') { self.root.join(program) } else { program.into() };
        let arguments = arguments.iter().map(OsString::from).collect();
        self.start(program, arguments, load, variable("PORT", &load.port.to_string()), cgroup)
    }

    fn start(
        &self,
        program: PathBuf,
        arguments: Vec<OsString>,
        load: &LoadFunction,
        address: (OsString, OsString),
        cgroup: Option<File>,
    ) -> Result<RuntimeProcess, String> {
        let mut environment = self.environment.clone();
        environment.extend(self.lambda_environment(load));
        environment.extend(load.environment.iter().map(|(name, value)| variable(name, value)));
        environment.push(address);
        let (user, folder) = (self.user, self.root.clone());
        let shown = program.clone();
        check_machine(&shown)?;
        let spec = RuntimeSpec { program, arguments, environment, user, folder, has_bridge: false, cgroup };
        RuntimeProcess::start(spec).map_err(|error| explain(&shown, &error))
    }

    /// What functions written for AWS Lambda look for.
    fn lambda_environment(&self, load: &LoadFunction) -> Vec<(OsString, OsString)> {
        let root = self.root.display().to_string();
        let name = &load.function_name;
        let given = |variable: &str| load.environment.get(variable).cloned();
        let region = given("AWS_REGION").or_else(|| given("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| REGION.to_owned());
        let handler = match (load.entry.as_str(), load.handler.as_str()) {
            ("", handler) => handler.to_owned(),
            (entry, "") => entry.to_owned(),
            (entry, handler) => format!("{entry}.{handler}"),
        };
        let variables = [
            ("AWS_DEFAULT_REGION", region.clone()),
            ("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", self.name)),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", load.memory_mib.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
            // The same in all clones: a process that runs cannot be told another one.
            ("AWS_LAMBDA_LOG_STREAM_NAME", format!("{}/[$LATEST]{name}", day_of(SystemTime::now()))),
            ("AWS_REGION", region),
            ("LAMBDA_RUNTIME_DIR", root.clone()),
            ("LAMBDA_TASK_ROOT", root.clone()),
            ("LD_LIBRARY_PATH", format!("{root}:{root}/lib:/opt/lib")),
            ("TZ", ":UTC".to_owned()),
            ("_HANDLER", handler),
        ];
        variables.into_iter().map(|(name, value)| variable(name, &value)).collect()
    }
}

fn variable(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.into())
}

/// Looks for which machine a program was built. One for another machine would be taken for a script of the shell.
fn check_machine(program: &Path) -> Result<(), String> {
    const MAGIC: &[u8] = b"\x7fELF";
    const MACHINE: std::ops::Range<usize> = 18..20;
    let own: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let mut head = [0; 20];
    // What cannot be read here is told when it is started.
    let Ok(count) = File::open(program).and_then(|mut file| file.read(&mut head)) else { return Ok(()) };
    let head = head.get(..count).unwrap_or_default();
    if !head.starts_with(MAGIC) || head.get(MACHINE) == Some(own.to_le_bytes().as_slice()) {
        return Ok(());
    }
    Err(not_for_this_machine(program))
}

fn not_for_this_machine(program: &Path) -> String {
    format!(
        "{} is no program for this machine: build it for Linux on arm64 (GOOS=linux GOARCH=arm64), or begin a script with #!/bin/sh.",
        program.display()
    )
}

/// What is wrong with a program that cannot be started, and what to do.
fn explain(program: &Path, error: &AgentError) -> String {
    let shown = program.display();
    let kind = match error {
        AgentError::System { source, .. } => source.raw_os_error(),
        _ => None,
    };
    match kind {
        Some(libc::ENOENT) if program.is_absolute() && program.exists() => format!(
            "{shown} cannot be started: the interpreter that its first line names, or the loader that it is linked for, is not in this \
             runtime. Link it statically, or use #!/bin/sh."
        ),
        Some(libc::ENOENT) => {
            format!("There is no program {shown}: it must be in the archive, or in the runtime.")
        }
        Some(libc::EACCES) => {
            format!("{shown} is not executable: run chmod +x on it before it is packed.")
        }
        Some(libc::ENOEXEC) => not_for_this_machine(program),
        _ => format!("{shown} cannot be started: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_that_cannot_be_started_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let setup = RuntimeSetup { root: folder.path().into(), ..RuntimeSetup::default() };
        let start = |name: &str, contents: &[u8], mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, contents).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let load =
                LoadFunction { command: vec![format!("./{name}")], port: 80, ..LoadFunction::default() };
            setup.start_command(&load, None).map(|_| ()).unwrap_err()
        };
        let other: u8 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
        let mut foreign = b"\x7fELF\x02\x01\x01".to_vec();
        foreign.resize(18, 0);
        foreign.extend([other, 0]);
        assert!(start("foreign", &foreign, 0o755).contains("arm64"));
        assert!(start("short", b"\x7fELF nothing", 0o755).contains("arm64"));
        assert!(start("plain", b"#!/bin/sh\n", 0o644).contains("chmod +x"));
        assert!(start("strange", b"#!/nowhere/sh\n", 0o755).contains("interpreter"));
        let missing = LoadFunction { command: vec!["./none".into()], port: 80, ..LoadFunction::default() };
        assert!(setup.start_command(&missing, None).map(|_| ()).unwrap_err().contains("There is no program"));
    }
}
