//! The matrix: each scenario for each supervisor, so many times.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::{env, fs, io, thread};

use serde::Serialize;

use super::descendants::{adopt_orphans, end_descendants};
use super::feature::Unfit;
use super::player;
use super::recording::Recording;
use super::rules::{Finding, Verdict};
use super::scenario::Scenario;
use super::supervisor::{Deviation, Supervisor};

/// What is to be observed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The supervisors, each with its file.
    pub supervisors: Vec<(PathBuf, Supervisor)>,
    /// The scenarios.
    pub scenarios: Vec<&'static Scenario>,
    /// How often each scenario is played.
    pub repeat: u32,
    /// How many scenes are played at a time.
    pub jobs: usize,
}

/// The results: a column for each supervisor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Matrix {
    /// The scenarios, in the order of the rows.
    pub scenarios: Vec<&'static Scenario>,
    /// The columns.
    pub columns: Vec<Column>,
}

/// The results of one supervisor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Column {
    /// The name of the supervisor.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The program that is not installed, and the Debian package that has it.
    pub missing: Option<(String, Option<String>)>,
    /// The results, in the order of the rows. Empty if a program is missing.
    pub cells: Vec<Cell>,
}

/// The result of one scenario for one supervisor.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cell {
    /// The supervisor lacks a feature that the scenario needs.
    Unfit(Unfit),
    /// The scenario was played.
    Played(Tally),
}

/// The verdicts of the runs of one scenario.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Tally {
    /// In how many runs the rule held.
    pub held: u32,
    /// In how many runs the rule was broken.
    pub broken: u32,
    /// In how many runs the scene did not come about, and why.
    pub missed: u32,
    /// Why the last of these did not.
    pub missed_because: Option<String>,
    /// The first break.
    pub finding: Option<Finding>,
    /// The facts of the first break.
    #[serde(skip)]
    pub recording: Option<Recording>,
    /// The deviation that the file declares.
    pub declared: Option<String>,
    /// Why a scene could not be played.
    pub error: Option<String>,
}

impl Tally {
    /// Returns the number of runs.
    #[must_use]
    pub const fn runs(&self) -> u32 {
        self.held + self.broken + self.missed
    }

    /// Returns whether the cell is red: the rule was broken without a declared deviation, or a
    /// scene could not be played.
    #[must_use]
    pub const fn is_red(&self) -> bool {
        self.error.is_some() || self.broken > 0 && self.declared.is_none()
    }

    fn add(&mut self, verdict: Verdict, recording: Recording) {
        match verdict {
            Verdict::Holds => self.held += 1,
            Verdict::Missed(reason) => {
                self.missed += 1;
                self.missed_because = Some(reason);
            }
            Verdict::Broken(finding) => {
                self.broken += 1;
                if self.finding.is_none() {
                    self.finding = Some(finding);
                    self.recording = Some(recording);
                }
            }
        }
    }
}

impl Matrix {
    /// Returns whether any cell is red.
    #[must_use]
    pub fn is_red(&self) -> bool {
        let mut cells = self.columns.iter().flat_map(|column| &column.cells);
        cells.any(|cell| matches!(cell, Cell::Played(tally) if tally.is_red()))
    }
}

/// How often a scene that did not come about is played again.
const AGAIN: u32 = 4;

/// One scene to play: the column and the row.
type Place = (usize, usize);

/// Plays all scenes, and judges them. `done` is called after each scene with the number of those
/// that are done, and of all. Returns `None` if `interrupted` became true.
///
/// Everything that was started is ended, also then. The process must have no other children.
///
/// # Errors
/// The kernel refuses to hand over orphans, or a process cannot be ended.
pub fn observe(
    plan: &Plan,
    interrupted: &AtomicBool,
    mut done: impl FnMut(usize, usize),
) -> io::Result<Option<Matrix>> {
    adopt_orphans()?;
    let path = search_path()?;
    let mut matrix = Matrix {
        scenarios: plan.scenarios.clone(),
        columns: plan.supervisors.iter().map(|(file, it)| column(file, it, plan, &path)).collect(),
    };
    let queue = queue(plan, &matrix);
    let all = queue.len();
    let queue = Mutex::new(queue);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..plan.jobs {
            let (sender, queue, path) = (sender.clone(), &queue, path.as_str());
            scope.spawn(move || {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(place) = next() {
                    let played = play(plan, place, path, interrupted);
                    if sender.send((place, played)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (nth, ((column, row), played)) in receiver.iter().enumerate() {
            let cells = matrix.columns.get_mut(column).map(|column| &mut column.cells);
            if let Some(Cell::Played(tally)) = cells.and_then(|cells| cells.get_mut(row)) {
                match played {
                    Ok(Some((verdict, recording))) => tally.add(verdict, recording),
                    Ok(None) => {}
                    Err(error) => tally.error = Some(error.to_string()),
                }
            }
            done(nth + 1, all);
        }
    });
    let left = end_descendants()?;
    if !left.is_empty() {
        return Err(io::Error::other(format!("the processes {left:?} outlive a kill")));
    }
    Ok((!interrupted.load(Ordering::Relaxed)).then_some(matrix))
}

/// The folders of programs: that of this program first, which has those of the workspace.
fn search_path() -> io::Result<String> {
    let own = env::current_exe()?;
    let own = own.parent().map(Path::to_path_buf);
    let path = env::var_os("PATH").unwrap_or_default();
    let all = env::join_paths(own.into_iter().chain(env::split_paths(&path)));
    all.map_err(io::Error::other)?
        .into_string()
        .map_err(|path: OsString| io::Error::other(format!("PATH is no text: {}", path.display())))
}

fn column(file: &Path, supervisor: &Supervisor, plan: &Plan, path: &str) -> Column {
    let missing = supervisor.programs.get_ref().iter().find(|program| !is_installed(program, path));
    let cell = |scenario: &&'static Scenario| match scenario.unfit(supervisor) {
        Some(unfit) => Cell::Unfit(unfit),
        None => {
            let declared = supervisor.deviations.iter();
            let declared = declared.filter(|known| known.rule.get_ref() == scenario.id);
            let text = |known: &Deviation| format!("{} ({})", known.reason, known.source);
            Cell::Played(Tally { declared: declared.map(text).next(), ..Tally::default() })
        }
    };
    Column {
        name: supervisor.name().to_owned(),
        file: file.into(),
        cells: if missing.is_some() {
            Vec::new()
        } else {
            plan.scenarios.iter().map(cell).collect()
        },
        missing: missing.map(|program| (program.clone(), supervisor.debian.clone())),
    }
}

fn is_installed(program: &str, path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    env::split_paths(path).any(|folder| {
        let found = fs::metadata(folder.join(program));
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// All scenes: the supervisors in turn, so that none has the machine for itself.
fn queue(plan: &Plan, matrix: &Matrix) -> VecDeque<Place> {
    let mut places = VecDeque::new();
    for _ in 0..plan.repeat {
        for row in 0..plan.scenarios.len() {
            for (column, it) in matrix.columns.iter().enumerate() {
                if matches!(it.cells.get(row), Some(Cell::Played(_))) {
                    places.push_back((column, row));
                }
            }
        }
    }
    places
}

/// Plays a scene until it comes about.
fn play(
    plan: &Plan,
    (column, row): Place,
    path: &str,
    interrupted: &AtomicBool,
) -> io::Result<Option<(Verdict, Recording)>> {
    let missing = || io::Error::from(io::ErrorKind::InvalidInput);
    let (file, supervisor) = plan.supervisors.get(column).ok_or_else(missing)?;
    let scenario = plan.scenarios.get(row).ok_or_else(missing)?;
    let mut times = 0;
    loop {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Some(recording) = player::play(file, scenario, path, interrupted)? else {
            return Ok(None);
        };
        let verdict = scenario.judge(&recording, supervisor);
        times += 1;
        if !matches!(verdict, Verdict::Missed(_)) || times > AGAIN {
            return Ok(Some((verdict, recording)));
        }
    }
}

impl Column {
    /// Returns what is said in the place of results, if a program is missing.
    #[must_use]
    pub fn not_installed(&self) -> Option<String> {
        let (program, package) = self.missing.as_ref()?;
        let package = package.as_ref().map(|package| format!(" (Debian package {package})"));
        Some(format!("not installed: {program}{}", package.unwrap_or_default()))
    }

    /// Returns the results by the names of their rules.
    #[must_use]
    pub fn by_rule<'a>(&'a self, matrix: &'a Matrix) -> BTreeMap<&'static str, &'a Cell> {
        matrix.scenarios.iter().map(|scenario| scenario.id).zip(&self.cells).collect()
    }
}
