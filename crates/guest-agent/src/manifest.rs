//! What the image says about the runtime in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::AgentError;

/// Where an image has its manifest.
pub const MANIFEST_PATH: &str = "/etc/firn/runtime.json";

/// Longest manifest in bytes.
const MANIFEST_LIMIT: u64 = 64 * 1024;

/// The part of `runtime.json` that the agent needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    manifest_version: u32,
    /// How deploys name the runtime, for example "node24".
    pub name: String,
    /// Of the language's own program.
    pub version: String,
    agent_abi: u32,
    command: Vec<String>,
    #[serde(default)]
    one_processor_arguments: Vec<String>,
    interface: String,
    #[serde(default = "at_boot")]
    start: String,
}

/// How a runtime gets its invocations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Interface {
    /// Messages over a socket that it inherits.
    #[default]
    Bridge,
    /// HTTP, as in AWS Lambda.
    RuntimeApi,
}

fn at_boot() -> String {
    BOOT.into()
}

const BOOT: &str = "boot";
const LOAD: &str = "load";
const BRIDGE: &str = "bridge";
const RUNTIME_API: &str = "runtime-api";

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// [`AgentError::Manifest`] if the file cannot be read or is not right.
    pub fn read(path: &Path) -> Result<Self, AgentError> {
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MANIFEST_LIMIT).read_to_end(&mut text))
            .map_err(|error| AgentError::Manifest(format!("{} cannot be read: {error}", path.display())))?;
        Self::parse(&text)
    }

    fn parse(text: &[u8]) -> Result<Self, AgentError> {
        let manifest: Self =
            serde_json::from_slice(text).map_err(|error| AgentError::Manifest(error.to_string()))?;
        let problem = match &manifest {
            Self { manifest_version, .. } if *manifest_version != 1 => {
                format!("it has manifestVersion {manifest_version}; this agent reads version 1")
            }
            Self { agent_abi, .. } if *agent_abi != firn_protocol::AGENT_ABI => format!(
                "it is for agent ABI {agent_abi}; this agent has {}: build the image with the agent that its manifest was written for",
                firn_protocol::AGENT_ABI
            ),
            Self { interface, .. } if ![BRIDGE, RUNTIME_API].contains(&interface.as_str()) => format!(
                "its interface is \"{interface}\", which this agent does not speak: \"{BRIDGE}\" and \"{RUNTIME_API}\" are supported"
            ),
            Self { start, .. } if ![BOOT, LOAD].contains(&start.as_str()) => {
                format!("its start is \"{start}\": \"{BOOT}\" and \"{LOAD}\" are possible")
            }
            Self { start, interface, .. } if start == LOAD && interface == BRIDGE => {
                format!(
                    "its start is \"{LOAD}\", which only a runtime with the interface \"{RUNTIME_API}\" may have"
                )
            }
            Self { command, .. } if command.is_empty() => "its command is empty".into(),
            _ => return Ok(manifest),
        };
        Err(AgentError::Manifest(problem))
    }

    /// How the runtime gets its invocations.
    #[must_use]
    pub fn interface(&self) -> Interface {
        if self.interface == RUNTIME_API { Interface::RuntimeApi } else { Interface::Bridge }
    }

    /// Whether the program is started when a function is loaded, as a part of that, and not when the machine boots.
    #[must_use]
    pub fn starts_at_load(&self) -> bool {
        self.start == LOAD
    }

    /// The program to start, and its arguments.
    #[must_use]
    pub fn command(&self, memory_mib: u64, processors: usize) -> (String, Vec<String>) {
        let extra = if processors == 1 { self.one_processor_arguments.as_slice() } else { &[] };
        let (program, arguments) = match self.command.split_first() {
            Some((program, arguments)) => (program.as_str(), arguments),
            None => ("", &[][..]),
        };
        let arguments = extra.iter().chain(arguments).map(|word| with_memory(word, memory_mib));
        (program.to_owned(), arguments.collect())
    }
}

/// Puts a part of the memory in MiB in the place of `{memory:60%}`.
fn with_memory(word: &str, memory_mib: u64) -> String {
    const START: &str = "{memory:";
    const END: &str = "%}";
    let replaced = || {
        let (before, rest) = word.split_once(START)?;
        let (percent, after) = rest.split_once(END)?;
        let percent: u64 = percent.parse().ok()?;
        Some(format!("{before}{}{after}", memory_mib.saturating_mul(percent) / 100))
    };
    replaced().unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(changed: &str, value: &str) -> String {
        let fields = [
            ("manifestVersion", "1"),
            ("name", "\"node24\""),
            ("version", "\"24.9.0\""),
            ("agentAbi", "2"),
            ("command", r#"["/usr/bin/node", "--heap={memory:60%}", "main.js"]"#),
            ("oneProcessorArguments", r#"["--single"]"#),
            ("interface", "\"bridge\""),
            ("start", "\"boot\""),
            ("lambdaRuntimes", "[\"nodejs24.x\"]"),
        ];
        let lines = fields
            .map(|(name, usual)| format!("\"{name}\": {}", if name == changed { value } else { usual }));
        format!("{{{}}}", lines.join(", "))
    }

    #[test]
    fn command_has_the_memory_and_what_is_for_one_processor() {
        let manifest = Manifest::parse(text("", "").as_bytes()).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("node24", "24.9.0"));
        let words = |processors| manifest.command(250, processors);
        let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(words(1), ("/usr/bin/node".into(), strings(&["--single", "--heap=150", "main.js"])));
        assert_eq!(words(2).1, strings(&["--heap=150", "main.js"]));
    }

    #[test]
    fn a_runtime_may_be_started_with_its_function() {
        let manifest = Manifest::parse(text("interface", "\"runtime-api\"").as_bytes()).unwrap();
        assert_eq!((manifest.interface(), manifest.starts_at_load()), (Interface::RuntimeApi, false));
        let text = text("start", "\"load\"").replace("\"bridge\"", "\"runtime-api\"");
        assert!(Manifest::parse(text.as_bytes()).unwrap().starts_at_load());
        let short = r#"{"manifestVersion":1,"name":"a","version":"1","agentAbi":2,"command":["/a"],"interface":"bridge"}"#;
        assert!(!Manifest::parse(short.as_bytes()).unwrap().starts_at_load());
    }

    #[test]
    fn with_memory_leaves_other_words_alone() {
        for word in ["", "{memory:", "{memory:%}", "{memory:x%}", "{memory:1", "%}{memory:"] {
            assert_eq!(with_memory(word, 100), word);
        }
        assert_eq!(with_memory("{memory:18446744073709551615%}", 100), "184467440737095516");
    }

    #[test]
    fn parse_says_what_is_wrong() {
        let refused = [
            ("manifestVersion", "2", "manifestVersion 2"),
            ("agentAbi", "1", "agent ABI 1"),
            ("interface", "\"telepathy\"", "\"telepathy\""),
            ("start", "\"never\"", "\"never\""),
            ("start", "\"load\"", "only a runtime with the interface"),
            ("command", "[]", "command is empty"),
            ("command", "7", "invalid type"),
        ];
        for (field, value, said) in refused {
            let error = Manifest::parse(text(field, value).as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("FIRN_RUNTIME_MANIFEST: "), "{error}");
            assert!(error.contains(said), "{error}");
        }
        assert!(Manifest::parse(b"").is_err());
        assert!(Manifest::read(Path::new("/nowhere")).is_err());
    }
}
