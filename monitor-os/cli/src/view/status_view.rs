//! The view of `monitor status` for a person.

use std::fmt::{self, Write};
use std::iter;

use anstyle::{AnsiColor, Style};

use super::text::{ByteSize, Time, phase_style, plural, printable};
use crate::report::event_text::RunsOn;
use crate::report::status_report::{AUTOMATIC, HealthReport, NotifyReport, StatusReport};

/// Prints a report as aligned lines, in colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusView<'a>(pub(crate) &'a StatusReport);

impl fmt::Display for StatusView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let (bold, style) = (Style::new().bold(), phase_style(&report.phase, report.down));
        write!(f, "{bold}{}{bold:#}  {style}{}{style:#}", report.name, report.phase)?;
        if report.run > 0 {
            write!(f, " #{}", report.run)?;
        }
        if let Some(pid) = report.pid {
            write!(f, " pid {pid}")?;
        }
        writeln!(f, " for {}", Time(report.since_ms))?;
        row(f, "why", &report.why)?;
        if let Some(error) = &report.start_error {
            row(f, "error", error)?;
        }
        match report.left_ms {
            Some(left) => row(f, "next", format_args!("{} in {}", report.next, Time(left)))?,
            None => row(f, "next", &report.next)?,
        }
        let mut restarts = report.restarts.to_string();
        if let Some(left) = report.retries_left {
            write!(restarts, ", {left} {} left", plural(left.into(), "retry", "retries"))?;
        }
        if let Some(left) = report.starts_left {
            let starts = plural(left.into(), "start", "starts");
            let is_automatic = report.starts_counted.as_deref() == Some(AUTOMATIC);
            let automatic = if is_automatic { "automatic " } else { "" };
            write!(restarts, ", {left} {automatic}{starts} left in this window")?;
        }
        row(f, "restarts", restarts)?;
        if let Some(tree) = report.tree {
            let processes = plural(tree.processes.into(), "process", "processes");
            row(f, "up", Time(tree.up_ms))?;
            row(
                f,
                "memory",
                format_args!("{} in {} {processes}", ByteSize(tree.resident_bytes), tree.processes),
            )?;
            row(f, "cpu", Time(tree.cpu_ms))?;
        }
        if let Some(containment) = &report.containment {
            row(f, "held by", containment)?;
        }
        if let Some(notify) = &report.notify {
            notify_rows(f, notify)?;
        }
        if let Some(health) = &report.health {
            row(f, "health", health_text(health))?;
        }
        if !report.leftover.is_empty() {
            let red = AnsiColor::Red.on_default();
            row(f, "leaked", format_args!("{red}{}{red:#}", RunsOn(&report.leftover)))?;
        }
        let ends = report.exits.iter();
        let ends =
            ends.map(|end| format!("#{} {}, {} ago", end.run, end.outcome, Time(end.ago_ms)));
        rows(f, "exits", ends)?;
        rows(f, "printed", report.last_lines.iter().map(|line| printable(line)))?;
        row(f, "policy", &report.policy)?;
        let monitor = &report.monitor;
        row(f, "monitor", format_args!("pid {}, up {}", monitor.pid, Time(monitor.up_ms)))?;
        row(f, "state", &monitor.state)?;
        if !report.saved {
            let red = AnsiColor::Red.on_default();
            let lost = "the last state is not saved there; it is tried again every second";
            row(f, "", format_args!("{red}{lost}{red:#}"))?;
        }
        Ok(())
    }
}

fn notify_rows(f: &mut fmt::Formatter<'_>, notify: &NotifyReport) -> fmt::Result {
    if let Some(status) = &notify.status {
        row(f, "says", status)?;
    }
    let words: [Option<String>; 4] = [
        notify.reloading.then(|| "it reloads".into()),
        notify.stopping.then(|| "it is about to end".into()),
        notify.errno.map(|errno| format!("error {errno}")),
        notify.bus_error.as_ref().map(|error| format!("error {error}")),
    ];
    for word in words.into_iter().flatten() {
        row(f, "says", word)?;
    }
    if !notify.not_honoured.is_empty() {
        row(f, "asks for", format_args!("{}, in vain", notify.not_honoured.join(", ")))?;
    }
    if notify.unreachable {
        row(
            f,
            "notify",
            "unreachable: another process has its notify address, until its next start",
        )?;
    }
    if notify.ignored > 0 {
        let messages = plural(notify.ignored, "message", "messages");
        let what = "not of this run, or not readable";
        row(f, "ignored", format_args!("{} {messages}: {what}", notify.ignored))?;
    }
    Ok(())
}

fn health_text(health: &HealthReport) -> String {
    match (&health.last, health.ago_ms) {
        (Some(last), Some(ago)) if health.failures > 0 => {
            let of = format_args!("{} of {} failures", health.failures, health.retries);
            format!("{last}, {} ago; {of}", Time(ago))
        }
        (Some(last), Some(ago)) => format!("{last}, {} ago", Time(ago)),
        (Some(_) | None, _) => "not checked yet".into(),
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    let dim = Style::new().dimmed();
    writeln!(f, "  {dim}{name:<8}{dim:#}  {value}")
}

/// Several rows, of which the first has the name.
fn rows(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    values: impl Iterator<Item = String>,
) -> fmt::Result {
    let mut names = iter::once(name).chain(iter::repeat(""));
    values.zip(&mut names).try_for_each(|(value, name)| row(f, name, value))
}
