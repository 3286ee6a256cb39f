//! The machine printed: every answer as tables, every change of phase as diagrams.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;

use monitor_core::{Event, Note, Phase, Policy, RunId, State, Step};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A policy with all features, so that each cell has an answer.
const POLICY: &str = "restart=on-failure retries=5 prevent=78 limit=2/1m:wait:all \
    readiness=notify start-timeout=30s watchdog=20s kill-window=5s";

/// The events that lead to each state.
const STATES: [&str; 27] = [
    "",
    "start",
    "start; stop on-next-exit",
    "start; stop",
    "start; restart",
    "start; stop kill",
    "start; started #1",
    "start; ready #1",
    "start; ready #1; stop on-next-exit",
    "start; ready #1; fired healthy #1",
    "start; ready #1; stop",
    "start; ready #1; restart",
    "start; ready #1; shutdown",
    "start; ready #1; fired watchdog #1",
    "start; ready #1; stop kill",
    "start; ready #1; exited #1 code=1",
    "start; ready #1; exited #1 code=0",
    "start; ready #1; exited #1 code=78",
    "start; start-failed #1 permanent",
    "start; ready #1; stop; exited #1 code=0",
    "start; ready #1; restart; exited #1 code=0",
    "start; ready #1; stop kill; exited #1 signal=KILL",
    "start; exited #1 code=1; released #1",
    "start; exited #1 code=1; released #1; fired backoff #1; exited #2 code=1; released #2; fired backoff #2",
    "start; ready #1; exited #1 code=0; released #1",
    "start; ready #1; stop; exited #1 code=0; released #1",
    "start; ready #1; shutdown; exited #1 code=0; released #1",
];

/// Every event; the run is renamed to the current one.
const EVENTS: [&str; 33] = [
    "start",
    "stop",
    "stop grace=never",
    "stop kill",
    "stop on-next-exit",
    "shutdown",
    "restart",
    "signal HUP",
    "policy-changed",
    "reset",
    "retry",
    "started #1",
    "start-failed #1 transient",
    "start-failed #1 permanent",
    "ready #1",
    "ping #1",
    "extended #1 30s",
    "unhealthy #1",
    "exited #1 code=0",
    "exited #1 signal=KILL",
    "released #1",
    "released #1 leaked",
    "fired start-timeout #1",
    "fired healthy #1",
    "fired stop-grace #1",
    "fired kill-window #1",
    "fired backoff #1",
    "fired watchdog #1",
    "fired window #1",
    "recovered #1 alive",
    "recovered #1 code=1",
    "recovered #1 rebooted",
    "exited #99 code=1",
];

/// The phase × event table, as Markdown.
///
/// # Errors
/// If a text of this module cannot be read.
pub fn answers() -> Result<String> {
    let notify: Policy = POLICY.parse()?;
    let exec: Policy = POLICY.replace("readiness=notify", "readiness=exec").parse()?;
    let mut page = format!(
        "# Every answer\n\n\
        Printed from `Policy::step`. Each table answers one event. A state is a phase, its reason, and the\n\
        outcome of the run if it has ended; run ids are left out. Not listed are states that ignore the\n\
        event: they stand below each table.\n\n\
        The policy has every feature, so that every cell has something to say:\n\
        `{POLICY}`.\n\
        One start counts in its window, and two where it is *throttled*.\n"
    );
    for text in EVENTS {
        let event: Event = text.parse()?;
        answer(&mut page, text, event, &notify)?;
        if matches!(event, Event::Started { .. }) {
            answer(&mut page, &format!("{text}, with readiness=exec"), event, &exec)?;
        }
    }
    Ok(page)
}

fn answer(page: &mut String, title: &str, event: Event, policy: &Policy) -> Result<()> {
    let mut rows = String::new();
    let mut ignored: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for script in STATES {
        let state = reach(script, policy)?;
        let foreign = matches!(event.run(), Some(run) if run.as_u32() > 9);
        let event = if foreign { event } else { about(event, state.run())? };
        let step = policy.step(state, event);
        if step.note == Note::Applied {
            let to = if step.state.phase() == state.phase() {
                "–".into()
            } else {
                format!("**{}**", step.state.phase())
            };
            writeln!(
                rows,
                "| {} | {to} | {} | {} |",
                label(state),
                step.state.reason(),
                commands(step)
            )?;
        } else {
            ignored.entry(step.note.name()).or_default().push(label(state));
        }
    }
    writeln!(page, "\n## `{title}`")?;
    if !rows.is_empty() {
        write!(page, "\n| in | to | reason | commands |\n| --- | --- | --- | --- |\n{rows}")?;
    }
    for (note, labels) in ignored {
        let labels =
            if labels.len() == STATES.len() { "every state".into() } else { labels.join(", ") };
        write!(page, "\n*{note}* in {labels}.\n")?;
    }
    Ok(())
}

fn reach(script: &str, policy: &Policy) -> Result<State> {
    let mut state = State::INITIAL;
    for event in script.split("; ").filter(|event| !event.is_empty()) {
        let step = policy.step(state, event.parse()?);
        if step.note != Note::Applied {
            return Err(format!("{script}: {event} does not count").into());
        }
        state = step.state;
    }
    Ok(state)
}

fn label(state: State) -> String {
    let (phase, reason) = (state.phase(), state.reason());
    match state.exit() {
        Some(exit) => format!("{phase} ({reason}, {exit})"),
        None if state.outcome() == monitor_core::Outcome::None => format!("{phase} ({reason})"),
        None => format!("{phase} ({reason}, {})", state.outcome()),
    }
}

/// The commands without run ids, because all are about the run of the state after the step.
fn commands(step: Step) -> String {
    let mut commands = Vec::new();
    step.for_each(|action| {
        let words = action.to_string();
        let words: Vec<&str> = words.split(' ').filter(|word| !word.starts_with('#')).collect();
        commands.push(words.join(" "));
    });
    if commands.is_empty() { "–".into() } else { commands.join("; ") }
}

/// The same event about another run.
fn about(event: Event, run: RunId) -> Result<Event> {
    Ok(event.to_string().replace("#1", &run.to_string()).parse()?)
}

/// The changes of phase as Mermaid diagrams, found by stepping each reachable state with each
/// event.
///
/// # Errors
/// If a text of this module cannot be read.
pub fn diagrams() -> Result<String> {
    let mut lives = BTreeMap::new();
    let mut recoveries = BTreeMap::new();
    for policy in [
        POLICY.to_string(),
        POLICY.replace("readiness=notify", "readiness=exec"),
        POLICY.replace(":wait:all", ":stop:all"),
        POLICY.replace("on-failure", "always"),
        "restart=no first-start=never".into(),
    ] {
        explore(&policy.parse()?, &mut lives, &mut recoveries)?;
    }
    Ok(format!(
        "# Every change of phase\n\n\
        Printed from `Policy::step`: each arrow is a change of phase that some policy makes in some reachable\n\
        state, with the events that cause it. Events that leave the phase as it is are not drawn.\n\n\
        While the monitor lives:\n\n{}\nWhen the monitor is started again with a saved state:\n\n{}",
        diagram(&lives)?,
        diagram(&recoveries)?
    ))
}

type Arrows = BTreeMap<(Phase, Phase), BTreeSet<usize>>;

/// Bounds on unbounded counters; beyond them the phases repeat.
const LEVEL_MAX: u8 = 1;
const STRIKES_MAX: u16 = 6;
const STARTS_MAX: u8 = 3;

fn explore(policy: &Policy, lives: &mut Arrows, recoveries: &mut Arrows) -> Result<()> {
    let mut events = Vec::new();
    for (place, text) in EVENTS.iter().enumerate() {
        let event: Event = text.parse()?;
        events.push((place, event, about(event, RunId::NONE)?));
    }
    let mut seen = BTreeSet::from([State::INITIAL]);
    let mut queue = vec![State::INITIAL];
    while let Some(state) = queue.pop() {
        for (place, of_first, of_none) in &events {
            let event = if state.run() == RunId::NONE { *of_none } else { *of_first };
            let after = policy.step(state, event).state.canonical();
            if after.phase() != state.phase() {
                let recovery = matches!(event, Event::Recovered { .. });
                let arrows = if recovery { &mut *recoveries } else { &mut *lives };
                arrows.entry((state.phase(), after.phase())).or_default().insert(*place);
            }
            let bounded = after.level() <= LEVEL_MAX
                && after.strikes() <= STRIKES_MAX
                && after.starts() <= STARTS_MAX;
            if bounded && seen.insert(after) {
                queue.push(after);
            }
        }
    }
    Ok(())
}

fn diagram(arrows: &Arrows) -> Result<String> {
    let mut text =
        String::from("```mermaid\nstateDiagram-v2\n    state \"backing-off\" as backing_off\n");
    if arrows.keys().any(|(from, _)| *from == Phase::Idle) {
        text.push_str("    [*] --> idle\n");
    }
    for ((from, to), events) in arrows {
        let mut names: Vec<String> = Vec::new();
        for place in events {
            let name = brief(EVENTS[*place]);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let (from, to) = (from.name().replace('-', "_"), to.name().replace('-', "_"));
        writeln!(text, "    {from} --> {to}: {}", names.join(", "))?;
    }
    text.push_str("```\n");
    Ok(text)
}

/// The name of an event without its details: `exited`, `fired backoff`, `stop kill`, `recovered
/// alive`.
fn brief(event: &str) -> String {
    if event.starts_with("recovered") && event.contains('=') {
        return "recovered dead".into();
    }
    let details = ["HUP", "leaked", "transient", "permanent"];
    let words =
        event.split(' ').filter(|word| !word.contains(['#', '=']) && !details.contains(word));
    words.collect::<Vec<_>>().join(" ")
}
