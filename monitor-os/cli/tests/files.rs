//! Files that a user names for the program `monitor` itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod program;
#[expect(dead_code, reason = "other tests use the rest")]
mod trials;

use std::fs;
use std::os::unix::fs::{chown, symlink};

use program::{code, run, stderr};
use trials::{Outcome, require_root, trials};

trials! {
    record_is_not_led_into_a_file_of_another_user,
    own_output_is_a_log,
}

/// Goal: the record of a supervision is as little led elsewhere as a log.
fn record_is_not_led_into_a_file_of_another_user() -> Outcome {
    const NOBODY: u32 = 65_534;
    require_root("become another user")?;
    let directory = tempfile::tempdir().unwrap();
    let (secret, record) = (directory.path().join("secret"), directory.path().join("own/record"));
    fs::write(&secret, "of root\n").unwrap();
    let own = record.parent().unwrap();
    fs::create_dir(own).unwrap();
    chown(own, Some(NOBODY), Some(NOBODY)).unwrap();
    symlink(&secret, &record).unwrap();
    let output = run(&["--record", record.to_str().unwrap(), "--", "true"]);
    assert_eq!(code(&output), 125);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "of root\n");
    Ok(())
}

/// Goal: the monitor's own output is a log, also where it is a pipe, as in a container.
fn own_output_is_a_log() {
    let output = run(&["--quiet", "--restart", "no", "--log", "/dev/stdout", "--", "echo", "line"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(output.stdout, b"line\n");
}
