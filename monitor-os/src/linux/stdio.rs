//! The standard streams of a unit's runs: what each run is given, and what of it is read or fed here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use monitor_core::RunId;
use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};

use super::file_streams::FileStreams;
use super::guarded::{PathError, PathFault};
use super::log_files::{STREAMS, StreamFiles};
use super::output::thread::{LogEvent, LogThread, StreamId};
use super::output::{Capture, Input, Output, Stream};
use super::pty::Terminal;
use super::spawn::SpawnError;
use super::stdin_pump::{StdinPump, StdinSink};
use super::unit::ReactorUnit;
use super::wake::Notifier;
use crate::kernel::UnitId;
use crate::telemetry;

/// Where the standard streams of a command lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) input: Input,
    pub(super) output: Output,
    /// `None` if it leads where the output does.
    pub(super) error: Option<Output>,
    pub(super) terminal: Option<Terminal>,
}

/// All are those of the monitor.
impl Default for Streams {
    fn default() -> Self {
        Self {
            input: Input::Inherit,
            output: Output::Inherit,
            error: Some(Output::Inherit),
            terminal: None,
        }
    }
}

/// What a program is given as its descriptors 0, 1 and 2, `None` for the monitor's own, and maybe one more.
#[derive(Debug, Default)]
pub(super) struct Stdio {
    descriptors: [Option<Arc<OwnedFd>>; 3],
    extra: Option<(OwnedFd, u8)>,
}

impl Stdio {
    /// What goes where.
    pub(super) fn child_fds(&self) -> impl Iterator<Item = (BorrowedFd<'_>, i32)> {
        let given = self.descriptors.iter().zip(0..);
        let given = given.filter_map(|(fd, number)| Some((fd.as_ref()?.as_fd(), number)));
        let extra = self.extra.as_ref().map(|(fd, number)| (fd.as_fd(), i32::from(*number)));
        given.chain(extra)
    }

    /// The number of the one beside the standard streams.
    pub(super) fn extra(&self) -> Option<u8> {
        self.extra.as_ref().map(|&(_, number)| number)
    }

    /// All three lead nowhere.
    ///
    /// # Errors
    /// [`SpawnError::Stream`].
    pub(super) fn null() -> Result<Self, SpawnError> {
        let null = Some(null()?);
        Ok(Self { descriptors: [null.clone(), null.clone(), null], extra: None })
    }

    /// Gives a descriptor as this number, which is above 2.
    ///
    /// # Errors
    /// No descriptor left.
    pub(super) fn add(&mut self, fd: OwnedFd, number: u8) -> io::Result<()> {
        // The streams, which are put in place first, are not to take its place.
        self.extra = Some((lifted(fd)?, number));
        Ok(())
    }

    /// Moves a descriptor that is to keep its number, should that be given to another.
    ///
    /// # Errors
    /// No descriptor left.
    pub(super) fn beside(&self, fd: OwnedFd) -> Result<OwnedFd, Errno> {
        match &self.extra {
            Some((_, number)) if std::os::fd::AsRawFd::as_raw_fd(&fd) == i32::from(*number) => {
                fcntl_dupfd_cloexec(fd, i32::from(*number) + 1)
            }
            Some(_) | None => Ok(fd),
        }
    }
}

/// What a unit keeps between its runs.
#[derive(Debug, Default)]
pub(super) struct Channels {
    output: Option<Channel>,
    error: Option<Channel>,
    stdin: Option<StdinPump>,
}

/// A stream that is captured.
#[derive(Debug)]
struct Channel {
    id: StreamId,
    /// The end that programs are given. Kept, so that the stream does not end with a run, and the next run, or
    /// what the last one left, writes on.
    program: Arc<OwnedFd>,
}

/// The thread that reads what is captured, once there is something to read.
#[derive(Debug)]
pub(super) struct Logs {
    thread: Option<LogThread>,
    reactor: Notifier,
}

impl Logs {
    pub(super) const fn new(reactor: Notifier) -> Self {
        Self { thread: None, reactor }
    }

    /// Makes what a run of the unit is given.
    ///
    /// # Errors
    /// [`SpawnError::Stream`]; nothing was started.
    pub(super) fn prepare(
        &mut self,
        id: UnitId,
        unit: &mut ReactorUnit,
        run: RunId,
    ) -> Result<Stdio, SpawnError> {
        let mut channels = unit.channels.take().unwrap_or_default();
        let stdio = self.fill(id, unit, &mut channels, run);
        // Most units have nothing to keep.
        unit.channels = channels.into_some();
        stdio
    }

    fn fill(
        &mut self,
        id: UnitId,
        unit: &ReactorUnit,
        channels: &mut Channels,
        run: RunId,
    ) -> Result<Stdio, SpawnError> {
        let Some(streams) = unit.command.streams() else {
            return Ok(Stdio::default());
        };
        let fifo = |stream| unit.store.as_ref().map(|store| store.fifo(stream));
        let stdio = if let Some(terminal) = &streams.terminal {
            let failed = failed_at("/dev/ptmx");
            let (master, program) = terminal.open().map_err(|e| failed(e.into()))?;
            let program = Arc::new(lifted(program).map_err(&failed)?);
            let source = master.try_clone().map_err(&failed)?;
            let id =
                self.thread().map_err(&failed)?.attach(source, streams.capture(), Stream::Stdout);
            channels.output = Some(Channel { id, program: Arc::clone(&program) });
            if let Input::Piped(source) = &streams.input {
                let stdin = channels.start_stdin(source).map_err(&failed)?;
                stdin.set_sink(Some(StdinSink::Terminal(master)));
            }
            let program = || Some(Arc::clone(&program));
            Stdio { descriptors: [program(), program(), program()], extra: None }
        } else {
            let input = channels.input(&streams.input)?;
            let output = self.output(
                &streams.output,
                &mut channels.output,
                Stream::Stdout,
                fifo(Stream::Stdout),
            )?;
            let error = match &streams.error {
                Some(error) => {
                    self.output(error, &mut channels.error, Stream::Stderr, fifo(Stream::Stderr))?
                }
                None if output.is_some() => output.clone(),
                None if matches!(streams.output, Output::File(_)) => None,
                // Where the monitor's own output leads.
                None => Some(Arc::new(
                    rustix::stdio::stdout()
                        .try_clone_to_owned()
                        .and_then(lifted)
                        .map_err(failed_at("standard output"))?,
                )),
            };
            Stdio { descriptors: [input, output, error], extra: None }
        };
        if let Some(thread) = &self.thread {
            channels.ids().for_each(|stream| thread.begin(stream, id, run));
        }
        Ok(stdio)
    }

    /// Goes on with what a program prints that an earlier monitor has started. Also what is not to be captured any
    /// more is read, for the program would wait for ever when its pipe is full.
    ///
    /// # Errors
    /// A pipe cannot be opened, or [`Logs::prepare`].
    pub(super) fn adopt(
        &mut self,
        id: UnitId,
        unit: &mut ReactorUnit,
        run: RunId,
    ) -> Result<(), SpawnError> {
        let Some(store) = &mut unit.store else {
            return Ok(());
        };
        let wanted = unit.command.streams();
        for stream in STREAMS {
            let path = store.fifo(stream);
            if !path.exists() {
                continue;
            }
            let capture =
                wanted.and_then(|streams| match (stream, &streams.output, &streams.error) {
                    (Stream::Stdout, Output::Captured(capture), _)
                    | (Stream::Stderr, _, Some(Output::Captured(capture)))
                    | (Stream::Stderr, Output::Captured(capture), None) => Some(capture.clone()),
                    (Stream::Stdout | Stream::Stderr, ..) => None,
                });
            if let Err(error) = store.redirect(stream, capture.as_ref().and_then(Capture::log_file))
            {
                telemetry::not_saved(&error);
            }
            let failed = failed_at(&path);
            let thread = self.thread().map_err(&failed)?;
            let channel =
                named(&path, |source| thread.attach(source, capture.unwrap_or_default(), stream));
            let channel = channel.map_err(&failed)?;
            thread.begin(channel.id, id, run);
            let channels = unit.channels.get_or_insert_default();
            match stream {
                Stream::Stdout => channels.output = Some(channel),
                Stream::Stderr => channels.error = Some(channel),
            }
        }
        Ok(())
    }

    /// Lets what a run has printed so far be read to its end, after which [`Logs::take_events`] has `number`. Returns whether
    /// there is anything to read.
    pub(super) fn read_out(&self, unit: &ReactorUnit, number: u64) -> bool {
        let (Some(thread), Some(channels)) = (&self.thread, &unit.channels) else {
            return false;
        };
        let ids: Vec<_> = channels.ids().collect();
        let any = !ids.is_empty();
        if any {
            thread.drain(ids, number);
        }
        any
    }

    /// Ends the wait for what a run has printed, until the next run of the unit begins.
    pub(super) fn hurry(&self, unit: &ReactorUnit) {
        if let (Some(thread), Some(channels)) = (&self.thread, &unit.channels) {
            thread.hurry(channels.ids().collect());
        }
    }

    /// Nothing of a run is left: [`Logs::read_out`], and its terminal ends.
    pub(super) fn drain(&self, unit: &mut ReactorUnit, number: u64) -> bool {
        let any = self.read_out(unit, number);
        if unit.command.has_terminal()
            && let Some(channels) = &mut unit.channels
        {
            // Its last descriptor.
            channels.output = None;
        }
        any
    }

    /// What the thread has to say since the last call.
    pub(super) fn take_events(&self) -> Vec<LogEvent> {
        self.thread.iter().flat_map(LogThread::take_events).collect()
    }

    /// Makes what a program is given as an output.
    fn output(
        &mut self,
        output: &Output,
        channel: &mut Option<Channel>,
        stream: Stream,
        fifo: Option<PathBuf>,
    ) -> Result<Option<Arc<OwnedFd>>, SpawnError> {
        match output {
            // A file is opened by the helper, since that may wait.
            Output::Inherit | Output::File(_) => Ok(None),
            Output::Null => null().map(Some),
            Output::Captured(capture) => {
                if capture.has_ready_pattern() {
                    // The pipe of an earlier run, which is read until nobody has it open.
                    *channel = None;
                    if let Some(path) = &fifo {
                        remove(path).map_err(failed_at(path))?;
                    }
                }
                if let Some(channel) = channel {
                    // Another than that of the run before, if the command was changed meanwhile.
                    self.thread()
                        .map_err(failed_at("a pipe"))?
                        .redirect(channel.id, capture.clone());
                } else {
                    let place = fifo.as_deref().unwrap_or_else(|| Path::new("a pipe"));
                    let failed = failed_at(place);
                    let thread = self.thread().map_err(&failed)?;
                    let attach = |source| thread.attach(source, capture.clone(), stream);
                    let made = match &fifo {
                        Some(path) => make_named(path).and_then(|()| named(path, attach)),
                        None => unnamed(attach),
                    };
                    *channel = Some(made.map_err(failed)?);
                }
                Ok(channel.as_ref().map(|channel| Arc::clone(&channel.program)))
            }
        }
    }

    fn thread(&mut self) -> io::Result<&mut LogThread> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => LogThread::start(self.reactor.clone())?,
        };
        Ok(self.thread.insert(thread))
    }
}

impl Streams {
    /// Whether a run says by a line that it serves.
    pub(super) fn have_ready_pattern(&self) -> bool {
        [Some(&self.output), self.error.as_ref()].into_iter().flatten().any(|output| match output {
            Output::Captured(capture) => capture.has_ready_pattern(),
            Output::Inherit | Output::Null | Output::File(_) => false,
        })
    }

    /// Where what is printed can be read again.
    pub(super) fn log_files(&self) -> StreamFiles {
        let output = self.output.log_file();
        let error = self.error.as_ref().map_or_else(|| output.clone(), Output::log_file);
        [output, error]
    }

    /// What of them the helper opens.
    pub(super) fn files(&self) -> FileStreams {
        let input = match &self.input {
            Input::File(path) => Some(path),
            Input::Inherit | Input::Null | Input::Piped(_) => None,
        };
        let file = |output: &Output| match output {
            Output::File(path) => Some(path.clone()),
            Output::Inherit | Output::Null | Output::Captured(_) => None,
        };
        if self.terminal.is_some() {
            return FileStreams::default();
        }
        let output = file(&self.output);
        let joined = self.error.is_none() && output.is_some();
        FileStreams {
            input: input.cloned(),
            output,
            error: self.error.as_ref().and_then(file),
            joined,
        }
    }

    /// What becomes of the output that is captured; of none, it is forgotten.
    fn capture(&self) -> Capture {
        match &self.output {
            Output::Captured(capture) => capture.clone(),
            Output::Inherit | Output::Null | Output::File(_) => Capture::new(),
        }
    }
}

impl Channels {
    fn into_some(self: Box<Self>) -> Option<Box<Self>> {
        let Self { output, error, stdin } = &*self;
        (output.is_some() || error.is_some() || stdin.is_some()).then_some(self)
    }

    fn ids(&self) -> impl Iterator<Item = StreamId> {
        self.output.iter().chain(&self.error).map(|channel| channel.id)
    }

    /// No process reads the input of the run any more.
    pub(super) fn close_input(&self) {
        if let Some(stdin) = &self.stdin {
            stdin.set_sink(None);
        }
    }

    /// Makes what a program is given as its input.
    fn input(&mut self, input: &Input) -> Result<Option<Arc<OwnedFd>>, SpawnError> {
        match input {
            Input::Inherit | Input::File(_) => Ok(None),
            Input::Null => null().map(Some),
            Input::Piped(source) => {
                let failed = failed_at("a pipe");
                let stdin = self.start_stdin(source).map_err(&failed)?;
                let (program, own) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
                fcntl_setfl(&own, OFlags::NONBLOCK).map_err(|e| failed(e.into()))?;
                let program = lifted(program).map_err(&failed)?;
                stdin.set_sink(Some(StdinSink::Pipe(Arc::new(own))));
                Ok(Some(Arc::new(program)))
            }
        }
    }

    fn start_stdin(&mut self, source: &super::output::InputSource) -> io::Result<&StdinPump> {
        let stdin = match self.stdin.take() {
            Some(stdin) => stdin,
            None => StdinPump::start(source.clone())?,
        };
        Ok(self.stdin.insert(stdin))
    }
}

/// Leads nowhere, in both directions.
fn null() -> Result<Arc<OwnedFd>, SpawnError> {
    let path = Path::new("/dev/null");
    let opened = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(io::Error::from).and_then(lifted).map(Arc::new).map_err(failed_at(path))
}

/// A pipe that ends with this process.
fn unnamed(attach: impl FnOnce(OwnedFd) -> StreamId) -> io::Result<Channel> {
    let (source, program) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&source, OFlags::NONBLOCK)?;
    let program = Arc::new(lifted(program)?);
    Ok(Channel { id: attach(source), program })
}

/// A pipe that the program holds open in both directions: it outlives the monitor, and what is in it too.
fn named(path: &Path, attach: impl FnOnce(OwnedFd) -> StreamId) -> io::Result<Channel> {
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let program = rustix::fs::open(path, flags | OFlags::RDWR, Mode::empty())?;
    let source = rustix::fs::open(path, flags | OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    let program = Arc::new(lifted(program)?);
    Ok(Channel { id: attach(source), program })
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a named pipe for this user alone, if there is none.
fn make_named(path: &Path) -> io::Result<()> {
    match rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) if path.symlink_metadata()?.file_type().is_fifo() => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The same descriptor under a number that is no standard stream's: in the child those are replaced one by one.
fn lifted(fd: OwnedFd) -> io::Result<OwnedFd> {
    if std::os::fd::AsRawFd::as_raw_fd(&fd) > 2 {
        return Ok(fd);
    }
    Ok(fcntl_dupfd_cloexec(fd, 3)?)
}

fn failed_at(path: impl Into<PathBuf>) -> impl Fn(io::Error) -> SpawnError {
    let path = path.into();
    move |error| {
        let errno = error.raw_os_error().unwrap_or_else(|| Errno::IO.raw_os_error());
        SpawnError::Stream(PathError { path: path.clone(), fault: PathFault::Os(errno) })
    }
}
