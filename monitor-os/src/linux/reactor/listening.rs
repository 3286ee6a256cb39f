//! The reactor's ear: what runs say of themselves becomes events.

use std::os::fd::AsFd;
use std::sync::Arc;

use monitor_core::{Event, Phase};

use super::{LinuxKernel, SIGN, WORD};
use crate::kernel::DriverInput;
use crate::linux::epoll::Trigger;
use crate::linux::hearing::Heard;
use crate::linux::ready::{PROBE_PAUSE, Seen, Sign};
use crate::linux::run::Run;
use crate::telemetry;

impl LinuxKernel {
    /// Begins to listen to a run.
    pub(super) fn lend_ear(&mut self, key: u64, run: &Run) {
        let Some(hearing) = &run.hearing else {
            return;
        };
        let sign = hearing.sign.as_ref().map(Sign::descriptor);
        if matches!(sign, Some(None)) {
            self.look_for_sign_later(key);
        }
        let socket = hearing.socket.as_ref().map(|socket| (socket.as_fd(), key | WORD));
        for (source, key) in socket.into_iter().chain(sign.flatten().map(|pipe| (pipe, key | SIGN)))
        {
            if let Err(error) = self.epoll.add(source, key, Trigger::Level) {
                telemetry::unheard(&error);
            }
        }
    }

    /// Takes what a run has said.
    pub(super) fn listen(&mut self, key: u64) {
        let Some(run) = self.runs.get_mut(&key) else {
            return;
        };
        let Some(mut hearing) = run.hearing.take() else {
            return;
        };
        let (unit, id) = (run.unit, run.id);
        // What an earlier run left is not the unit's any more.
        if let Some(found) = self.units.get_mut(&unit).filter(|unit| unit.run == Some(key)) {
            let mut status = found.notify_status();
            let is_of_run = |pid| run.has(pid);
            let heard = hearing.listen(self.observed, &mut status, is_of_run, run.main());
            if !Arc::ptr_eq(&status, &found.notify_status()) {
                found.facts().notify_status = status;
                found.show_facts();
            }
            let Heard { ready, ping, extension, trouble } = heard;
            let events = [
                extension.map(|by| Event::Extended { run: id, by }),
                ready.then_some(Event::Ready { run: id }),
                ping.then_some(Event::Ping { run: id }),
                trouble.then_some(Event::Unhealthy { run: id }),
            ];
            for event in events.into_iter().flatten() {
                self.enqueue(DriverInput::Event(unit, event));
            }
        }
        if let Some(run) = self.runs.get_mut(&key) {
            run.hearing = Some(hearing);
        }
    }

    /// Looks whether a run has given the sign that it serves.
    pub(super) fn look_for_sign(&mut self, key: u64) {
        let at = self.observed;
        let Some(run) = self.runs.get_mut(&key) else {
            return;
        };
        let (unit, id) = (run.unit, run.id);
        let Some(hearing) = &mut run.hearing else {
            return;
        };
        let Some(sign) = &mut hearing.sign else {
            return;
        };
        let is_connection = sign.descriptor().is_none();
        let awaited = self.units.get(&unit).is_some_and(|unit| {
            unit.run == Some(key) && matches!(unit.phase(), Phase::Starting | Phase::Activating)
        });
        match sign.look(at) {
            // Nobody waits for a connection any more; a newline is read whenever it comes.
            _ if is_connection && !awaited => hearing.sign = None,
            Seen::Ready => {
                hearing.sign = None;
                self.enqueue(DriverInput::Event(unit, Event::Ready { run: id }));
            }
            Seen::Never => hearing.sign = None,
            Seen::NotYet if is_connection => self.look_for_sign_later(key),
            Seen::NotYet => {}
        }
    }

    fn look_for_sign_later(&mut self, key: u64) {
        self.polls.insert((self.observed.after(PROBE_PAUSE), key | SIGN));
    }
}
