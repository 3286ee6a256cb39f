//! Reads a record line by line.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, Read};

use monitor_core::{Millis, Phase, Policy, State};

use super::fields::{Field, Fields};
use super::line::{RecordLine, RecordedStep, VERSION, save_name};
use super::record_error::RecordError;
use crate::driver::kernel::{SaveStatus, UnitId};
use crate::hex;

/// Reads a record one line at a time, so that its length does not matter.
///
/// The reader holds one line and the numbers of the units. It skips empty lines.
#[derive(Debug)]
pub struct RecordReader<R> {
    input: R,
    text: Vec<u8>,
    number: usize,
    units: BTreeSet<UnitId>,
    /// The unit of the last line, which is known.
    last: Option<UnitId>,
}

impl<R: BufRead> RecordReader<R> {
    /// Makes a reader of the lines of `input`.
    pub const fn new(input: R) -> Self {
        Self { input, text: Vec::new(), number: 0, units: BTreeSet::new(), last: None }
    }

    /// Reads the next line and its number, counted from 1; `None` at the end. The head of each unit
    /// precedes its other lines.
    ///
    /// # Errors
    /// [`RecordError`] about a malformed line, or about a file that cannot be read.
    pub fn read(&mut self) -> Result<Option<(usize, RecordLine<'_>)>, RecordError> {
        loop {
            self.number += 1;
            self.text.clear();
            let mut limited = self.input.by_ref().take(LINE_MAX);
            let read = limited.read_until(b'\n', &mut self.text);
            match read.map_err(|error| RecordError::unreadable(self.number, &error))? {
                0 => return Ok(None),
                _ if self.text.trim_ascii().is_empty() => {}
                _ => break,
            }
        }
        let Self { text, number, units, last, .. } = self;
        let fields = serde_json::from_slice(text).map_err(|_| {
            let fix = "write one JSON object a line, and remove a last line that was cut";
            RecordError::new(*number, "line", String::from_utf8_lossy(text).trim_end(), fix)
        })?;
        let line = Line { number: *number, fields };
        let unit = line.unit()?;
        if line.fields.record.is_some() {
            units.insert(unit);
            *last = Some(unit);
            return Ok(Some((*number, line.head(unit)?)));
        }
        if *last != Some(unit) {
            if !units.contains(&unit) {
                let fix = "write the head of the unit before its events";
                return Err(line.error("unit", line.fields.unit.as_ref(), fix));
            }
            *last = Some(unit);
        }
        Ok(Some((*number, line.other(unit)?)))
    }
}

/// One line whose fields are to be checked.
struct Line<'a> {
    number: usize,
    fields: Fields<'a>,
}

impl<'a> Line<'a> {
    fn unit(&self) -> Result<UnitId, RecordError> {
        let unit = self.fields.unit.as_ref();
        u32::try_from(self.whole("unit", unit)?)
            .map(UnitId::new)
            .map_err(|_| self.error("unit", unit, "write a number below 2^32"))
    }

    fn head(mut self, unit: UnitId) -> Result<RecordLine<'a>, RecordError> {
        let version = self.fields.record.as_ref();
        if self.whole("record", version)? != VERSION {
            let fix = "read it by the version that wrote it; this is 1";
            return Err(self.error("record", version, fix));
        }
        let policy = self.parsed("policy", self.fields.policy.as_ref())?;
        let state = match &self.fields.state {
            None => State::INITIAL,
            saved => self.state(saved.as_ref())?,
        };
        let name = match self.fields.name.take() {
            Some(Field::Text(name)) => name,
            other => return Err(self.error("name", other.as_ref(), TEXT)),
        };
        Ok(RecordLine::Head { unit, name, policy, state })
    }

    fn other(mut self, unit: UnitId) -> Result<RecordLine<'a>, RecordError> {
        let at_us = self.whole("at_us", self.fields.at_us.as_ref())?;
        if self.fields.policy.is_some() {
            let policy = self.parsed::<Policy>("policy", self.fields.policy.as_ref())?;
            return Ok(RecordLine::PolicyChanged { at_us, unit, policy });
        }
        let phase = self.fields.phase.as_ref();
        let name = self.text("phase", phase)?;
        let phase = Phase::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| self.error("phase", phase, "write a phase, such as running"))?;
        let event = self.parsed("event", self.fields.event.as_ref())?;
        let (delay, save) = (self.delay()?, self.save()?);
        let actions = match self.fields.actions.take() {
            Some(Field::Texts(actions)) => actions,
            other => {
                let fix = "write a list of commands in quotes";
                return Err(self.error("actions", other.as_ref(), fix));
            }
        };
        Ok(RecordLine::Step(RecordedStep { at_us, unit, event, phase, delay, save, actions }))
    }

    fn state(&self, field: Option<&Field<'a>>) -> Result<State, RecordError> {
        let bytes = hex::decode(self.text("state", field)?).ok_or_else(|| {
            self.error("state", field, "write the bytes of a state as hexadecimal digits")
        })?;
        State::from_bytes(&bytes).map_err(|error| self.error("state", field, &error.to_string()))
    }

    fn delay(&self) -> Result<Option<Millis>, RecordError> {
        let field = self.fields.delay_ms.as_ref();
        if field.is_none() {
            return Ok(None);
        }
        u32::try_from(self.whole("delay_ms", field)?)
            .map(|delay| Some(Millis::new(delay)))
            .map_err(|_| self.error("delay_ms", field, "write a number below 2^32"))
    }

    fn save(&self) -> Result<SaveStatus, RecordError> {
        let field = self.fields.save.as_ref();
        if field.is_none() {
            return Ok(SaveStatus::Saved);
        }
        let name = self.text("save", field)?;
        [SaveStatus::Saved, SaveStatus::Pending, SaveStatus::Failed]
            .into_iter()
            .find(|status| save_name(*status) == name)
            .ok_or_else(|| self.error("save", field, "write saved, pending or failed"))
    }

    fn parsed<T: std::str::FromStr<Err: fmt::Display>>(
        &self,
        name: &'static str,
        field: Option<&Field<'a>>,
    ) -> Result<T, RecordError> {
        let text = self.text(name, field)?;
        text.parse().map_err(|error: T::Err| self.error(name, field, &error.to_string()))
    }

    fn text<'f>(
        &self,
        name: &'static str,
        field: Option<&'f Field<'a>>,
    ) -> Result<&'f str, RecordError> {
        match field {
            Some(Field::Text(text)) => Ok(text),
            other => Err(self.error(name, other, TEXT)),
        }
    }

    fn whole(&self, name: &'static str, field: Option<&Field<'a>>) -> Result<u64, RecordError> {
        match field {
            Some(Field::Number(number)) => Ok(*number),
            other => Err(self.error(name, other, "write a whole number")),
        }
    }

    fn error(&self, name: &'static str, field: Option<&Field<'a>>, fix: &str) -> RecordError {
        let value = field.map_or_else(String::new, ToString::to_string);
        RecordError::new(self.number, name, &value, fix)
    }
}

const TEXT: &str = "write a text in quotes";

/// The most bytes of a line: more than any line has, and few enough to hold.
const LINE_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"record":1,"unit":0,"name":"web","policy":"restart=always"}"#;

    fn refused(line: &str) -> RecordError {
        let text = format!("{HEAD}\n{line}\n");
        let mut reader = RecordReader::new(text.as_bytes());
        reader.read().unwrap();
        reader.read().unwrap_err()
    }

    #[test]
    fn errors_name_line_field_value_and_fix() {
        let step =
            r#"{"at_us":0,"unit":0,"event":"exited #1 code=900","phase":"releasing","actions":[]}"#;
        let error = refused(step);
        assert_eq!((error.line(), error.field()), (2, "event"));
        assert_eq!(
            error.to_string(),
            "line 2: event: \"exited #1 code=900\" is not understood: \
             code: \"900\" is not understood: write an exit status from 0 to 255"
        );
        let wrong = |field: &str| {
            format!(
                r#"{{"at_us":0,"unit":0,"event":"start","phase":"starting","actions":[],{field}}}"#
            )
        };
        for (line, field) in [
            ("[]", "line"),
            ("{\"at_us\":", "line"),
            ("{}", "unit"),
            (r#"{"record":2,"unit":0,"name":"web","policy":"restart=no"}"#, "record"),
            (r#"{"record":1,"unit":0,"policy":"restart=no"}"#, "name"),
            (r#"{"record":1,"unit":0,"name":"web","policy":"restart=so"}"#, "policy"),
            (r#"{"record":1,"unit":0,"name":"w","policy":"","state":"0g"}"#, "state"),
            (r#"{"record":1,"unit":0,"name":"w","policy":"","state":"00"}"#, "state"),
            (r#"{"at_us":0,"unit":1,"event":"start","phase":"starting","actions":[]}"#, "unit"),
            (r#"{"unit":0,"event":"start","phase":"starting","actions":[]}"#, "at_us"),
            (r#"{"at_us":0,"unit":0,"event":"start","phase":"up","actions":[]}"#, "phase"),
            (r#"{"at_us":0,"unit":0,"event":"start","phase":"starting","actions":[1]}"#, "actions"),
            (&wrong(r#""save":"lost""#), "save"),
            (&wrong(r#""delay_ms":-1"#), "delay_ms"),
            (&wrong(r#""delay_ms":4294967296"#), "delay_ms"),
        ] {
            let error = refused(line);
            assert_eq!((error.line(), error.field()), (2, field), "{error}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        for (unit, value) in [
            ("null", ""),
            ("-1", "-1"),
            (r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a",1,"b"]"#, r#"["a",1,"b"]"#),
        ] {
            let line = format!(r#"{{"at_us":0,"unit":{unit}}}"#);
            assert_eq!(refused(&line).value(), value);
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_held() {
        let endless = std::io::repeat(b'x');
        let mut reader = RecordReader::new(std::io::BufReader::new(endless));
        assert_eq!(reader.read().unwrap_err().field(), "line");
        assert!(reader.text.capacity() <= 4 << 20);
    }
}
