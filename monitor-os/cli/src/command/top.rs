//! `monitor top`: all monitors and their units, live on a terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::{self, ExitCode};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anstyle::AnsiColor;
use monitor_os::{Moment, StopSignals, now};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};
use ratatui::{DefaultTerminal, Frame};

use super::client::{reply, send};
use super::list::{Listing, UnitListing, list, poll};
use crate::cli::target::Target;
use crate::control::client::ReplyTimeout;
use crate::control::reply::{ChangeReply, EventsReply};
use crate::control::request::{ChangeRequest, EventsRequest};
use crate::names::StateDirError;
use crate::view::diagnostics::failed;

use crate::view::table::{self, COLUMNS, HEADINGS};

/// Shows the units of these monitors, or of all, until somebody has seen enough.
pub(crate) fn top(names: Vec<String>) -> ExitCode {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return list(&names);
    }
    let watched = StopSignals::new().and_then(|signals| {
        // Ends with the program: it has nothing to clean up but the terminal.
        thread::Builder::new().spawn(move || {
            while let Ok(arrived) = signals.wait() {
                if let Some(signal) = arrived.first() {
                    ratatui::restore();
                    process::exit(SIGNALLED + i32::from(signal.number()));
                }
            }
        })
    });
    if let Err(error) = watched {
        return failed(&error);
    }
    // Puts the terminal back after a panic as well.
    let ended = match ratatui::try_init() {
        Ok(mut terminal) => View::new(names).show(&mut terminal),
        Err(error) => Err(error),
    };
    ratatui::restore();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The contents of the terminal.
#[derive(Debug)]
struct View {
    names: Vec<String>,
    units: Vec<UnitListing>,
    /// The CPU time of each tree when it was looked at before, by its unit and main process.
    before: BTreeMap<(String, u32), (Moment, u64)>,
    /// In percent of one CPU, by the name of the unit.
    cpu: BTreeMap<String, u64>,
    selected: TableState,
    /// Why monitors cannot be polled.
    errors: Vec<String>,
    /// The last message about a command.
    message: Option<String>,
    /// A command that waits for confirmation.
    confirming: Option<KeyCommand>,
    /// The last events of a unit, in the place of the table.
    events: Option<(String, Vec<String>)>,
}

/// Polls the monitors in a thread of its own, so that a monitor that hangs does not block the keys.
struct Poller {
    /// Each requests one poll.
    wanted: Sender<()>,
    found: Receiver<(Moment, Result<Listing, StateDirError>)>,
}

impl Poller {
    fn begin(names: Vec<String>) -> io::Result<Self> {
        let (wanted, asked) = channel();
        let (tell, found) = channel();
        // Ends when nobody asks any more, at the latest with the program.
        thread::Builder::new().spawn(move || {
            for () in asked {
                if tell.send((now(), poll(&names, ReplyTimeout::Glance))).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { wanted, found })
    }
}

/// A command by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyCommand {
    Start,
    Restart,
    Stop,
}

impl KeyCommand {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }

    const fn request(self) -> ChangeRequest {
        match self {
            Self::Start => ChangeRequest::Start,
            Self::Restart => ChangeRequest::Restart,
            Self::Stop => ChangeRequest::Stop,
        }
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TopLoop {
    Continue,
    Quit,
}

impl View {
    fn new(names: Vec<String>) -> Self {
        Self {
            names,
            units: Vec::new(),
            before: BTreeMap::new(),
            cpu: BTreeMap::new(),
            selected: TableState::default().with_selected(0),
            errors: Vec::new(),
            message: None,
            confirming: None,
            events: None,
        }
    }

    fn show(&mut self, terminal: &mut DefaultTerminal) -> io::Result<()> {
        let poller = Poller::begin(self.names.clone())?;
        let mut awaited = poller.wanted.send(()).is_ok();
        loop {
            while let Ok((at, found)) = poller.found.try_recv() {
                awaited = false;
                match found {
                    Ok(found) => self.update(at, found),
                    Err(error) => return Err(io::Error::other(error.to_string())),
                }
                terminal.draw(|frame| self.draw(frame))?;
            }
            if event::poll(if awaited { LOOK } else { PAUSE })?
                && let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
            {
                if self.press(key) == TopLoop::Quit {
                    return Ok(());
                }
                terminal.draw(|frame| self.draw(frame))?;
            }
            if !awaited {
                awaited = poller.wanted.send(()).is_ok();
            }
        }
    }

    /// Takes in what was found at that moment.
    fn update(&mut self, at: Moment, (units, errors): Listing) {
        let mut before = BTreeMap::new();
        self.cpu.clear();
        for unit in &units {
            if let Some((pid, tree)) = unit.row.pid.zip(unit.row.tree) {
                let key = (unit.row.name.clone(), pid);
                if let Some((then, used)) = self.before.get(&key) {
                    let passed = (at.nanos_since(*then) / NANOS_PER_MILLI).max(1);
                    let percent = tree.cpu_ms.saturating_sub(*used) * 100 / passed;
                    self.cpu.insert(unit.row.name.clone(), percent);
                }
                before.insert(key, (at, tree.cpu_ms));
            }
        }
        self.before = before;
        self.units = units;
        self.errors = errors;
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing")]
    fn press(&mut self, key: KeyEvent) -> TopLoop {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if let Some(wanted) = self.confirming.take() {
            if key.code == KeyCode::Char('y') {
                self.send(wanted);
            }
            return TopLoop::Continue;
        }
        match key.code {
            KeyCode::Char('c') if control => return TopLoop::Quit,
            KeyCode::Char('q' | 'e') | KeyCode::Esc if self.events.is_some() => self.events = None,
            KeyCode::Char('q') | KeyCode::Esc => return TopLoop::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.selected.select_next(),
            KeyCode::Up | KeyCode::Char('k') => self.selected.select_previous(),
            KeyCode::Char('s') => self.confirming = self.chosen().map(|_| KeyCommand::Stop),
            KeyCode::Char('r') => self.confirming = self.chosen().map(|_| KeyCommand::Restart),
            KeyCode::Char('t') => self.confirming = self.chosen().map(|_| KeyCommand::Start),
            KeyCode::Char('e') => {
                if let Some((name, target)) = self.chosen() {
                    self.events = Some((name, entry(&target)));
                }
            }
            _ => {}
        }
        TopLoop::Continue
    }

    /// The unit under the cursor.
    fn chosen(&self) -> Option<(String, Target)> {
        let unit = self.units.get(self.selected.selected()?)?;
        Some((unit.row.name.clone(), unit.target.clone()))
    }

    fn send(&mut self, wanted: KeyCommand) {
        let Some((name, target)) = self.chosen() else { return };
        self.message = Some(match reply(&target, wanted.request()) {
            Ok(ChangeReply::Handled(handled)) => format!("{name}: {}", handled.explain),
            Ok(ChangeReply::End) => format!("{name}: it has no units"),
            Err(error) => format!("{name}: {error}"),
        });
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let said: Vec<&String> = self.errors.iter().chain(&self.message).collect();
        let foot = u16::try_from(said.len()).unwrap_or(FOOT_MAX).min(FOOT_MAX);
        let parts = [Constraint::Fill(1), Constraint::Length(foot), Constraint::Length(1)];
        let [main, below, keys] = frame.area().layout(&Layout::vertical(parts));
        match &self.events {
            Some((name, lines)) => {
                let room = usize::from(main.height).saturating_sub(1);
                let last = lines.iter().skip(lines.len().saturating_sub(room));
                let head = Line::from(format!("The last events of {name}")).style(HEAD);
                let text = std::iter::once(head).chain(last.map(|line| Line::from(line.as_str())));
                frame.render_widget(Paragraph::new(text.collect::<Vec<_>>()), main);
            }
            None => {
                let table = self.table();
                frame.render_stateful_widget(table, main, &mut self.selected);
            }
        }
        let lines: Vec<_> = said.into_iter().map(|line| Line::from(line.as_str())).collect();
        frame.render_widget(Paragraph::new(lines), below);
        let chosen = self.chosen().map(|(name, _)| name).unwrap_or_default();
        let text = match (self.confirming, &self.events) {
            (Some(wanted), _) => format!("{} {chosen}? y yes, any other key no", wanted.name()),
            (None, Some(_)) => "q back".into(),
            (None, None) => KEYS.into(),
        };
        frame.render_widget(Paragraph::new(text).style(HEAD), keys);
    }

    fn table(&self) -> Table<'static> {
        let units = table::table(self.units.iter().map(|unit| &unit.row));
        let cpu = |unit: &UnitListing| {
            self.cpu.get(&unit.row.name).map_or_else(|| "-".into(), |percent| format!("{percent}%"))
        };
        let rows = units.rows().zip(&self.units).map(|(row, unit)| {
            let mut cells: Vec<_> = row.iter().map(cell).collect();
            cells.insert(CPU_COLUMN, Cell::from(cpu(unit)));
            Row::new(cells)
        });
        let mut heads: Vec<_> = HEADINGS.to_vec();
        heads.insert(CPU_COLUMN, "CPU");
        let mut columns: Vec<_> = units
            .widths()
            .into_iter()
            .map(|width| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)))
            .collect();
        columns.insert(CPU_COLUMN, Constraint::Length(5));
        if let Some(last) = columns.get_mut(COLUMNS) {
            *last = Constraint::Fill(1);
        }
        Table::new(rows, columns)
            .header(Row::new(heads).style(HEAD))
            .column_spacing(2)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
    }
}

/// The last events of a unit, as lines.
fn entry(target: &Target) -> Vec<String> {
    let request = EventsRequest { follow: false };
    let mut replies = match send(target, request, ReplyTimeout::Short) {
        Ok(replies) => replies,
        Err(error) => return vec![error.to_string()],
    };
    let mut lines = Vec::new();
    loop {
        match replies.next() {
            Ok(EventsReply::Event(entry)) => {
                let at = entry.at().to_string();
                lines.extend(entry.text.map(|text| format!("{at:>9}  {text}")));
            }
            Ok(EventsReply::Missed(_)) => {}
            Ok(EventsReply::End) => return lines,
            Err(error) => {
                lines.push(error.to_string());
                return lines;
            }
        }
    }
}

fn cell(table::Cell(text, style): &table::Cell) -> Cell<'static> {
    let color = match style.get_fg_color() {
        Some(anstyle::Color::Ansi(AnsiColor::Green)) => Color::Green,
        Some(anstyle::Color::Ansi(AnsiColor::Yellow)) => Color::Yellow,
        Some(anstyle::Color::Ansi(AnsiColor::Red)) => Color::Red,
        Some(_) | None => Color::Reset,
    };
    Cell::from(text.clone()).style(Style::new().fg(color))
}

const KEYS: &str = "q quit   up/down choose   t start   r restart   s stop   e events";
const HEAD: Style = Style::new().add_modifier(Modifier::DIM);
const CPU_COLUMN: usize = 6;
const FOOT_MAX: u16 = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is asked whether a look has ended.
const LOOK: Duration = Duration::from_millis(50);
const NANOS_PER_MILLI: u64 = 1_000_000;
/// By the shell's convention a signal n is the exit status 128 + n.
const SIGNALLED: i32 = 128;

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::report::status_report::UnitSummary;

    fn view() -> View {
        let listed = |name: &str, phase: &str| UnitListing {
            target: Target { state_dir: "/no/such/place".into(), unit: None },
            row: UnitSummary {
                name: name.into(),
                phase: phase.into(),
                run: 2,
                pid: Some(7),
                since_ms: Some(1_500),
                down: false,
                restarts: 1,
                last: Some("code=3".into()),
                next: "attempt #3".into(),
                left_ms: Some(2_000),
                tree: None,
            },
        };
        let units = vec![listed("fleet/db", "running"), listed("web", "backing-off")];
        View { units, ..View::new(Vec::new()) }
    }

    fn rendered(view: &mut View, size: (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn press(view: &mut View, key: char) -> TopLoop {
        view.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
    }

    #[test]
    fn units_are_shown_with_what_comes_next() {
        let mut view = view();
        view.cpu.insert("web".into(), 42);
        let text = rendered(&mut view, (120, 8));
        for word in ["UNIT", "fleet/db", "backing-off #2", "42%", "code=3", "attempt #3 in 2.00s"] {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
        assert!(text.contains("q quit"), "{text}");
        // Any size is drawn.
        for size in [(1, 1), (20, 2), (300, 3)] {
            rendered(&mut view, size);
        }
    }

    /// Goal: a slip of the finger stops nothing.
    #[test]
    fn commands_are_sent_after_a_yes_only() {
        let mut view = view();
        view.press(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
        press(&mut view, 's');
        assert!(rendered(&mut view, (80, 8)).contains("stop web? y yes"));
        assert_eq!(press(&mut view, 'q'), TopLoop::Continue);
        assert_eq!(view.message, None);
        press(&mut view, 's');
        press(&mut view, 'y');
        assert_eq!(view.message.as_deref(), Some("web: no monitor runs there"));
        assert_eq!(press(&mut view, 'q'), TopLoop::Quit);
    }
}
