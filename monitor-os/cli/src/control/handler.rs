//! Carries out the requests of clients, and knows which reports of the supervisor answer them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use monitor_core::{Event, Policy, Signal};
use monitor_os::{Moment, Unit, UnitEvent, UnitId, now};

use super::protocol::{ControlRequest, Operation, Refusal, RefusalKind};
use super::reply::StatusReply;
use super::session::{EventCursor, LogCursor, Session, SessionStage};
use crate::config::policy::changed;
use crate::report::event_formatter::EventFormatter;
use crate::report::history::History;
use crate::report::log_line::StreamName;
use crate::report::status_report::{ClientCounts, MonitorInfo, Overview, StatusReport};
use crate::report::unit_mode::UnitMode;
use crate::units::{Units, choice};

/// The units, their events, and the requests that wait for a report.
#[derive(Debug)]
pub(super) struct RequestHandler {
    units: Units,
    /// The path of the state directory, for reports.
    directory: String,
    began: Moment,
    formatter: EventFormatter,
    history: History,
    /// The last requested policies that are not in force yet.
    policies: BTreeMap<UnitId, Policy>,
    /// The clients that wait for the next report of an event. Requests are handled in the order in
    /// which they are made, so the first of two equal reports answers the first client, also if
    /// that client has gone.
    awaited: VecDeque<(u64, UnitId, Event)>,
}

/// The units that a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
enum UnitSelection {
    One(String),
    All,
}

impl RequestHandler {
    pub(super) fn new(units: Units, directory: String) -> Self {
        Self {
            units,
            directory,
            began: now(),
            formatter: EventFormatter::default(),
            history: History::default(),
            policies: BTreeMap::new(),
            awaited: VecDeque::new(),
        }
    }

    pub(super) const fn history(&self) -> &History {
        &self.history
    }

    /// Takes in a notice; returns the client whose request it reports.
    pub(super) fn receive(&mut self, notice: &UnitEvent) -> Option<u64> {
        for entry in self.formatter.format(notice) {
            self.history.push(notice.at, entry);
        }
        if notice.event == Event::PolicyChanged
            && self.policies.get(&notice.unit) == Some(notice.status.policy())
        {
            self.policies.remove(&notice.unit);
        }
        let index = self
            .awaited
            .iter()
            .position(|(_, unit, event)| (*unit, *event) == (notice.unit, notice.event))?;
        self.awaited.remove(index).map(|(id, ..)| id)
    }

    /// Notices were missed, and the reports of any requests may be among them; returns the clients
    /// that waited.
    pub(super) fn forget_awaited(&mut self) -> Vec<u64> {
        self.policies.clear();
        std::mem::take(&mut self.awaited).into_iter().map(|(id, ..)| id).collect()
    }

    /// Carries out a request.
    ///
    /// # Errors
    /// Why it is refused; nothing was done.
    pub(super) fn handle(
        &mut self,
        id: u64,
        session: &mut Session,
        request: ControlRequest,
        clients: ClientCounts,
    ) -> Result<(), Refusal> {
        let value = |error: &dyn fmt::Display| Refusal::new(RefusalKind::Value, error);
        let (units, selection) = self.select(request.unit)?;
        let all = matches!(selection, UnitSelection::All);
        let awaited = match request.ask {
            Operation::Status => {
                session.answer(self.status(&units, all, clients));
                return Ok(());
            }
            Operation::Events { follow } => {
                let until = (!follow).then_some(self.history.end());
                let unit = match selection {
                    UnitSelection::All => None,
                    UnitSelection::One(name) => Some(name),
                };
                session.enter(SessionStage::Events(EventCursor { next: 0, until, unit }));
                return Ok(());
            }
            Operation::Logs { follow, last, stream } => {
                session.enter(SessionStage::Logs(self.logs(&units, all, follow, last, stream)?));
                return Ok(());
            }
            Operation::Stop { wait: true } => {
                self.stop(id, session, &units, all);
                return Ok(());
            }
            Operation::Stop { wait: false } => {
                // The answer comes with the report.
                units.iter().for_each(|unit| drop(unit.stop()));
                Event::stop()
            }
            Operation::Start => {
                units.iter().for_each(Unit::start);
                Event::StartRequested
            }
            Operation::Restart => {
                units.iter().for_each(Unit::restart);
                Event::restart()
            }
            Operation::Reset => {
                units.iter().for_each(Unit::reset);
                Event::ResetRequested
            }
            Operation::Signal { signal } => {
                let [unit] = self.single(&units, all)?;
                let signal: Signal = signal.parse().map_err(|error| value(&error))?;
                unit.signal(signal);
                Event::SignalRequested { signal }
            }
            Operation::Set { rules } => {
                let [unit] = self.single(&units, all)?;
                let base = self.policies.get(&unit.id()).copied();
                let base = base.unwrap_or_else(|| *unit.state().policy());
                let policy = changed(&base, &rules).map_err(|error| value(&error))?;
                self.policies.insert(unit.id(), policy);
                unit.set_policy(policy);
                Event::PolicyChanged
            }
        };
        self.expect(id, &units, awaited);
        session.await_reports(all, units.len());
        Ok(())
    }

    /// Notes that the next reports of an event are for this client.
    fn expect(&mut self, id: u64, units: &[Unit], event: Event) {
        self.awaited.extend(units.iter().map(|unit| (id, unit.id(), event)));
    }

    fn status(&self, units: &[Unit], all: bool, clients: ClientCounts) -> StatusReply {
        let monitor = MonitorInfo::new(self.directory.clone(), self.began, clients);
        match units {
            [unit] if !all => {
                let ring = self.units.ring(unit.name());
                let report = StatusReport::of(unit, ring.as_ref(), &self.history, monitor);
                StatusReply::Status(Box::new(report))
            }
            _ => StatusReply::Overview(Box::new(Overview::of(&self.units.visible(), monitor))),
        }
    }

    fn logs(
        &self,
        units: &[Unit],
        all: bool,
        follow: bool,
        last: Option<u32>,
        stream: Option<StreamName>,
    ) -> Result<LogCursor, Refusal> {
        let [unit] = self.single(units, all)?;
        let ring = self.units.ring(unit.name()).ok_or_else(|| {
            let message = "the output is not captured: output to file:PATH is in that file; else \
             start the command with --log FILE, or with --stdout log";
            Refusal::new(RefusalKind::Value, message)
        })?;
        Ok(LogCursor::new(ring, follow, last, stream))
    }

    /// Stops units for a client that waits for the end.
    fn stop(&mut self, id: u64, session: &mut Session, units: &[Unit], all: bool) {
        let stops = units.iter().map(|unit| (unit.clone(), unit.stop()));
        let mut stops: Vec<_> = stops.collect();
        if all {
            session.enter(SessionStage::StoppingAll(stops));
        } else if let Some((unit, stopping)) = stops.pop() {
            session.enter(SessionStage::Stopping(unit, stopping));
        }
        // These reports answer nobody, and are not taken for those of another client's stop.
        self.expect(id, units, Event::stop());
    }

    /// The units that a request means.
    fn select(&self, name: Option<String>) -> Result<(Vec<Unit>, UnitSelection), Refusal> {
        match (name, self.units.mode()) {
            (Some(name), _) => match self.units.get(&name).filter(|entry| entry.configured) {
                Some(entry) => Ok((vec![entry.unit.clone()], UnitSelection::One(name))),
                None => {
                    let message =
                        format_args!("there is no unit {name:?} here; {}", self.unit_names());
                    Err(Refusal::new(RefusalKind::Unit, message))
                }
            },
            (None, UnitMode::Many) => Ok((self.units.configured(), UnitSelection::All)),
            (None, UnitMode::One) => {
                let units = self.units.configured();
                let name = units.first().map(|unit| unit.name().to_owned());
                Ok((units, UnitSelection::One(name.unwrap_or_default())))
            }
        }
    }

    /// The one unit of a request that takes one unit only.
    fn single<'a>(&self, units: &'a [Unit], all: bool) -> Result<&'a [Unit; 1], Refusal> {
        <&[Unit; 1]>::try_from(units).ok().filter(|_| !all).ok_or_else(|| {
            let message =
                format_args!("this request takes one unit, NAME/UNIT; {}", self.unit_names());
            Refusal::new(RefusalKind::Unit, message)
        })
    }

    /// The names of the units.
    fn unit_names(&self) -> String {
        choice(&self.units.configured().iter().map(Unit::name).collect::<Vec<_>>())
    }
}
