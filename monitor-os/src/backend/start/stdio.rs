//! The standard streams of a unit's runs: the descriptors of each run, and their pipes to the
//! monitor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use monitor_core::RunId;
use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::backend::output::stdin_pump::{StdinPump, StdinSink};
use crate::backend::output::thread::{LogEvent, LogThread, StreamId};
use crate::backend::store::unit_store::UnitStore;
use crate::command::Command;
use crate::command::spawn_error::SpawnError;
use crate::command::streams::{Input, Output};
use crate::driver::kernel::UnitId;
use crate::linux::path_error::{PathError, PathFault};
use crate::linux::wake::Notifier;
use crate::output::capture::Capture;
use crate::output::line::Stream;
use crate::output::log_file::STREAMS;
use crate::telemetry;

/// The descriptors 0, 1 and 2 of a program, and at most one more; `None` for the monitor's own.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    descriptors: [Option<Arc<OwnedFd>>; 3],
    extra: Option<(OwnedFd, u8)>,
}

impl Stdio {
    /// The descriptors and their numbers in the child.
    pub(crate) fn child_fds(&self) -> impl Iterator<Item = (BorrowedFd<'_>, i32)> {
        let given = self.descriptors.iter().zip(0..);
        let given = given.filter_map(|(fd, number)| Some((fd.as_ref()?.as_fd(), number)));
        let extra = self.extra.as_ref().map(|(fd, number)| (fd.as_fd(), i32::from(*number)));
        given.chain(extra)
    }

    /// The number of the descriptor that is no standard stream.
    pub(crate) fn extra(&self) -> Option<u8> {
        self.extra.as_ref().map(|&(_, number)| number)
    }

    /// Standard streams that all lead to `/dev/null`.
    ///
    /// # Errors
    /// [`SpawnError::Stream`].
    pub(crate) fn null() -> Result<Self, SpawnError> {
        let null = Some(null()?);
        Ok(Self { descriptors: [null.clone(), null.clone(), null], extra: None })
    }

    /// Adds a descriptor under this number, which is above 2.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn add(&mut self, fd: OwnedFd, number: u8) -> io::Result<()> {
        // The standard streams are put in place first and must not replace it.
        self.extra = Some((lifted(fd)?, number));
        Ok(())
    }

    /// Moves a descriptor that must keep its number, if another descriptor gets that number.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn beside(&self, fd: OwnedFd) -> Result<OwnedFd, Errno> {
        match &self.extra {
            Some((_, number)) if std::os::fd::AsRawFd::as_raw_fd(&fd) == i32::from(*number) => {
                fcntl_dupfd_cloexec(fd, i32::from(*number) + 1)
            }
            Some(_) | None => Ok(fd),
        }
    }
}

/// The parts of a unit that make up its streams.
#[derive(Debug)]
pub(crate) struct UnitStreams<'a> {
    pub(crate) command: &'a Command,
    pub(crate) store: Option<&'a mut UnitStore>,
    pub(crate) channels: &'a mut Option<Box<Channels>>,
}

/// The streams that a unit keeps between its runs.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    output: Option<Channel>,
    error: Option<Channel>,
    stdin: Option<StdinPump>,
}

/// A captured stream.
#[derive(Debug)]
struct Channel {
    id: StreamId,
    /// The end that programs get.
    ///
    /// The monitor keeps it open, so that the stream does not end with a run. The next run, or
    /// processes that the last one left, continue to write.
    program: Arc<OwnedFd>,
}

/// The thread that reads captured streams; it starts with the first one.
#[derive(Debug)]
pub(crate) struct Logs {
    thread: Option<LogThread>,
    reactor: Notifier,
}

impl Logs {
    pub(crate) const fn new(reactor: Notifier) -> Self {
        Self { thread: None, reactor }
    }

    /// Makes the descriptors of a run of the unit.
    ///
    /// # Errors
    /// [`SpawnError::Stream`]; nothing was started.
    pub(crate) fn prepare(
        &mut self,
        id: UnitId,
        unit: UnitStreams<'_>,
        run: RunId,
    ) -> Result<Stdio, SpawnError> {
        let mut channels = unit.channels.take().unwrap_or_default();
        let stdio = self.fill(id, &unit, &mut channels, run);
        // Most units keep no stream.
        *unit.channels = channels.into_some();
        stdio
    }

    fn fill(
        &mut self,
        id: UnitId,
        unit: &UnitStreams<'_>,
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
                // The target of the monitor's own output.
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

    /// Continues to read the streams of a program that an earlier monitor started.
    ///
    /// Streams that the command does not capture any more are read too. Otherwise the program would
    /// wait for ever when its pipe is full.
    ///
    /// # Errors
    /// A pipe cannot be opened, or an error of [`Logs::prepare`].
    pub(crate) fn adopt(
        &mut self,
        id: UnitId,
        unit: UnitStreams<'_>,
        run: RunId,
    ) -> Result<(), SpawnError> {
        let Some(store) = unit.store else {
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

    /// Reads all earlier output of a run, after which [`Logs::take_events`] returns `number`.
    ///
    /// The result is whether there is any stream to read.
    pub(crate) fn read_out(&self, channels: Option<&Channels>, number: u64) -> bool {
        let (Some(thread), Some(channels)) = (&self.thread, channels) else {
            return false;
        };
        let ids: Vec<_> = channels.ids().collect();
        let any = !ids.is_empty();
        if any {
            thread.drain(ids, number);
        }
        any
    }

    /// Ends the wait for the output of a run, until the next run of the unit begins.
    pub(crate) fn hurry(&self, channels: Option<&Channels>) {
        if let (Some(thread), Some(channels)) = (&self.thread, channels) {
            thread.hurry(channels.ids().collect());
        }
    }

    /// Reads the output of a run without processes, as [`Logs::read_out`], and ends its terminal.
    pub(crate) fn drain(&self, unit: UnitStreams<'_>, number: u64) -> bool {
        let any = self.read_out(unit.channels.as_deref(), number);
        if unit.command.has_terminal()
            && let Some(channels) = unit.channels
        {
            // This is the last descriptor of the terminal.
            channels.output = None;
        }
        any
    }

    /// The events of the thread since the last call.
    pub(crate) fn take_events(&self) -> Vec<LogEvent> {
        self.thread.iter().flat_map(LogThread::take_events).collect()
    }

    /// Makes the descriptor of an output.
    fn output(
        &mut self,
        output: &Output,
        channel: &mut Option<Channel>,
        stream: Stream,
        fifo: Option<PathBuf>,
    ) -> Result<Option<Arc<OwnedFd>>, SpawnError> {
        match output {
            // The helper opens a file, because that may block.
            Output::Inherit | Output::File(_) => Ok(None),
            Output::Null => null().map(Some),
            Output::Captured(capture) => {
                if capture.has_ready_pattern() {
                    // The pipe of an earlier run is read until no process has it open.
                    *channel = None;
                    if let Some(path) = &fifo {
                        remove(path).map_err(failed_at(path))?;
                    }
                }
                if let Some(channel) = channel {
                    // The capture differs from that of the last run if the command was changed.
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

impl Channels {
    fn into_some(self: Box<Self>) -> Option<Box<Self>> {
        let Self { output, error, stdin } = &*self;
        (output.is_some() || error.is_some() || stdin.is_some()).then_some(self)
    }

    fn ids(&self) -> impl Iterator<Item = StreamId> {
        self.output.iter().chain(&self.error).map(|channel| channel.id)
    }

    /// Closes the input, because no process of the run reads it any more.
    pub(crate) fn close_input(&self) {
        if let Some(stdin) = &self.stdin {
            stdin.set_sink(None);
        }
    }

    /// Makes the descriptor of an input.
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

    fn start_stdin(
        &mut self,
        source: &crate::command::streams::InputSource,
    ) -> io::Result<&StdinPump> {
        let stdin = match self.stdin.take() {
            Some(stdin) => stdin,
            None => StdinPump::start(source.clone())?,
        };
        Ok(self.stdin.insert(stdin))
    }
}

/// Opens `/dev/null` for both directions.
fn null() -> Result<Arc<OwnedFd>, SpawnError> {
    let path = Path::new("/dev/null");
    let opened = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(io::Error::from).and_then(lifted).map(Arc::new).map_err(failed_at(path))
}

/// Makes a pipe that ends with this process.
fn unnamed(attach: impl FnOnce(OwnedFd) -> StreamId) -> io::Result<Channel> {
    let (source, program) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&source, OFlags::NONBLOCK)?;
    let program = Arc::new(lifted(program)?);
    Ok(Channel { id: attach(source), program })
}

/// Opens a named pipe for both directions, so that the pipe and its content outlive the monitor.
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

/// Makes a named pipe for this user alone, if it is missing.
fn make_named(path: &Path) -> io::Result<()> {
    match rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) if path.symlink_metadata()?.file_type().is_fifo() => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Moves a descriptor above those of the standard streams, which the child replaces one by one.
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
