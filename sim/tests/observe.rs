//! The judges of supervisors, on recordings that are written here: each rule is seen to hold and
//! to be broken.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

use monitor_sim::observe::{
    Fact, Recording, Request, SUITE, Supervisor, TimedFact, Verdict, parse, scenario,
};

const FILE: &str = r#"
name = "all"
programs = ["sh"]
run = ["sh", "{dir}/supervisor"]
requests.stop = ["stop"]
requests.start = ["start"]
requests.restart = ["restart"]
requests.status = { run = ["status"], up = "up", down = "down" }
policies = { always = "", on-failure = "", never = "", limited = "" }
restarts = { delays = ["1s", "2s"], settles = "1s" }
limit = { restarts = 2 }
stop = { signal = "TERM", grace = "2s" }
remains = { stop = "killed", exit = "killed" }
shutdown = { signal = "TERM", runs = "ended" }
crash = { runs = "adopted" }
"#;

fn rules() -> Vec<&'static str> {
    SUITE.iter().map(|scenario| scenario.id).collect()
}

fn supervisor() -> Supervisor {
    parse(Path::new("all.toml"), FILE, &rules()).unwrap()
}

/// Reads a recording: facts separated by `;`, each with its time in milliseconds.
fn recording(text: &str) -> Recording {
    let mut facts = Vec::new();
    let (mut asked, mut open) = (0, Vec::new());
    for line in text.split(';') {
        let words: Vec<_> = line.split_whitespace().collect();
        let [at, verb, rest @ ..] = &words[..] else { panic!("{line:?}") };
        let at = at.parse::<u64>().unwrap() * 1_000_000;
        let pid = || rest[0].parse::<u32>().unwrap();
        let request = || match rest[0] {
            "stop" => Request::Stop,
            "start" => Request::Start,
            "restart" => Request::Restart,
            "status" => Request::Status,
            other => panic!("{other}"),
        };
        let fact = match *verb {
            "run" => {
                facts.push(TimedFact { at, fact: Fact::Made { pid: pid() } });
                Fact::Began { pid: pid(), parent: 9, overlaps: rest.len() > 1 }
            }
            "member" => Fact::MemberBegan { pid: pid(), parent: 1 },
            "signal" => Fact::Signalled { pid: pid(), signal: rest[1].parse().unwrap() },
            "end" => Fact::Ending { pid: pid(), exit: "code=1".to_owned() },
            "gone" => Fact::Gone { pid: pid() },
            "ask" => {
                asked += 1;
                open.push((request(), asked));
                Fact::Asked { request: request(), command: asked }
            }
            "answer" => {
                let at = open.iter().position(|(known, _)| *known == request()).unwrap();
                let (request, command) = open.remove(at);
                Fact::Answered { request, command, code: Some(0), output: rest[1..].join(" ") }
            }
            "refuse" => {
                let (request, command) = open.pop().unwrap();
                Fact::Answered { request, command, code: Some(1), output: String::new() }
            }
            "told" => Fact::ToldToEnd,
            "crash" => Fact::Crashed { pid: 9 },
            "vain" => Fact::Waited { vain: rest.join(" ") },
            other => panic!("{other}"),
        };
        facts.push(TimedFact { at, fact });
    }
    Recording { facts }
}

const STOPPED: &str = "0 run 1; 9 ask stop; 20 signal 1 15; 21 gone 1; 30 answer stop";
const LATE: &str = "0 run 1; 9 ask stop; 21 gone 1; 30 answer stop; 1000 run 2; 1010 gone 2";
const LIVES_ON: &str = "0 run 1; 9 ask stop; 30 answer stop";
const QUICK: &str = "0 run 1; 9 end 1; 10 gone 1; 1020 run 2; 1029 end 2; 1030 gone 2";
const KILLED: &str = "0 run 1; 9 ask stop; 20 signal 1 15; 2010 gone 1; 2020 answer stop";
const ONE: &str = "0 run 1";
const TWO: &str = "0 run 1; 1500 gone 1; 2500 run 2";
const THREE: &str = "0 run 1; 1500 gone 1; 2500 run 2; 2600 gone 2; 3000 run 3";
const TWO_AT_ONCE: &str = "0 run 1; 10 run 2 overlaps; 20 gone 1";

/// A rule, a recording in which it holds, and some in which it is broken, each with a part of what
/// is said to be seen.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("starts-once", ONE, &[(TWO, "2 runs"), ("0 run 1; 9 gone 1", "0 live"), ("9 vain run 1 begins", "deadline")]),
    ("restarts-after-exit-0", TWO, &[(ONE, "1 run,"), (THREE, "3 runs"), (TWO_AT_ONCE, "while another")]),
    ("restarts-after-exit-1", TWO, &[(ONE, "1 run,"), (THREE, "3 runs")]),
    ("restarts-after-signal", TWO, &[(ONE, "1 run,"), (THREE, "3 runs")]),
    ("restarts-after-quick-end", TWO, &[(ONE, "1 run,"), (THREE, "3 runs")]),
    ("on-failure-accepts-exit-0", "0 run 1; 9 gone 1", &[(TWO, "2 runs")]),
    ("on-failure-restarts-exit-1", TWO, &[("0 run 1; 9 gone 1", "0 live")]),
    ("on-failure-restarts-signal", TWO, &[("0 run 1; 9 gone 1", "0 live")]),
    ("never-restarts", "0 run 1; 9 gone 1", &[(TWO, "2 runs")]),
    ("delay-between-runs", "0 run 1; 50 end 1; 60 gone 1; 1050 run 2; 1100 end 2; 1110 gone 2; 3100 run 3", &[
        ("0 run 1; 50 end 1; 60 gone 1; 700 run 2", "0.350 s too early"),
        ("0 run 1; 50 end 1; 60 gone 1; 1050 run 2; 1100 end 2; 1110 gone 2; 2100 run 3", "1.000 s too early"),
    ]),
    ("limit-gives-up", "0 run 1; 1 gone 1; 9 run 2; 10 gone 2; 20 run 3; 21 gone 3", &[
        (QUICK, "2 runs"),
        ("0 run 1; 1 gone 1; 9 run 2; 10 gone 2; 20 run 3; 21 gone 3; 30 run 4; 31 gone 4", "4 runs"),
    ]),
    ("start-after-limit", "0 run 1; 1 gone 1; 9 run 2; 10 gone 2; 20 run 3; 21 gone 3; 30 run 4", &[
        ("0 run 1; 1 gone 1; 9 run 2; 10 gone 2; 20 run 3; 21 gone 3", "3 runs"),
    ]),
    ("stop-ends-run", STOPPED, &[(LATE, "after the stop was answered"), (LIVES_ON, "1 live")]),
    ("stop-sends-signal", STOPPED, &[
        ("0 run 1; 20 signal 1 2; 21 signal 1 15", "INT"), ("0 run 1; 9 gone 1", "no signal"),
    ]),
    ("stop-beats-restart", STOPPED, &[(LATE, "after the stop was answered")]),
    ("stop-in-backoff", "0 run 1; 9 end 1; 10 gone 1; 1020 run 2; 1029 end 2; 1030 gone 2; 1040 ask stop; 1050 answer stop", &[
        ("0 run 1; 10 gone 1; 1020 run 2; 1030 gone 2; 1040 ask stop; 1050 answer stop; 3100 run 3", "live"),
        ("0 run 1; 10 gone 1; 1020 run 2; 1030 gone 2; 1040 ask stop; 1050 answer stop; 3100 run 3; 3120 gone 3", "2.050 s after"),
    ]),
    ("stop-when-delay-ends", "0 run 1; 9 gone 1; 900 ask stop; 910 answer stop; 5000 ask start; 5010 run 2; 5020 answer start; 5060 gone 2; 5900 ask stop; 5910 answer stop", &[
        ("0 run 1; 9 gone 1; 900 ask stop; 910 answer stop; 1500 run 2; 1550 gone 2; 5000 ask start; 5010 run 3; 5060 gone 3; 5061 answer start; 5900 ask stop; 5910 answer stop", "began at 1.500 s"),
        ("0 run 1; 9 gone 1; 900 ask stop; 910 answer stop; 1000 run 2", "1 live"),
    ]),
    ("stop-after-start", "0 run 1; 9 ask stop; 10 gone 1; 30 answer stop; 4000 ask start; 4001 answer start; 4002 run 2; 4003 ask stop; 4005 gone 2; 4009 answer stop", &[
        ("0 run 1; 9 ask stop; 10 gone 1; 30 answer stop; 4000 ask start; 4001 answer start; 4003 ask stop; 4009 answer stop; 4010 run 2", "1 live"),
    ]),
    ("stop-after-restart", "0 run 1; 9 ask restart; 10 gone 1; 11 run 2; 12 answer restart; 13 ask stop; 14 gone 2; 15 answer stop", &[
        ("0 run 1; 9 ask restart; 10 gone 1; 12 answer restart; 13 ask stop; 15 answer stop; 900 run 2; 990 gone 2", "0.885 s after"),
    ]),
    ("stop-after-quick-restart", "0 run 1; 9 ask restart; 10 gone 1; 12 answer restart; 13 ask stop; 15 answer stop; 400 run 2; 401 gone 2; 5000 ask start; 5001 answer start; 5002 run 3; 5009 ask restart; 5010 gone 3; 5011 answer restart; 5012 ask stop; 5013 answer stop", &[
        ("0 run 1; 9 ask restart; 10 gone 1; 12 answer restart; 13 ask stop; 15 answer stop; 1000 run 2; 1001 gone 2; 5000 ask start; 5001 answer start; 5002 run 3; 5009 ask stop; 5010 gone 3; 5012 answer stop", "0.985 s after"),
    ]),
    ("stop-while-restarting", "0 run 1; 9 ask restart; 20 signal 1 15; 21 ask stop; 1510 gone 1; 1520 answer restart; 1521 answer stop", &[
        ("0 run 1; 9 ask restart; 20 signal 1 15; 21 ask stop; 30 answer stop; 1510 gone 1; 1520 answer restart; 1600 run 2", "1 live"),
        ("0 run 1; 9 ask restart; 20 signal 1 15; 21 ask stop; 30 answer stop; 1510 gone 1; 1520 answer restart; 1600 run 2; 1700 gone 2", "1.570 s after"),
    ]),
    ("stop-twice", "0 run 1; 9 ask stop; 9 ask stop; 21 gone 1; 30 answer stop; 31 answer stop", &[(LATE, "after the stop was answered")]),
    ("stop-when-down", STOPPED, &[("0 run 1; 9 ask stop; 21 gone 1; 30 answer stop; 4000 ask stop; 4009 answer stop; 4600 run 2; 4700 gone 2", "began at 4.600 s")]),
    ("kill-after-grace", KILLED, &[
        ("0 run 1; 9 ask stop; 20 signal 1 15; 1700 gone 1; 1710 answer stop", "1.691 s after"),
        ("0 run 1; 9 ask stop; 2100 gone 1; 2110 answer stop", "no signal"),
        ("0 run 1; 9 ask stop; 20 signal 1 15; 2110 answer stop", "it lives"),
    ]),
    ("second-stop-keeps-grace", KILLED, &[("0 run 1; 9 ask stop; 20 signal 1 15; 1000 ask stop; 1100 gone 1; 1110 answer stop; 1111 answer stop", "1.091 s after")]),
    ("stop-never-kills", "0 run 1; 9 ask stop; 20 signal 1 15", &[("0 run 1; 9 ask stop; 20 signal 1 15; 2000 gone 1", "0 live")]),
    ("status-is-true", "0 run 1; 50 ask status; 60 answer status up; 70 ask stop; 75 signal 1 15; 80 ask status; 90 answer status up; 2075 gone 1; 2080 answer stop; 5000 ask status; 5010 answer status down", &[
        ("0 run 1; 50 ask status; 60 answer status up; 70 ask stop; 75 signal 1 15; 80 ask status; 90 answer status down; 2075 gone 1; 2080 answer stop", "while run 1 lived on"),
        ("0 run 1; 50 ask status; 60 answer status up; 70 ask stop; 75 gone 1; 80 answer stop; 5000 ask status; 5010 answer status up", "while no run lived"),
        ("0 run 1; 50 ask status; 60 answer status up; 70 ask stop; 75 gone 1; 80 answer stop; 5000 ask status; 5010 answer status stopping", "down: false"),
    ]),
    ("start-when-running", ONE, &[("0 run 1; 9 run 2", "2 runs")]),
    ("start-after-stop", TWO, &[(ONE, "1 run,"), (THREE, "3 runs")]),
    ("start-while-stopping", "0 run 1; 9 ask stop; 30 ask start; 40 answer start; 1500 gone 1; 1510 answer stop; 1520 run 2", &[
        ("0 run 1; 9 ask stop; 30 ask start; 40 answer start; 1500 gone 1; 1510 answer stop", "1 run,"),
        ("0 run 1; 9 ask stop; 30 ask start; 40 refuse start; 1500 gone 1; 1510 answer stop; 1520 run 2", "2 runs"),
        ("0 run 1; 9 ask stop; 30 ask start; 31 run 2 overlaps; 40 answer start; 1500 gone 1; 1510 answer stop", "while another"),
    ]),
    ("restart-waits-for-end", TWO, &[(TWO_AT_ONCE, "while another")]),
    ("start-twice", TWO, &[(THREE, "3 runs"), (TWO_AT_ONCE, "while another")]),
    ("restart-runs-once", TWO, &[(ONE, "1 run,"), (THREE, "3 runs"), (TWO_AT_ONCE, "while another")]),
    ("restart-in-backoff", "0 run 1; 9 gone 1; 1020 run 2; 1030 gone 2; 1040 ask restart; 1050 answer restart; 1060 run 3", &[
        ("0 run 1; 9 gone 1; 1020 run 2; 1030 gone 2; 1040 ask restart; 1050 answer restart; 1060 run 3; 1070 gone 3; 1080 run 4", "4 runs"),
    ]),
    ("burst-never-overlaps", TWO, &[(TWO_AT_ONCE, "while another")]),
    ("burst-ends-down", STOPPED, &[(LIVES_ON, "1 live")]),
    ("burst-ends-up", TWO, &[(STOPPED, "0 live"), (TWO_AT_ONCE, "while another")]),
    ("remains-end-after-stop", "0 run 1; 5 member 2; 9 ask stop; 21 gone 1; 22 gone 2; 30 answer stop", &[
        ("0 run 1; 5 member 2; 9 ask stop; 21 gone 1; 30 answer stop", "process 2 lives on"),
    ]),
    ("remains-killed-after-stop", "0 run 1; 5 member 2; 9 ask stop; 21 gone 1; 2022 gone 2; 2030 answer stop", &[
        ("0 run 1; 5 member 2; 9 ask stop; 21 gone 1; 30 answer stop", "process 2 lives on"),
    ]),
    ("remains-end-before-next-run", "0 run 1; 5 member 2; 1500 gone 1; 1510 gone 2; 2000 run 3", &[
        ("0 run 1; 5 member 2; 1500 gone 1; 2000 run 3", "process 2 lived"),
    ]),
    ("remains-killed-before-next-run", "0 run 1; 5 member 2; 1500 gone 1; 1510 gone 2; 2000 run 3", &[
        ("0 run 1; 5 member 2; 1500 gone 1; 2000 run 3; 3000 gone 2", "process 2 lived"),
    ]),
    ("shutdown-ends-runs", "0 run 1; 9 told; 10 gone 1", &[("0 run 1; 9 told", "1 live"), ("0 run 1; 9 told; 10 gone 1; 20 run 2; 30 gone 2", "2 runs")]),
    ("shutdown-in-backoff", "0 run 1; 9 gone 1; 10 told", &[("0 run 1; 9 gone 1; 10 told; 1000 run 2", "1 live")]),
    ("crash-never-doubles", "0 run 1; 9 crash", &[
        ("0 run 1; 9 crash; 1000 run 2 overlaps", "while another"), ("0 run 1; 9 crash; 20 gone 1", "0 live"),
    ]),
];

#[test]
fn each_rule_holds_and_is_broken() {
    let supervisor = supervisor();
    let mut seen = BTreeSet::new();
    for &(id, good, bad) in ROWS {
        let scenario = scenario(id).unwrap_or_else(|| panic!("no scenario {id}"));
        assert!(seen.insert(id), "{id} twice");
        assert_eq!(scenario.judge(&recording(good), &supervisor), Verdict::Holds, "{id}: {good}");
        for &(facts, part) in bad {
            let verdict = scenario.judge(&recording(facts), &supervisor);
            let Verdict::Broken(finding) = &verdict else { panic!("{id}: {facts}: {verdict:?}") };
            assert!(finding.seen.contains(part), "{id}: {facts}: {finding:?}");
        }
    }
    assert_eq!(seen, rules().into_iter().collect(), "a rule without a recording");
}

/// A refused start is told to its caller.
#[test]
fn refused_start_need_not_begin_a_run() {
    let facts = "0 run 1; 9 ask stop; 30 ask start; 40 refuse start; 1500 gone 1; 1510 answer stop";
    let scenario = scenario("start-while-stopping").unwrap();
    assert_eq!(scenario.judge(&recording(facts), &supervisor()), Verdict::Holds);
}

#[test]
fn scene_that_did_not_come_about_is_neither() {
    let supervisor = supervisor();
    for (id, facts) in [
        // The third run began before the stop was answered.
        (
            "stop-in-backoff",
            "0 run 1; 9 gone 1; 1020 run 2; 1030 gone 2; 3000 ask stop; 3040 run 3; 3050 gone 3; \
             3060 answer stop",
        ),
        // The restart may have been meant for the third run.
        (
            "restart-in-backoff",
            "0 run 1; 9 gone 1; 1020 run 2; 1030 gone 2; 3000 ask restart; 3040 run 3; 3050 gone \
             3; 3060 answer restart; 3070 run 4",
        ),
        // The stop may have been read after the next run had begun.
        (
            "stop-while-restarting",
            "0 run 1; 9 ask restart; 20 signal 1 15; 21 ask stop; 1510 gone 1; 1520 run 2; 1530 \
             answer restart; 1600 gone 2; 1610 answer stop",
        ),
        ("remains-end-after-stop", STOPPED),
    ] {
        let verdict = scenario(id).unwrap().judge(&recording(facts), &supervisor);
        assert!(matches!(verdict, Verdict::Missed(_)), "{id}: {verdict:?}");
    }
}

/// Each id is a promise to those who have it in their files.
#[test]
fn ids_are_plain_and_unique_and_rules_are_sentences() {
    let mut seen = BTreeSet::new();
    for scenario in &SUITE {
        assert!(seen.insert(scenario.id), "{} twice", scenario.id);
        assert!(
            scenario.id.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit())
        );
        assert!(scenario.rule.ends_with('.'), "{}", scenario.rule);
        assert!(scenario.rule.split_whitespace().count() <= 25, "{}", scenario.rule);
    }
}

#[test]
fn page_lists_each_rule() {
    let page = include_str!("../docs/OBSERVE.md");
    for scenario in &SUITE {
        let row = format!("| `{}` | {} |", scenario.id, scenario.rule);
        assert!(page.contains(&row), "sim/docs/OBSERVE.md lacks the row: {row}");
    }
}

#[test]
fn scenarios_do_not_apply_without_their_features() {
    let bare = FILE
        .replace("requests.restart = [\"restart\"]\n", "")
        .replace(", never = \"\", limited = \"\"", "")
        .replace("limit = { restarts = 2 }\n", "")
        .replace("delays = [\"1s\", \"2s\"], ", "")
        .replace("grace = \"2s\"", "grace = \"never\"")
        .replace("stop = \"killed\", exit = \"killed\"", "stop = \"ended\", exit = \"left\"")
        .replace("runs = \"ended\"", "runs = \"left\"")
        .replace("runs = \"adopted\"", "runs = \"doubled\"");
    let bare = bare + "sources = { \"stop.grace\" = \"the manual\" }\n";
    let bare = parse(Path::new("bare.toml"), &bare, &rules()).unwrap();
    let feature = |id| scenario(id).unwrap().unfit(&bare).map(|unfit| unfit.feature);
    for (id, lacks) in [
        ("starts-once", None),
        ("on-failure-restarts-exit-1", None),
        ("never-restarts", Some("policies.never")),
        ("limit-gives-up", Some("limit")),
        ("delay-between-runs", Some("restarts.delays")),
        ("stop-in-backoff", Some("restarts.delays")),
        ("kill-after-grace", Some("stop.grace")),
        ("stop-never-kills", None),
        ("restart-runs-once", Some("requests.restart")),
        ("remains-end-after-stop", None),
        ("remains-killed-after-stop", Some("remains.stop")),
        ("remains-end-before-next-run", Some("remains.exit")),
        ("shutdown-ends-runs", Some("shutdown.runs")),
        ("crash-never-doubles", Some("crash.runs")),
    ] {
        assert_eq!(feature(id), lacks, "{id}");
    }
    let unfit = scenario("kill-after-grace").unwrap().unfit(&bare).unwrap();
    assert_eq!(
        unfit.to_string(),
        "a run that ignores the stop signal is never killed (the manual)"
    );
    let full = supervisor();
    let unfit: Vec<_> = SUITE.iter().filter(|it| it.unfit(&full).is_some()).collect();
    let [no_kill] = &unfit[..] else { panic!("{unfit:?}") };
    assert_eq!(no_kill.id, "stop-never-kills");
}

#[test]
fn mistakes_in_files_are_named_with_line_key_and_fix() {
    let file = |text: &str| parse(Path::new("x.toml"), text, &rules()).unwrap_err().to_string();
    let with = |from: &str, to: &str| {
        assert!(FILE.contains(from), "{from}");
        file(&FILE.replacen(from, to, 1))
    };
    let above = |more: &str| file(&format!("{more}{FILE}"));
    let below = |more: &str| file(&format!("{FILE}{more}"));
    for (mistake, begin, part) in [
        (with("{dir}", "{folder}"), "x.toml:4: run: ", "there is no placeholder {folder}: write"),
        (with("\"TERM\"", "\"TURM\""), "x.toml:12: stop: ", "\"TURM\" is no signal: write"),
        (with("grace = \"2s\"", "grace = \"2\""), "x.toml:12: stop: ", "or \"never\""),
        (with("settles = \"1s\"", "settles = 1"), "x.toml:10: restarts: ", "expected a string"),
        (with("stop = \"killed\"", "stop = \"gone\""), "x.toml:13: remains: ", "`left`, `ended`"),
        (with("restarts = 2", "restarts = 0"), "x.toml:11: limit: ", "write 1 or more"),
        (with(", limited = \"\"", ""), "x.toml:11: limit: ", "write [policies] limited"),
        (
            with("always = \"\"", "always = \"{policy}\""),
            "x.toml:9: policies: ",
            "leave out {policy}",
        ),
        (with("always = \"\", ", ""), "x.toml:9: policies: ", "write always"),
        (with("name = \"all\"", "name = \"a b\""), "x.toml:2: name: ", "write letters"),
        (with("[\"sh\"]", "[]"), "x.toml:3: programs: ", "write those that must be installed"),
        (with("[\"stop\"]", "[]"), "x.toml:5: requests.stop: ", "write the program"),
        (with("up = \"up\"", "up = \"\""), "x.toml:8: requests.status: ", "write a text"),
        (with("name = \"all\"\n", ""), "x.toml: ", "missing field `name`; sim/docs/OBSERVE.md"),
        (above("nam = 1\n"), "x.toml:1: nam: ", "unknown field `nam`, expected one of `name`"),
        (
            below("deviation = [{ rule = \"x\", reason = \"\", source = \"\" }]\n"),
            "x.toml:16: deviation: ",
            "`monitor-sim observe --list` has all",
        ),
        (below("sources = { grace = \"x\" }\n"), "x.toml:16: sources: ", "write one of policies"),
        (below("[[file]]\npath = \"../x\"\ntext = \"\"\n"), "x.toml:17: path: ", "without .."),
        (below("[[file]]\npath = \"{dir}/x\"\ntext = \"\"\n"), "x.toml:17: path: ", "leave out"),
        (below("[[file]]\npath = \"x\"\ntext = \"\"\nmode = 1\n"), "x.toml:19: mode: ", "unknown"),
    ] {
        assert!(
            mistake.starts_with(begin) && mistake.contains(part),
            "{begin}...{part}: {mistake}"
        );
    }
}

#[test]
fn files_of_the_repository_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("supervisors");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let supervisor = parse(&path, &text, &rules()).unwrap_or_else(|error| panic!("{error}"));
        names.insert(supervisor.name().to_owned());
    }
    let known = ["daemontools", "monitor", "runit", "s6", "supervisord"];
    assert_eq!(names, known.map(str::to_owned).into());
}
