//! The commands of the guide do what it says. Its Rust examples are doc tests.

use std::env;
use std::path::Path;
use std::process::Command;

/// The shell commands of a page, one text for each block.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.any(|line| line == "```sh") {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

#[test]
fn the_commands_of_the_guide_run() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(workspace.join("docs/GUIDE.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() > 2, "{blocks:?}");
    // The folder of the programs, which a run of all tests has built.
    let built = Command::new(env!("CARGO")).args(["build", "--workspace", "--bins"]).status();
    assert!(built.unwrap().success());
    let programs = env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let path = env::var("PATH").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for block in blocks {
        let output = Command::new("sh")
            .args(["-euc", &block])
            .current_dir(folder.path())
            .env("PATH", format!("{}:{path}", programs.display()))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{block}\n{said}");
    }
}
