//! A machine is where the load is generated, as far as it decides which measurements are comparable.
//!
//! What the system does not tell is `unknown`, which is equal to itself: two machines that tell nothing compare.

use std::fmt;
use std::fs;

/// Longer names are cut; no processor's name comes near.
const MAX_NAME_CHARS: usize = 120;

/// What a system that tells nothing is called.
const UNKNOWN: &str = "unknown";

/// The machine that generates the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The architecture, such as `x86_64`.
    pub arch: String,
    /// The processor's name, as the system tells it.
    pub cpu: String,
    /// The number of processors that this process may use.
    pub cpus: u32,
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}, {} processors", self.os, self.arch, self.cpu, self.cpus)
    }
}

impl Machine {
    /// Reads what this machine tells about itself; nothing here can fail, only be `unknown`.
    #[must_use]
    pub fn read() -> Self {
        let told = fs::read_to_string("/proc/cpuinfo").ok();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: told.as_deref().and_then(processor_name).unwrap_or_else(|| UNKNOWN.to_owned()),
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        }
    }
}

/// Returns the first processor's name from the text of `/proc/cpuinfo`.
///
/// ARM kernels give no name, only numbers of implementer and part, which identify a design as well.
fn processor_name(cpuinfo: &str) -> Option<String> {
    let field = |name: &str| {
        let lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let value = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next()?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    let name = field("model name").or_else(|| {
        let (implementer, part) = (field("CPU implementer")?, field("CPU part")?);
        Some(format!("implementer {implementer} part {part}"))
    })?;
    Some(name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_first_processor() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Fast CPU @ 3.00GHz\n\nprocessor\t: 1\nmodel name\t: Other\n";

        assert_eq!(processor_name(cpuinfo).as_deref(), Some("Fast CPU @ 3.00GHz"));
    }

    #[test]
    fn an_arm_processor_is_named_by_its_numbers() {
        let cpuinfo = "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n";

        assert_eq!(processor_name(cpuinfo).as_deref(), Some("implementer 0x41 part 0xd0c"));
    }

    #[test]
    fn what_is_not_told_has_no_name() {
        for text in ["", "model name", "model name :", "CPU part : 0xd0c"] {
            assert_eq!(processor_name(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_at_least_one_processor() {
        let machine = Machine::read();

        assert!(machine.cpus >= 1);
        assert!(!machine.cpu.is_empty() && machine.cpu.chars().count() <= MAX_NAME_CHARS);
    }
}
