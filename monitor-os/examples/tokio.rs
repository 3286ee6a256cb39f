//! Two units in an async program: one is restarted, both are brought down at the end.
//!
//! `cargo run -p monitor-os --example tokio`

use monitor_core::{Lifecycle, Policy};
use monitor_os::{Command, Supervisor};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let supervisor = Supervisor::new()?;
    let flaky = supervisor.add(
        "flaky",
        Command::new("/bin/sh", ["-c", "exit 1"])?,
        "restart=on-failure retries=2 backoff=constant:50ms".parse::<Policy>()?,
    );
    let steady = supervisor.add("steady", Command::new("sleep", ["1000"])?, Policy::DEFAULT);

    let mut events = flaky.events();
    steady.start();
    flaky.start();

    let steady_up = steady.wait_until(|status| status.is_up()).await?;
    print(&format!("steady runs as {:?}", steady_up.pid()));

    while let Some(notice) = events.next().await {
        if let Some(lifecycle) = notice.lifecycle() {
            print(&format!("{} {lifecycle}", notice.name));
        }
        if matches!(notice.lifecycle(), Some(Lifecycle::GaveUp { .. })) {
            break;
        }
    }
    print(&flaky.state().explain().to_string());

    print(&format!("steady: {:?}", steady.stop().await));
    supervisor.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn print(line: &str) {
    println!("{line}");
}
