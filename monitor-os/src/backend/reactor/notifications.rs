//! Notifications and readiness of runs in the reactor, which become events.

use std::os::fd::AsFd;
use std::sync::Arc;

use monitor_core::Event;

use super::{LinuxKernel, NOTIFY, READINESS};
use crate::backend::readiness::notifications::Notification;
use crate::backend::readiness::probe::{PROBE_INTERVAL, ProbeResult, ReadinessProbe};
use crate::backend::run::supervised_run::Run;
use crate::driver::kernel::DriverInput;
use crate::linux::epoll::Trigger;
use crate::telemetry;

impl LinuxKernel {
    /// Begins to watch the notify socket and the readiness probe of a run.
    pub(crate) fn watch_notify(&mut self, key: u64, run: &Run) {
        let Some(notifications) = &run.notifications else {
            return;
        };
        let probe = notifications.probe.as_ref().map(ReadinessProbe::descriptor);
        if matches!(probe, Some(None)) {
            self.schedule_readiness_poll(key);
        }
        let socket = notifications.socket.as_ref().map(|socket| (socket.as_fd(), key | NOTIFY));
        for (source, key) in
            socket.into_iter().chain(probe.flatten().map(|pipe| (pipe, key | READINESS)))
        {
            if let Err(error) = self.epoll.add(source, key, Trigger::Level) {
                telemetry::no_notifications(&error);
            }
        }
    }

    /// Reads the pending notifications of a run.
    pub(crate) fn read_notifications(&mut self, key: u64) {
        let Some(run) = self.runs.get_mut(&key) else {
            return;
        };
        let Some(mut notifications) = run.notifications.take() else {
            return;
        };
        let (unit, id) = (run.unit, run.id);
        // What an earlier run left is not the unit's any more.
        if let Some(found) = self.units.get_mut(&unit).filter(|unit| unit.run == Some(key)) {
            let mut status = found.notify_status();
            let is_of_run = |pid| run.has(pid);
            let notification =
                notifications.receive(self.observed, &mut status, is_of_run, run.main());
            if !Arc::ptr_eq(&status, &found.notify_status()) {
                found.facts().notify_status = status;
                found.publish_facts();
            }
            let Notification { ready, ping, extension, unhealthy } = notification;
            let events = [
                extension.map(|by| Event::Extended { run: id, by }),
                ready.then_some(Event::Ready { run: id }),
                ping.then_some(Event::Ping { run: id }),
                unhealthy.then_some(Event::Unhealthy { run: id }),
            ];
            for event in events.into_iter().flatten() {
                self.enqueue(DriverInput::Event(unit, event));
            }
        }
        if let Some(run) = self.runs.get_mut(&key) {
            run.notifications = Some(notifications);
        }
    }

    /// Polls the readiness probe of a run.
    pub(crate) fn poll_readiness(&mut self, key: u64) {
        let at = self.observed;
        let Some(run) = self.runs.get_mut(&key) else {
            return;
        };
        let (unit, id) = (run.unit, run.id);
        let Some(notifications) = &mut run.notifications else {
            return;
        };
        let Some(probe) = &mut notifications.probe else {
            return;
        };
        let is_connection = probe.descriptor().is_none();
        let awaited = run.awaits_ready;
        match probe.poll(at) {
            // Nobody waits for a connection any more; a newline is read whenever it comes.
            _ if is_connection && !awaited => notifications.probe = None,
            ProbeResult::Ready => {
                notifications.probe = None;
                self.enqueue(DriverInput::Event(unit, Event::Ready { run: id }));
            }
            ProbeResult::Never => notifications.probe = None,
            ProbeResult::NotYet if is_connection => self.schedule_readiness_poll(key),
            ProbeResult::NotYet => {}
        }
    }

    fn schedule_readiness_poll(&mut self, key: u64) {
        self.polls.insert((self.observed.after(PROBE_INTERVAL), key | READINESS));
    }
}
