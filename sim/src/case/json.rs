//! The JSON form of a case, for programs. Its strings are words of the text form.
//!
//! `sim/docs/case.schema.json` is its JSON Schema.

use monitor_core::{Millis, Policy};
use serde::{Deserialize, Serialize};

use super::definition::{Case, Other};
use super::expected::{Expected, ExpectedStep, Trigger};
use super::input::{InputKind, TimedInput};
use super::script::Script;
use super::text;
#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// A case as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CaseJson {
    /// The policy in force at the beginning, as `key=value` words.
    pub policy: String,
    /// The words of a `process` line for each run. The last entry serves all later runs.
    #[serde(default)]
    pub processes: Vec<String>,
    /// The delay with which every timer fires, in milliseconds.
    #[serde(default)]
    pub timers_late_ms: u32,
    /// The time that the driver takes for each input, in milliseconds.
    #[serde(default)]
    pub handling_takes_ms: u32,
    /// The time until which every save fails, in milliseconds.
    #[serde(default)]
    pub saves_fail_until_ms: u32,
    /// The time that every save takes, in milliseconds.
    #[serde(default)]
    pub saves_take_ms: u32,
    /// Further units on the same driver: the units 1, 2 and so on.
    #[serde(default)]
    pub others: Vec<OtherJson>,
    /// The count of process numbers; without it more than are ever used.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub pids: Option<u8>,
    /// What the disk does when the power goes to what was not made to survive: `loses`, `tears` or
    /// `reorders`.
    #[serde(default)]
    pub disk: Option<String>,
    /// The seed of the jitter.
    #[serde(default)]
    pub seed: u64,
    /// The inputs, in the order of time.
    pub inputs: Vec<InputJson>,
    /// The expected steps and the expected end.
    #[serde(default, skip_serializing_if = "ExpectedJson::is_empty")]
    pub expected: ExpectedJson,
}

/// The expectations of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectedJson {
    /// Every step, in order. Empty if steps are not compared.
    #[serde(default)]
    pub steps: Vec<StepJson>,
    /// Parts of the final state, such as `stopped, restarts 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

impl ExpectedJson {
    const fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.end.is_none()
    }
}

/// An expected step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(untagged, deny_unknown_fields)]
pub enum StepJson {
    /// The machine receives an input.
    Input {
        /// The index of the input.
        input: usize,
        /// The actions in order, such as `save; spawn #1; emit starting [starting]`.
        actions: String,
    },
    /// The world does something by itself.
    World {
        /// The time in milliseconds since the beginning.
        at_ms: u32,
        /// The event, such as `exited #1 code=7`.
        event: String,
        /// The actions in order.
        actions: String,
    },
}

impl From<&Expected> for ExpectedJson {
    fn from(expected: &Expected) -> Self {
        let steps = expected.steps.iter().map(|ExpectedStep { trigger, answer }| match trigger {
            Trigger::Input(input) => StepJson::Input { input: *input, actions: answer.to_string() },
            Trigger::World { at, event } => StepJson::World {
                at_ms: at.as_u32(),
                event: event.clone(),
                actions: answer.to_string(),
            },
        });
        Self { steps: steps.collect(), end: expected.end.clone() }
    }
}

/// A further unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OtherJson {
    /// The policy in force at the beginning, as `key=value` words.
    pub policy: String,
    /// The words of a `process` line for each run.
    #[serde(default)]
    pub processes: Vec<String>,
}

/// An input and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(untagged, deny_unknown_fields)]
pub enum InputJson {
    /// An event.
    Event {
        /// The time in milliseconds since the beginning.
        at_ms: u32,
        /// The unit; 0 is the first.
        #[serde(default)]
        unit: u8,
        /// The event, such as `start`, `stop grace=5s`, `exited #1 code=7`.
        event: String,
    },
    /// Another policy.
    Policy {
        /// The time in milliseconds since the beginning.
        at_ms: u32,
        /// The unit; 0 is the first.
        #[serde(default)]
        unit: u8,
        /// The policy, as `key=value` words.
        policy: String,
    },
    /// Something that happens to the monitor or its machine.
    Accident {
        /// The time in milliseconds since the beginning.
        at_ms: u32,
        /// What happens: `crash after=2 down=1s`, `reboot after=2`, `wall +1h`, `suspend 10m` or
        /// `stop-faults`.
        accident: String,
    },
}

impl From<&Case> for CaseJson {
    fn from(case: &Case) -> Self {
        let inputs = case.inputs.iter().map(|&TimedInput { at, unit, kind }| {
            let at_ms = at.as_u32();
            match kind {
                InputKind::Event(event) => {
                    InputJson::Event { at_ms, unit, event: event.to_string() }
                }
                InputKind::Policy(policy) => {
                    InputJson::Policy { at_ms, unit, policy: policy.to_string() }
                }
                InputKind::Crash { .. }
                | InputKind::Reboot { .. }
                | InputKind::StopFaults
                | InputKind::Wall(_)
                | InputKind::Suspend(_) => {
                    InputJson::Accident { at_ms, accident: kind.to_string() }
                }
            }
        });
        let words = |scripts: &[Script]| {
            scripts.iter().map(|script| script.to_string().trim().to_owned()).collect()
        };
        let others = case.others.iter().map(|other| OtherJson {
            policy: other.policy.to_string(),
            processes: words(&other.scripts),
        });
        Self {
            policy: case.policy.to_string(),
            processes: words(&case.scripts),
            timers_late_ms: case.timers_late.as_u32(),
            handling_takes_ms: case.handling_takes.as_u32(),
            saves_fail_until_ms: case.saves_fail_until.as_u32(),
            saves_take_ms: case.saves_take.as_u32(),
            others: others.collect(),
            pids: case.pids,
            disk: case.disk.map(|fault| fault.name().to_owned()),
            seed: case.seed,
            inputs: inputs.collect(),
            expected: (&case.expected).into(),
        }
    }
}

/// An error in the JSON form of a case.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaseJsonError {
    /// The place as a JSON pointer, such as `/inputs/2/event`; empty for the whole.
    pub pointer: String,
    /// The error, and its correction.
    pub message: String,
}

impl std::fmt::Display for CaseJsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.pointer.is_empty() { "case" } else { &self.pointer };
        write!(f, "{place}: {}", self.message)
    }
}

/// Prints as `Display` does, so that `unwrap` shows the text.
impl std::fmt::Debug for CaseJsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for CaseJsonError {}

impl Case {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`CaseJsonError`] with the place, the value and the correction.
    pub fn from_json(text: &str) -> Result<Self, CaseJsonError> {
        let json: CaseJson = serde_json::from_str(text).map_err(|error| {
            at("", &format!("{error}: see docs/case.schema.json of monitor-sim"))
        })?;
        Self::try_from(json)
    }

    /// Prints the JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        // The form has nothing but texts and numbers, which cannot fail to be printed.
        serde_json::to_string_pretty(&CaseJson::from(self)).unwrap_or_default()
    }
}

/// # Errors
/// As [`Case::from_json`].
impl TryFrom<CaseJson> for Case {
    type Error = CaseJsonError;

    fn try_from(json: CaseJson) -> Result<Self, CaseJsonError> {
        let mut case = Self::new(policy("/policy", &json.policy)?);
        if !json.processes.is_empty() {
            case.scripts = scripts("/processes", &json.processes)?;
        }
        for (index, other) in json.others.iter().enumerate() {
            let policy = policy(&format!("/others/{index}/policy"), &other.policy)?;
            let scripts = scripts(&format!("/others/{index}/processes"), &other.processes)?;
            case.others.push(Other { policy, scripts });
        }
        if json.pids == Some(0) {
            return Err(at("/pids", &"0 is no size of a table: write one from 1 to 255"));
        }
        case.timers_late = Millis::new(json.timers_late_ms);
        case.handling_takes = Millis::new(json.handling_takes_ms);
        case.saves_fail_until = Millis::new(json.saves_fail_until_ms);
        case.saves_take = Millis::new(json.saves_take_ms);
        case.pids = json.pids;
        case.disk = match json.disk.as_deref().map(text::read_disk) {
            Some(fault) => Some(fault.map_err(|error| at("/disk", &error))?),
            None => None,
        };
        case.seed = json.seed;
        let mut before = 0;
        for (index, input) in json.inputs.iter().enumerate() {
            let place = |key: &str| format!("/inputs/{index}/{key}");
            let (at_ms, unit, kind) = match input {
                InputJson::Event { at_ms, unit, event } => {
                    let event = event.parse().map_err(|error| at(&place("event"), &error))?;
                    (*at_ms, *unit, InputKind::Event(event))
                }
                InputJson::Policy { at_ms, unit, policy: words } => {
                    (*at_ms, *unit, InputKind::Policy(policy(&place("policy"), words)?))
                }
                InputJson::Accident { at_ms, accident } => {
                    let kind: InputKind =
                        accident.parse().map_err(|error| at(&place("accident"), &error))?;
                    if matches!(kind, InputKind::Event(_) | InputKind::Policy(_)) {
                        let message =
                            format!("{accident:?} is no accident: give it as an event or a policy");
                        return Err(at(&place("accident"), &message));
                    }
                    (*at_ms, 0, kind)
                }
            };
            if at_ms < before {
                let message =
                    format!("{at_ms} is before {before}, the input above: order them by time");
                return Err(at(&place("at_ms"), &message));
            }
            if usize::from(unit) >= case.units() {
                let message = format!("there is no unit {unit}: give one below {}", case.units());
                return Err(at(&place("unit"), &message));
            }
            before = at_ms;
            case.inputs.push(TimedInput { at: Millis::new(at_ms), unit, kind });
        }
        case.expected.end = json.expected.end;
        for (index, step) in json.expected.steps.iter().enumerate() {
            let place = format!("/expected/steps/{index}");
            expect(&mut case, step).map_err(|message| at(&place, &message))?;
        }
        Ok(case)
    }
}

fn expect(case: &mut Case, step: &StepJson) -> Result<(), String> {
    let added = match step {
        StepJson::Input { input, actions } => {
            let kind = case.inputs.get(*input).map(|input| input.kind).ok_or_else(|| {
                format!("input {input} is not there: give one below {}", case.inputs.len())
            })?;
            let is_later =
                |step: &ExpectedStep| matches!(step.trigger, Trigger::Input(n) if n >= *input);
            if case.expected.steps.iter().any(is_later) {
                return Err(format!("input {input} is out of order: write each once, in order"));
            }
            case.expected.answered(*input, kind, actions)
        }
        StepJson::World { at_ms, event, actions } => {
            case.expected.then(&format!("{at_ms}ms {event}"), Some(actions))
        }
    };
    added.map_err(|error| error.to_string())
}

fn scripts(pointer: &str, processes: &[String]) -> Result<Vec<Script>, CaseJsonError> {
    let read = |(index, words): (usize, &String)| {
        words.parse().map_err(|error| at(&format!("{pointer}/{index}"), &error))
    };
    processes.iter().enumerate().map(read).collect()
}

fn policy(pointer: &str, words: &str) -> Result<Policy, CaseJsonError> {
    words.parse().map_err(|error: monitor_core::PolicyTextError| at(pointer, &error))
}

fn at(pointer: &str, message: &dyn std::fmt::Display) -> CaseJsonError {
    CaseJsonError { pointer: pointer.to_owned(), message: message.to_string() }
}

/// Returns the published JSON Schema of a case.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(CaseJson);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_point_at_the_place() {
        for (json, expected) in [
            (r#"{"policy":"restart=often","inputs":[]}"#, "/policy: restart: \"often\""),
            (
                r#"{"policy":"restart=no","processes":["eats=1s"],"inputs":[]}"#,
                "/processes/0: \"eats=1s\" is no word",
            ),
            (
                r#"{"policy":"restart=no","inputs":[{"at_ms":5,"event":"start"},{"at_ms":1,"event":"stop"}]}"#,
                "/inputs/1/at_ms: 1 is before 5",
            ),
            (
                r#"{"policy":"restart=no","inputs":[{"at_ms":5,"event":"leap"}]}"#,
                "/inputs/0/event: event: \"leap\"",
            ),
            (
                r#"{"policy":"restart=no","inputs":[{"at_ms":5,"event":"start"}],"expected":{"steps":[{"input":1,"actions":"-"}]}}"#,
                "/expected/steps/0: input 1 is not there",
            ),
            (
                r#"{"policy":"restart=no","inputs":[],"expected":{"steps":[{"at_ms":1,"event":"ready","actions":"-"}]}}"#,
                "/expected/steps/0: run: \"\"",
            ),
            (
                r#"{"policy":"restart=no","inputs":[{"at_ms":5,"unit":1,"event":"start"}]}"#,
                "/inputs/0/unit: there is no unit 1",
            ),
            (
                r#"{"policy":"restart=no","inputs":[{"at_ms":5,"accident":"crash up=1s"}]}"#,
                "/inputs/0/accident: \"up=1s\" is no word",
            ),
            (r#"{"policy":"restart=no","pids":0,"inputs":[]}"#, "/pids: 0 is no size"),
            (
                r#"{"policy":"restart=no","disk":"eats","inputs":[]}"#,
                "/disk: \"eats\" is not known",
            ),
            (r#"{"policy":"restart=no"}"#, "case: missing field `inputs`"),
        ] {
            let error = Case::from_json(json).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_expected_survives_the_json_form() {
        let text = "policy restart=no\nprocess rest\n0ms start => save; spawn A\nthen 0ms started A => -\n1ms stop => {save ; emit stopping} [stopping]\nend => stopped";
        let case: Case = text.parse().unwrap();
        assert_eq!(Case::from_json(&case.to_json()), Ok(case));
    }

    #[cfg(feature = "schema")]
    #[test]
    fn the_published_schema_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/case.schema.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, schema()).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(published, schema(), "accept with UPDATE_SCHEMA=1 cargo test -p monitor-sim");
    }
}
