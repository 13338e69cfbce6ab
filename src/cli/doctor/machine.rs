//! Hints about the machine that would generate the load: what makes its measurements noisy.

use std::fs;

use super::Finding;

/// More than half of the processors busy leaves too little for generator and service together.
const BUSY_SHARE: f64 = 0.5;

pub(super) fn examine(findings: &mut Vec<Finding>) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let load = read("/proc/loadavg");
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    findings.extend(hints(processors, &load, governor.trim()));
}

/// Judges what the system tells; what it doesn't tell is an empty text and no hint.
fn hints(processors: usize, load: &str, governor: &str) -> Vec<Finding> {
    let mut hints = Vec::new();
    if processors < 2 {
        hints.push(Finding::warning(
            "this machine has one processor: generator and service would slow each other down",
            "measure on a machine with at least two",
        ));
    }
    let busy = load.split(' ').next().and_then(|average| average.parse::<f64>().ok());
    if let Some(busy) = busy.filter(|busy| *busy > processors as f64 * BUSY_SHARE) {
        hints.push(Finding::warning(
            format!("this machine is busy: {busy} of {processors} processors during the last minute"),
            "measure when nothing else runs here",
        ));
    }
    if !matches!(governor, "" | "performance") {
        hints.push(Finding::warning(
            format!("the processors change their speed (governor {governor})"),
            "set the governor to performance where you may, or compare with the base measured in the same run",
        ));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_machine_gets_no_hint_and_a_noisy_one_a_hint_for_each_noise() {
        assert_eq!(hints(4, "0.40 0.30 0.20 1/200 4711\n", "performance"), []);
        assert_eq!(hints(4, "", ""), []);
        assert_eq!(hints(1, "3.10 0.30 0.20 1/200 4711\n", "powersave").len(), 3);
        assert_eq!(hints(4, "nonsense", "").len(), 0);
    }
}
