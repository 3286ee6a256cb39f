//! What the help of a command has after its options.

pub(super) const COMPLETIONS_HELP: &str = "\
The shell asks `monitor` itself, so the names of monitors and of their units are offered too, as they are at that
moment: of NAME, NAME/UNIT, and --unit after --state DIR. No monitor is asked for it.

Examples, for the start-up file of the shell:
  source <(monitor completions bash)                      in ~/.bashrc
  source <(monitor completions zsh)                       in ~/.zshrc, after compinit
  monitor completions fish | source                       in ~/.config/fish/config.fish";

pub(super) const MAN_HELP: &str = "\
Examples:
  monitor man run | man -l -
  monitor man --out ~/.local/share/man/man1               then: man monitor-run";

pub(super) const ASK_HELP: &str = "\
The place of a NAME is $XDG_RUNTIME_DIR/monitor/NAME, or for root without it /run/monitor/NAME.
Of a monitor of many units (`monitor up`), NAME alone means all of them, or is refused where only one can be meant.

Exit status:
  0  done; of `status`: the command runs, or will
  1  the monitor refused, and nothing was done, or it cannot be asked
  2  the options are wrong
  3  no monitor runs there; of `logs`: and there is no file to be read
  4  the command is down; of `stop --wait` and `signal`: it had no process
  5  of `stop --wait`: it is down, after a kill
  6  of `stop --wait`: it is down, and something that it had started runs on";

pub(super) const UP_HELP: &str = "\
Examples:
  monitor up ./fleet                 run ./fleet/*.toml
  monitor status fleet               all units, a line each
  monitor status fleet/web           one of them in full
  monitor logs fleet/web -f          what it prints, if that is captured
  monitor restart fleet/web          and so stop, start, reset, signal, set, events
  monitor stop fleet --wait          all of them; the monitor stays

Signals to the monitor:
  HUP          read the files again: new units are started, those that are gone are stopped, changed
               ones get their new policy at once and their new command and streams with their next
               run; if there is a mistake in any file, nothing changes
  TERM, INT    stop all units (each as its policy says), then exit; so do QUIT, PWR and 37 (RTMIN+3)
  second INT   kill them at once
  Other signals are answered as by `monitor run`, see there. No signal leaves a unit alone: if one
  kills the monitor, the next monitor goes on with the units.

Diagnostics:
  Lines about the units go to standard error, and never hold up the monitor; see `monitor run`.

  A unit reads nothing, unless its file says stdin, and prints where the monitor does, unless its
  file says log, stdout or stderr. No two have the same log.
  What goes where the monitor prints is not read by it, which costs nothing and needs no monitor, so it does not say
  whose it is. With stdout = 'log' and stderr = 'log' each line begins with the name of its unit, in colour on
  a terminal (NO_COLOR: without), and is kept for `monitor logs`.

  A unit whose file has gone while no monitor ran is taken over and stopped. One that a user has
  stopped stays down, whatever the files say, until `monitor start`, also after a crash.

Exit status:
  0    all units were stopped
  2    there is a mistake in a file, or in the options; nothing was started
  125  the monitor itself failed, or another has the state directory";

pub(super) const AFTER_HELP: &str = "\
Examples:
  monitor run -- ./server --port 80           restart it when it fails, for ever
  monitor run --restart on-failure:3 -- job   at most 3 restarts in a row, then give up
  monitor run --restart always --backoff-initial 1s --backoff-max 5m -- worker
  monitor run --preset systemd --restart always -- daemon
  monitor run --stop-signal INT --stop-timeout 30s --record run.jsonl -- db
  monitor run --name web -- ./server          survive a kill of the monitor itself
  monitor run --config web.toml --restart no  options and command from a file, but for the one given
  monitor run --log web.log --log-rotate 10M:5 -- ./server
  monitor status web                          how it is, why, and what comes next
  monitor logs web -f                         what it prints, if that is captured

A preset has defaults of its own in place of those shown above.

Times: 100ms, 10s, 1m30s, 2h.

State directory:
  With --name or --state, what a monitor must know is written down before the command runs. If
  the monitor is killed, start it again in the same way: it finds the command by its identity,
  never by a number alone, and goes on. A stop that had begun is finished, the retries that were
  used stay used, and there are never two. A second monitor for the same directory is refused.
  The place of a name is $XDG_RUNTIME_DIR/monitor/NAME, or for root without it /run/monitor/NAME.
  How a command ended that an earlier monitor had started is known from Linux 6.15 on, and unknown
  (255) before. The record ends when the monitor ends by itself: the next one begins afresh.
  Without either option nothing is stored.

Streams:
  Without options they are the monitor's. A file (file:PATH) is written by the command itself. With log, the
  monitor reads what is printed: it writes it to --log, keeps the last lines for `monitor logs`, and shows them
  when a run fails. --log-rotate makes web.log into web.log.1 and so on, between two lines; nobody else
  may write the file. With a state directory nothing is lost when the monitor is killed: the command can print 64 KiB
  more, then waits for the next monitor. Without one it gets a SIGPIPE.
  Files and logs are opened so that the user of the command cannot lead them elsewhere. A directory that others
  than root and this user may write is refused, but for one like /tmp (mode 1777). A file: that is a FIFO is opened
  in both directions: the command starts without a peer, and its peer may come and go.
  With --tty, keys such as Ctrl-C are the command's; end the monitor by `kill`.

Control:
  A monitor with --name or --state can be asked: `monitor status NAME`, and stop, start, restart,
  reset, signal, set, logs, events; with `--state DIR` in the place of NAME. It listens at a socket in
  its state directory, to its own user and to root.
  A stop by `monitor stop` ends the monitor too, with the exit status of the command; with --stay it
  waits for `monitor start` then, and ends by TERM, INT or HUP.

Signals to the monitor:
  TERM, INT, HUP,  stop the command (stop signal, grace, kill), then exit; 37 is RTMIN+3, by which
  QUIT, PWR, 37    systemd is halted. While the monitor starts, it ends 5s later with status 125 if a
                   file that it opens hangs
  a second INT     kill the command at once
  USR1, USR2,      do nothing; each is said when it comes first. So are STKFLT, XCPU, XFSZ, VTALRM,
  ALRM             PROF, IO and the other real-time signals
  TSTP, TTIN,      stop and continue the monitor, not the command. CHLD, URG, WINCH and PIPE do
  TTOU, STOP, CONT nothing
  KILL, and ILL,   kill the monitor. With a state directory the command runs on, and the next monitor goes on
  TRAP, ABRT, BUS, with it. Without one the kernel kills the command too, but not what it has started,
  FPE, SEGV, SYS   and not a program that has changed its user, group or capabilities: by itself, as
                   setpriv, su and gosu do, or as set-user-ID programs do. Those run on; give --user
                   in the place of setpriv. So does 32, where the C library has no use for it
  With --forward-signals, and as the first process of a container (PID 1): HUP, QUIT, USR1, USR2,
  ALRM, CONT and WINCH go to the command. Zombies of others are reaped in any case.
  A signal that was ignored when the monitor was started stays ignored (nohup).
  Keys such as Ctrl-C reach the monitor only: the command has a session of its own.

Diagnostics:
  Lines about the command, mistakes and MONITOR_LOG go to standard error. The monitor never waits for
  it: up to 512 KiB are kept while nobody reads. Further lines are dropped, and `[monitor: N lines
  lost]` stands in their place; with --events json, an object with the event `lines-lost`. At its
  end the monitor waits for a reader for up to 1s after it has taken something last, and at most 5s. A
  --record of which so much waits ends there, which is said.
  The output of the command that the monitor passes on is waited for at the end of a run: as long as
  its reader takes bytes, at most 5s, and 1s while it takes none. A second INT does not wait.

Exit status: that of the command's last run, also after a stop by a signal to the monitor:
  0-255  its exit code
  128+N  signal N ended it (143 for TERM, 137 for KILL)
  255    nobody knows how it ended
  127    the command was not found
  126    it was found and cannot be run
  125    the monitor itself failed, or a limit of the machine was reached
  2      the options are wrong

Environment:
  NO_COLOR      no colours, which are used on a terminal only
  MONITOR_LOG   diagnostics on standard error, such as monitor_os=debug";
