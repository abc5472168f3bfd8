//! What the processors are, from /proc/cpuinfo (arch/*/kernel/cpu/proc.c and the like): each architecture prints other
//! keys, all as `key : value`.

use ao_proto::model::MetricType::Gauge;

use super::super::filter::Filter;
use crate::event::MetricSet;

/// A processor, as far as its architecture tells it.
#[derive(Debug, Default, PartialEq)]
struct Processor<'a> {
    cpu: &'a str,
    package: &'a str,
    core: &'a str,
    vendor: &'a str,
    family: &'a str,
    model: &'a str,
    model_name: &'a str,
    microcode: &'a str,
    stepping: &'a str,
    cachesize: &'a str,
    megahertz: Option<f64>,
    flags: &'a str,
    bugs: &'a str,
}

/// One sample per processor, and one for each flag and bug of the first one that its pattern takes.
pub(super) fn emit(text: &str, flags: Option<&Filter>, bugs: Option<&Filter>, out: &mut MetricSet) {
    let processors = parse(text);
    let family = out.family("node_cpu_info", Gauge, "What a processor is.");
    for p in &processors {
        let labels = [
            ("package", p.package),
            ("core", p.core),
            ("cpu", p.cpu),
            ("vendor", p.vendor),
            ("family", p.family),
            ("model", p.model),
            ("model_name", p.model_name),
            ("microcode", p.microcode),
            ("stepping", p.stepping),
            ("cachesize", p.cachesize),
        ];
        out.push(family, &labels, 1.0);
    }
    for p in &processors {
        if let Some(megahertz) = p.megahertz {
            let family = out.family("node_cpu_frequency_hertz", Gauge, "Frequency that the hardware tells.");
            let labels = [("package", p.package), ("core", p.core), ("cpu", p.cpu)];
            out.push(family, &labels, megahertz * 1e6);
        }
    }
    let Some(first) = processors.first() else { return };
    for (filter, words, name, label, help) in [
        (flags, first.flags, "node_cpu_flag_info", "flag", "What the first processor can do."),
        (bugs, first.bugs, "node_cpu_bug_info", "bug", "What is wrong with the first processor."),
    ] {
        let Some(filter) = filter else { continue };
        for word in words.split_ascii_whitespace().filter(|word| !filter.ignores(word)) {
            let family = out.family(name, Gauge, help);
            out.push(family, &[(label, word)], 1.0);
        }
    }
}

fn parse(text: &str) -> Vec<Processor<'_>> {
    let mut processors: Vec<Processor<'_>> = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':').map(|(key, value)| (key.trim(), value.trim())) else {
            continue;
        };
        if key == "processor" {
            processors.push(Processor { cpu: value, ..Processor::default() });
        }
        let Some(p) = processors.last_mut() else { continue };
        match key {
            "physical id" => p.package = value,
            "core id" => p.core = value,
            "vendor_id" | "vendor" | "cpu" => p.vendor = value,
            "cpu family" => p.family = value,
            "model" => p.model = value,
            "model name" => p.model_name = value,
            "microcode" => p.microcode = value,
            "stepping" => p.stepping = value,
            "cache size" => p.cachesize = value,
            // x86 with blanks, POWER as `3425.000000MHz`.
            "cpu MHz" | "clock" => p.megahertz = value.trim_end_matches("MHz").parse().ok(),
            "flags" | "Features" | "features" => p.flags = value,
            "bugs" => p.bugs = value,
            _ => {}
        }
    }
    processors
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: x86, ARM and POWER.
    /// Guarantees: what each tells; nothing else.
    #[test]
    fn architectures() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\ncpu MHz\t\t: 2400.000\nflags\t\t: fpu aes\n\n\
            processor\t: 1\nphysical id\t: 1\n";
        let found = parse(text);
        assert_eq!(
            (found[0].vendor, found[0].megahertz, found[0].flags),
            ("GenuineIntel", Some(2_400.0), "fpu aes")
        );
        assert_eq!((found[1].cpu, found[1].package, found[1].megahertz), ("1", "1", None));
        let found = parse(
            "processor\t: 3\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU part\t: 0xd08\n\nHardware\t: BCM2835\n",
        );
        assert_eq!((found.len(), found[0].cpu, found[0].flags), (1, "3", "fp asimd"));
        let found = parse("processor\t: 0\ncpu\t\t: POWER9\nclock\t\t: 3425.000000MHz\n");
        assert_eq!((found[0].vendor, found[0].megahertz), ("POWER9", Some(3_425.0)));
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "((processor|flags|clock|\\PC{0,5}) *:\\PC{0,9}\n?){0,9}") {
            emit(&text, None, None, &mut MetricSet::new("collector", "node-exporter", 0));
        }
    }
}
