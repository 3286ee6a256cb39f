//! Campaigns as a user runs them: interrupted, resumed, sharded, merged, and wrong command lines.
#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use serde_json::{Map, Value};

fn sim(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitor-sim"));
    for name in ["JOB_COMPLETION_INDEX", "SLURM_ARRAY_TASK_ID", "CI_NODE_INDEX", "CI_NODE_TOTAL"] {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).output().expect("the program runs")
}

fn run(out: &Path, more: &[&str], environment: &[(&str, &str)]) -> Output {
    let out = out.to_str().expect("a readable path");
    let fixed = ["run", "--campaign", "test", "--cases", "6000", "--out", out];
    sim(&[&fixed[..], more].concat(), environment)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn jobs_shards_and_resumption_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, parts) =
        (dir.path().join("one"), dir.path().join("two"), dir.path().join("parts"));
    assert_eq!(run(&one, &["--jobs", "1"], &[]).status.code(), Some(0));
    // A budget that is used at once, then the rest.
    let early = run(&two, &["--jobs", "2", "--budget", "0ms"], &[]);
    assert_eq!(early.status.code(), Some(0), "{}", text(&early.stderr));
    assert!(text(&early.stdout).contains("the budget is used"), "{}", text(&early.stdout));
    assert_eq!(run(&two, &["--jobs", "2"], &[]).status.code(), Some(0));
    for index in ["0", "1", "2"] {
        let shard = run(&parts, &["--shards", "3"], &[("JOB_COMPLETION_INDEX", index)]);
        assert_eq!(shard.status.code(), Some(0), "{}", text(&shard.stderr));
    }
    let merged = |dir: &Path| {
        let output = sim(&["merge", "--json", dir.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(merged(&one), merged(&two));
    assert_eq!(merged(&one), merged(&parts));
    let file = |dir: &Path| fs::read(dir.join("shard-0-of-1.json")).unwrap();
    assert_eq!(file(&one), file(&two), "the files are equal to the byte");
}

/// The digest stands in a file, so that other builds can be compared with it, as `.ci/run` does with
/// the optimised program.
#[test]
fn ten_thousand_seeds_have_the_digest_on_record_whatever_the_jobs() {
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/digest.txt");
    for jobs in ["1", "2"] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().to_str().unwrap();
        let campaign = ["run", "--campaign", "determinism", "--cases", "10000"];
        let output = sim(&[&campaign[..], &["--jobs", jobs, "--out", out]].concat(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let shown = text(&output.stdout);
        let digest = shown.lines().find(|line| line.starts_with("digest ")).unwrap();
        let digest = format!("{}\n", digest.split(';').next().unwrap());
        if env::var_os("UPDATE_DIGEST").is_some() {
            fs::write(&record, &digest).unwrap();
        }
        let known = fs::read_to_string(&record).unwrap();
        assert_eq!(digest, known, "{jobs} jobs; UPDATE_DIGEST=1 accepts the left");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_mend() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    for (more, environment, expected) in [
        (&["--shard", "4/4"][..], &[][..], "write K/N with K from 0 to N-1"),
        (&["--shards", "3"], &[], "set it, or give --shard K/3"),
        (&["--shards", "3"], &[("SLURM_ARRAY_TASK_ID", "3")], "number the jobs from 0"),
        (&[], &[("JOB_COMPLETION_INDEX", "3")], "give --shards N"),
    ] {
        let output = run(out, more, environment);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
    fs::write(out.join("shard-0-of-1.json"), "{}").unwrap();
    let output = run(out, &[], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("is damaged; remove it"), "{}", text(&output.stderr));
    let empty = tempfile::tempdir().unwrap();
    let output = sim(&["merge", empty.path().to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(64));
}

/// A scheduler retries what it does not know: a typing error has the status of an input that is not
/// understood.
#[test]
fn wrong_command_line_has_the_status_of_a_wrong_input() {
    for arguments in [&["ran"][..], &["run", "--no-such-flag"], &["check", "--cases", "x"], &[]] {
        let output = sim(arguments, &[]);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(text(&output.stderr).contains("help"), "{}", text(&output.stderr));
    }
    for arguments in [&["--help"][..], &["help", "run"], &["--version"]] {
        assert_eq!(sim(arguments, &[]).status.code(), Some(0), "{arguments:?}");
    }
}

/// With zero of something nothing would run, and silence would look like success.
#[test]
fn zero_of_something_is_refused_with_the_option_the_value_and_the_mend() {
    for (command, option) in [("check", "--cases"), ("bugs", "--campaigns")] {
        refused(&[command, option, "0"], option, "nothing would run: give a whole number from 1");
    }
    for option in ["--cases", "--jobs", "--shards"] {
        refused(&["run", option, "0"], option, "nothing would run: give a whole number from 1");
    }
    for name in ["", " "] {
        refused(&["run", "--campaign", name], "--campaign", "give one such as nightly");
    }
    refused(&["check", "--inject", "BB-1", "--cases", "0"], "--cases", "from 1");
    refused(&["check", "--cases", "-"], "--cases", "from 1");
}

#[test]
#[cfg(feature = "real")]
fn zero_cases_on_real_processes_are_refused_and_none_rings() {
    for option in ["--cases", "--cycles", "--kills", "--steps", "--width"] {
        refused(&["real", option, "0"], option, "nothing would run: give a whole number from 1");
    }
    let output = sim(&["real", "--budget", "0s"], &[]);
    assert_eq!(output.status.code(), Some(12), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("ALARM cases-missing: "), "{}", text(&output.stdout));
}

fn refused(arguments: &[&str], option: &str, mend: &str) {
    let output = sim(arguments, &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
    let value = arguments.last().expect("a value");
    for part in [option, &format!("'{value}'"), mend] {
        assert!(said.contains(part), "{arguments:?}: {part:?} is missing in {said}");
    }
}

/// What no shard has run is no success, and a shard that was interrupted at once has run nothing.
#[test]
fn a_gap_in_a_merge_has_a_status_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    let merged = || sim(&["merge", out.to_str().unwrap()], &[]);
    assert_eq!(run(out, &["--shard", "0/3"], &[]).status.code(), Some(0));
    assert_eq!(run(out, &["--shard", "2/3"], &[]).status.code(), Some(0));
    let output = merged();
    assert_eq!(output.status.code(), Some(13), "{}", text(&output.stdout));
    assert!(
        text(&output.stdout).contains("gap       cases 2000..4000"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(run(out, &["--shard", "1/3"], &[]).status.code(), Some(0));
    assert_eq!(merged().status.code(), Some(0));
    let output = run(out, &["--shard", "0/6001"], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("give fewer shards"), "{}", text(&output.stderr));
    // At the end of the numbers a block is cut, and does not begin anew at 0.
    let (last, all) = (format!("{}/{}", u64::MAX - 1, u64::MAX), u64::MAX.to_string());
    let arguments = ["run", "--cases", &all, "--shard", &last, "--out", out.to_str().unwrap()];
    let output = sim(&arguments, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\n1 cases and "), "{}", text(&output.stdout));
}

/// While the canaries run, a signal already leaves a report and the status of an interruption.
#[test]
fn a_signal_during_the_canaries_ends_a_run_as_interrupted() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_monitor-sim"))
            .args(["run", "--campaign", "test", "--cases", "1000000000", "--out"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The line before the canaries.
        assert!(lines.next().unwrap().unwrap().starts_with("campaign \"test\""));
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(75), "{signal}: {rest:?}");
        assert!(dir.path().join("shard-0-of-1.json").exists(), "{signal}");
    }
}

/// After the largest seed comes 0, so that a check runs as many cases wherever it begins.
#[test]
fn a_check_that_begins_at_the_largest_seed_runs_its_cases() {
    let last = u64::MAX.to_string();
    let output = sim(&["check", "--cases", "2", "--seed", &last], &[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("; 28 cases, "), "{said}");
    // A bug below the machine, which the random engine alone can find.
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let inject = ["check", "--inject", "BB-83", "--cases", "300", "--seed", &last, "--out", out];
    let output = sim(&inject, &[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(10), "{said}");
}

/// A report without the proof that its canaries ran, or that met too little, is not believed.
#[test]
fn alarms_have_a_status_of_their_own_and_stand_in_the_json() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path();
    assert_eq!(run(out, &[], &[]).status.code(), Some(0));
    let path = out.join("shard-0-of-1.json");
    let sound: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(sound["alarms"], Value::Object(Map::new()));
    assert!(sound["canaries"].as_object().unwrap().len() >= 8, "{sound}");
    for (field, spoilt, alarm) in [
        ("/canaries", "{}", "canaries-off"),
        ("/report/coverage_marks", "[]", "coverage-below-floor"),
        ("/report/aims", "{}", "coverage-below-floor"),
        ("/report/doubled", "1", "second-run-skipped"),
        ("/report/unshrunk", "1", "shrunk-case-passes"),
        ("/report/cases", "5999", "cases-missing"),
        ("/alarms", r#"{"end-not-checked": "it"}"#, "end-not-checked"),
    ] {
        let mut file = sound.clone();
        *file.pointer_mut(field).unwrap() = serde_json::from_str(spoilt).unwrap();
        fs::write(&path, file.to_string()).unwrap();
        let folder = out.to_str().unwrap();
        let output = sim(&["merge", folder], &[]);
        assert_eq!(output.status.code(), Some(12), "{field}: {}", text(&output.stdout));
        let line = format!("ALARM {alarm}: ");
        assert!(text(&output.stdout).contains(&line), "{field}: {}", text(&output.stdout));
        assert!(!text(&output.stdout).contains("no property is violated"));
        let output = sim(&["merge", "--json", folder], &[]);
        assert_eq!(output.status.code(), Some(12));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(json["alarms"].get(alarm).is_some(), "{field}: {json}");
        let again = run(out, &[], &[]);
        assert!(again.status.code() == Some(12), "{field}, resumed: {}", text(&again.stdout));
    }
    for (field, spoilt) in
        [("/alarms", r#"{"no-such-alarm": "it"}"#), ("/next", "6001"), ("/shard/count", "0")]
    {
        let mut file = sound.clone();
        *file.pointer_mut(field).unwrap() = serde_json::from_str(spoilt).unwrap();
        fs::write(&path, file.to_string()).unwrap();
        let output = sim(&["merge", out.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(64), "{field}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains("is damaged; remove it"), "{field}");
    }
}
