//! The report as text, and the live table.

use std::io::{self, Write};
use std::net::IpAddr;

use super::args::Args;
use super::head::Head;
use crate::path::{HopReport, Tracer};

/// Width of the column of names in a report that is not wide.
const NAMES: usize = 33;

/// Clears the terminal (ECMA-48: cursor home, erase below).
const CLEAR: &str = "\x1b[H\x1b[J";

/// The table after the last cycle.
pub(super) fn report(out: &mut impl Write, head: &Head, tracer: &Tracer, args: &Args) -> io::Result<()> {
    let begun = jiff::Timestamp::from_nanosecond(ao_common::clock::now_ns().into());
    writeln!(out, "Report: {}", begun.map(|at| format!("{at:.0}")).unwrap_or_default())?;
    table(out, &format!("HOST: {}", head.source), tracer, args)
}

/// The table while it is being measured.
pub(super) fn screen(
    out: &mut impl Write,
    head: &Head,
    tracer: &Tracer,
    args: &Args,
    capability: &str,
) -> io::Result<()> {
    let mut page = Vec::new();
    let Head { source, target, address, tests, .. } = head;
    writeln!(page, "{source} -> {target} ({address})   cycle {tests}   Ctrl-C ends")?;
    writeln!(page, "{capability}")?;
    table(&mut page, "", tracer, args)?;
    let paths = tracer.paths();
    if paths.len() > 1 {
        writeln!(page, "{} ways, by {}", paths.len(), tracer.balancing())?;
    }
    out.write_all(CLEAR.as_bytes())?;
    out.write_all(&page)?;
    out.flush()
}

fn table(out: &mut impl Write, head: &str, tracer: &Tracer, args: &Args) -> io::Result<()> {
    let hops = tracer.hops();
    let named = |address| name(tracer, args, address);
    let longest = hops
        .iter()
        .flat_map(|hop| hop.address.into_iter().chain(hop.others.iter().copied()))
        .map(|address| named(Some(address)).len() + 6)
        .max();
    let width = if args.report_wide { longest.unwrap_or(0).max(NAMES) } else { NAMES };
    let columns = ["Snt", "Last", "Avg", "Best", "Wrst", "StDev", "Gmean", "Jttr", "Javg", "Jmax", "Jint"];
    write!(out, "{} {:>6}", cut(head, width), "Loss%")?;
    for (at, column) in columns.iter().enumerate() {
        let wide = if at == 0 { 5 } else { 6 };
        write!(out, " {column:>wide$}")?;
    }
    writeln!(out)?;
    for hop in &hops {
        let HopReport { ttl, address, others, labels, figures } = hop;
        write!(out, "{} {:>5.1}%", cut(&format!("{ttl:>3}.|-- {}", named(*address)), width), figures.loss)?;
        write!(out, " {:>5}", figures.sent)?;
        let times = [
            figures.last,
            figures.avg,
            figures.best,
            figures.worst,
            figures.stdev,
            figures.gmean,
            figures.jitter,
            figures.jitter_avg,
            figures.jitter_worst,
            figures.jitter_inter,
        ];
        for time in times {
            write!(out, " {time:>6.1}")?;
        }
        writeln!(out)?;
        for label in labels.iter() {
            let bottom = u8::from(label.bottom);
            writeln!(
                out,
                "    |   +-- [MPLS: Lbl {} TC {} S {bottom} TTL {}]",
                label.label, label.tc, label.ttl
            )?;
        }
        for other in others {
            writeln!(out, "    |  `|-- {}", named(Some(*other)))?;
        }
    }
    Ok(())
}

/// A router's name as the options have it, its system before it.
pub(super) fn name(tracer: &Tracer, args: &Args, address: Option<IpAddr>) -> String {
    let Some(address) = address else { return "???".to_owned() };
    let system = match (&args.asn_file, tracer.asn(address)) {
        (None, _) => String::new(),
        (Some(_), Some(number)) => format!("AS{number} "),
        (Some(_), None) => "AS??? ".to_owned(),
    };
    match tracer.name(address) {
        Some(name) if args.show_ips => format!("{system}{name} ({address})"),
        Some(name) => format!("{system}{name}"),
        None => format!("{system}{address}"),
    }
}

fn cut(text: &str, width: usize) -> String {
    let shown: String = text.chars().take(width).collect();
    format!("{shown:<width$}")
}
