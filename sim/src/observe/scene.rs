//! A scene: a supervisor in a folder of its own, what is asked of it, and what is seen.

use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, io, process};

use monitor_core::{Millis, Policy};
use monitor_os::{Moment, now};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::child_lines::{ChildLines, NewProcess};
use super::descendants::{adopt_orphans, descendants, end_descendants, kill, reap_orphans};
use super::recording::{Fact, Process, Recording, TimedFact};
use super::rules;
use super::scenario::{Scenario, Step};
use super::supervisor::{CommandLine, Request, Supervisor};
use super::template::{Placeholder, Template};
use crate::case::definition::Case;
use crate::real::ScriptedChild;
use crate::real::process_identity::ProcessIdentity;
use crate::real::scripted_child::NAME;

/// Plays a scenario in a folder that nothing else uses, and ends everything that it started.
///
/// The process must have no other children.
pub(super) fn play(
    supervisor: &Supervisor,
    scenario: &Scenario,
    folder: &Path,
) -> io::Result<Recording> {
    adopt_orphans()?;
    let mut scene = Scene::set(supervisor, scenario, folder)?;
    let played = scene.play();
    // What follows belongs to no scene.
    let mut recording = std::mem::take(&mut scene.recording);
    let ended = scene.end();
    played.and(ended)?;
    recording.facts.sort_by_key(|fact| fact.at);
    Ok(recording)
}

struct Scene<'a> {
    supervisor: &'a Supervisor,
    scenario: &'a Scenario,
    folder: &'a Path,
    origin: Moment,
    recording: Recording,
    lines: ChildLines,
    living: Vec<Living>,
    commands: Vec<Running>,
    asked: usize,
    /// The supervisor, while it lives.
    process: Option<Child>,
    /// The command that asks whether the supervisor takes requests.
    readiness: Option<u32>,
    starter: u32,
}

/// A process that was not yet seen to be gone.
struct Living {
    pid: u32,
    pidfd: OwnedFd,
}

/// A command that has not ended.
struct Running {
    request: Request,
    number: usize,
    child: Child,
    output: PathBuf,
}

/// How long a thing may take until it counts as never happening.
const DEADLINE: Millis = Millis::from_secs(60);

/// How long the supervisor may take to end at the end of a scene, before everything is killed.
const END: Millis = Millis::from_secs(10);

/// How much longer than delays nothing must happen, so that nothing more will happen.
const QUIET: Millis = Millis::new(1_500);

/// The name of the unit.
const UNIT: &str = "web";

impl<'a> Scene<'a> {
    /// Writes the files of the scene.
    fn set(
        supervisor: &'a Supervisor,
        scenario: &'a Scenario,
        folder: &'a Path,
    ) -> io::Result<Self> {
        let mut case = Case::new(Policy::default());
        case.scripts = (scenario.scripts)(supervisor);
        let record = folder.join("record");
        let child = ScriptedChild::write(folder, "scene", &case, 0)?.with_record(record.clone());
        let program = env::current_exe()?;
        let words = [program, NAME.into()].into_iter().chain(child.words());
        let quoted =
            words.map(|word| format!(" '{}'", word.display().to_string().replace('\'', "'\\''")));
        let script = format!("#!/bin/sh\nexec{}\n", quoted.collect::<String>());
        let scene = Self {
            supervisor,
            scenario,
            folder,
            origin: now(),
            recording: Recording::default(),
            lines: ChildLines::new(record),
            living: Vec::new(),
            commands: Vec::new(),
            asked: 0,
            process: None,
            readiness: None,
            starter: parent_id(),
        };
        write(&folder.join(PROGRAM), &script, true)?;
        for file in &supervisor.files {
            let path = folder.join(scene.fill(file.path.get_ref()));
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            write(&path, &scene.fill(&file.text), file.program)?;
        }
        Ok(scene)
    }

    fn fill(&self, template: &Template) -> String {
        template.fill(|placeholder| match placeholder {
            Placeholder::Dir => self.folder.display().to_string(),
            Placeholder::Name => UNIT.to_owned(),
            Placeholder::Program => self.folder.join(PROGRAM).display().to_string(),
            Placeholder::Policy => {
                let text = self.supervisor.policies.get_ref().get(&self.scenario.policy);
                text.map(|text| self.fill(text)).unwrap_or_default()
            }
        })
    }

    fn command(&self, line: &CommandLine, output: &Path) -> io::Result<Child> {
        let words: Vec<_> = line.words().iter().map(|word| self.fill(word)).collect();
        let [program, arguments @ ..] = &words[..] else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let out = File::create(output)?;
        Command::new(program)
            .args(arguments)
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
    }

    fn play(&mut self) -> io::Result<()> {
        self.start_supervisor()?;
        for step in (self.scenario.steps)(self.supervisor) {
            if self.recording.waited_in_vain().is_none() {
                self.step(step)?;
            }
        }
        Ok(())
    }

    fn start_supervisor(&mut self) -> io::Result<()> {
        self.process =
            Some(self.command(&self.supervisor.run, &self.folder.join("supervisor.log"))?);
        let Some(ready) = &self.supervisor.ready else { return Ok(()) };
        let deadline = now().after(DEADLINE);
        loop {
            let mut child = self.command(ready, &self.folder.join("ready.log"))?;
            self.readiness = Some(child.id());
            let mut status = None;
            while status.is_none() {
                self.look()?;
                status = child.try_wait()?;
                if now() > deadline {
                    child.kill()?;
                    self.vain("the supervisor takes requests");
                    return child.wait().map(drop);
                }
            }
            if status.is_some_and(|status| status.success()) {
                return Ok(());
            }
        }
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Begun(count) => self
                .until(|it| it.recording.runs().len() >= count, || format!("run {count} begins")),
            Step::Gone(count) => self.until(
                |it| it.recording.runs().iter().filter(|run| run.gone.is_some()).count() >= count,
                || format!("run {count} ends"),
            ),
            Step::Ended => {
                let asked = self.recording.askings().last().map_or(0, |asking| asking.asked);
                self.until(
                    |it| {
                        let mut runs = it.recording.runs().into_iter();
                        runs.all(|run| run.began > asked || run.gone.is_some())
                    },
                    || "the run ends".to_owned(),
                )
            }
            Step::Up => self.until(|it| !it.is_down(), || "a run begins".to_owned()),
            Step::Signalled => self.until(
                |it| it.recording.runs().first().is_some_and(|run| !run.signals.is_empty()),
                || "the run receives a signal".to_owned(),
            ),
            Step::Ask(request) => {
                self.send(request)?;
                self.answers()
            }
            Step::Send(request) => self.send(request),
            Step::Answers => self.answers(),
            Step::Pause(time) => self.pause_until(now().after(time)),
            Step::BeforeRestart(lead) => self.before_restart(lead),
            Step::Down => {
                let quiet = self.quiet();
                self.until(
                    |it| it.is_down() && it.is_still(quiet),
                    || "no run lives, and none begins any more".to_owned(),
                )
            }
            Step::Still => {
                let quiet = self.quiet();
                self.until(|it| it.is_still(quiet), || "nothing happens any more".to_owned())
            }
            Step::Quiet => self.pause_until(now().after(self.quiet())),
            Step::EndSupervisor => {
                self.add(Fact::ToldToEnd);
                self.signal_supervisor();
                Ok(())
            }
            Step::Crash => self.crash(),
        }
    }

    /// How long nothing must happen, so that nothing more will happen.
    fn quiet(&self) -> Millis {
        let delay = self.supervisor.longest_delay();
        delay.saturating_add(self.supervisor.restarts.settles.0).saturating_add(QUIET)
    }

    fn is_down(&self) -> bool {
        self.recording.runs().iter().all(|run| run.gone.is_some())
    }

    fn is_still(&self, quiet: Millis) -> bool {
        let last = self.recording.facts.iter().map(|fact| fact.at).max().unwrap_or(0);
        self.commands.is_empty() && self.elapsed() > last + rules::nanos(quiet)
    }

    fn elapsed(&self) -> u64 {
        now().nanos_since(self.origin)
    }

    fn add(&mut self, fact: Fact) {
        self.recording.facts.push(TimedFact { at: self.elapsed(), fact });
    }

    fn vain(&mut self, what: impl Into<String>) {
        self.add(Fact::Waited { vain: what.into() });
    }

    fn until(
        &mut self,
        is_so: impl Fn(&Self) -> bool,
        what: impl Fn() -> String,
    ) -> io::Result<()> {
        let deadline = now().after(DEADLINE);
        while !is_so(self) {
            if now() > deadline {
                self.vain(what());
                return Ok(());
            }
            self.look()?;
        }
        Ok(())
    }

    fn pause_until(&mut self, until: Moment) -> io::Result<()> {
        while now() < until {
            self.look()?;
        }
        Ok(())
    }

    fn send(&mut self, request: Request) -> io::Result<()> {
        let Some(line) = self.supervisor.requests.command(request) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let number = self.asked + 1;
        self.asked = number;
        let output = self.folder.join(format!("command-{number}.log"));
        self.add(Fact::Asked { request, command: number });
        let child = self.command(line, &output)?;
        self.commands.push(Running { request, number, child, output });
        Ok(())
    }

    fn answers(&mut self) -> io::Result<()> {
        self.until(|it| it.commands.is_empty(), || "each request is answered".to_owned())
    }

    /// Waits until shortly before the earliest restart.
    fn before_restart(&mut self, lead: Millis) -> io::Result<()> {
        let askings = self.recording.askings();
        let start = askings.iter().rev().find(|asking| asking.request == Request::Start);
        let since = start.map_or(0, |start| start.asked);
        let new = |it: &Self| {
            let runs = it.recording.runs().into_iter();
            runs.filter(|run| run.made + rules::TOLERANCE >= since).collect::<Vec<Process>>()
        };
        self.until(
            |it| new(it).last().is_some_and(|run| run.gone.is_some()),
            || "a run begins and ends".to_owned(),
        )?;
        let runs = new(self);
        let Some(last) = runs.last() else { return Ok(()) };
        let due = rules::due(self.supervisor, last, runs.len() - 1);
        let left = due.saturating_sub(rules::nanos(lead)).saturating_sub(self.elapsed());
        self.pause_until(now().after(Millis::new(u32::try_from(left / 1_000_000).unwrap_or(0))))
    }

    fn signal_supervisor(&self) {
        let signal = i32::from(self.supervisor.shutdown.signal.0.number());
        let signal = nix::sys::signal::Signal::try_from(signal);
        if let (Some(process), Ok(signal)) = (&self.process, signal)
            && let Ok(pid) = i32::try_from(process.id())
        {
            // It is not waited for yet, so the number is its own. It may have ended.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).ok();
        }
    }

    /// Kills the parent of the last run; starts the supervisor again if that was it.
    fn crash(&mut self) -> io::Result<()> {
        let Some(parent) = self.recording.runs().last().map(|run| run.parent) else {
            return Ok(());
        };
        kill(parent, Signal::KILL);
        self.add(Fact::Crashed { pid: parent });
        self.until(
            |_| descendants().is_ok_and(|all| !all.contains(&parent)),
            || "the killed parent ends".to_owned(),
        )?;
        if self.process.is_none() { self.start_supervisor() } else { Ok(()) }
    }

    /// Waits a moment, then takes in what has happened.
    fn look(&mut self) -> io::Result<()> {
        if parent_id() != self.starter {
            return Err(io::Error::other("the program that started this one is gone"));
        }
        let mut polled: Vec<_> = self
            .living
            .iter()
            .map(|living| PollFd::new(living.pidfd.as_fd(), PollFlags::POLLIN))
            .collect();
        // An interruption ends it earlier, as good.
        poll(&mut polled, PollTimeout::from(LOOK)).ok();
        let gone: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        drop(polled);
        self.take_lines()?;
        let mut gone = gone.into_iter();
        let mut ended = Vec::new();
        self.living.retain(|living| {
            let is_gone = gone.next().unwrap_or(false);
            if is_gone {
                ended.push(living.pid);
            }
            !is_gone
        });
        for pid in ended {
            self.add(Fact::Gone { pid });
        }
        self.take_answers()?;
        if let Some(process) = &mut self.process
            && process.try_wait()?.is_some()
        {
            self.process = None;
            self.add(Fact::SupervisorGone);
        }
        let own = self.commands.iter().map(|command| command.child.id());
        let own = own.chain(self.process.as_ref().map(Child::id)).chain(self.readiness);
        reap_orphans(&own.collect());
        Ok(())
    }

    fn take_lines(&mut self) -> io::Result<()> {
        let (facts, processes) = self.lines.read(self.origin.as_nanos())?;
        self.recording.facts.extend(facts);
        for NewProcess { pid, ticks } in processes {
            let held = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let held = held.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            let is_it = ProcessIdentity::of(pid).is_ok_and(|it| it.ticks() == ticks);
            match held.filter(|_| is_it) {
                Some(pidfd) => self.living.push(Living { pid, pidfd }),
                None => self.add(Fact::Gone { pid }),
            }
        }
        Ok(())
    }

    fn take_answers(&mut self) -> io::Result<()> {
        let mut running = Vec::new();
        for mut command in std::mem::take(&mut self.commands) {
            match command.child.try_wait()? {
                None => running.push(command),
                Some(status) => {
                    let output = fs::read(&command.output)?;
                    let output =
                        String::from_utf8_lossy(output.get(..OUTPUT_MAX).unwrap_or(&output));
                    self.add(Fact::Answered {
                        request: command.request,
                        command: command.number,
                        code: status.code(),
                        output: output.into_owned(),
                    });
                }
            }
        }
        self.commands = running;
        Ok(())
    }

    /// Ends the supervisor and everything else.
    fn end(&mut self) -> io::Result<()> {
        self.signal_supervisor();
        let deadline = now().after(END);
        while self.process.is_some() && now() < deadline {
            // What is left is killed below, also after an error.
            if self.look().is_err() {
                break;
            }
        }
        let left = end_descendants()?;
        if left.is_empty() {
            return Ok(());
        }
        Err(io::Error::other(format!("the processes {left:?} outlive a kill by {}", process::id())))
    }
}

/// The file that the supervisor runs.
const PROGRAM: &str = "program";

/// How long a look waits, in milliseconds, unless a process ends.
const LOOK: u8 = 10;

/// How much of the output of a command is stored.
const OUTPUT_MAX: usize = 2_000;

fn write(path: &Path, text: &str, is_program: bool) -> io::Result<()> {
    fs::write(path, text)?;
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode))
}
