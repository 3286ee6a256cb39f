//! The texts that the help of a command has after its options.

pub(super) const COMPLETIONS_HELP: &str = "\
The shell asks `monitor` itself, so it also offers the monitors and units of that moment: for
NAME, for NAME/UNIT, and for --unit after --state DIR. No running monitor is asked.

Examples, for the start-up file of the shell:
  source <(monitor completions bash)                      in ~/.bashrc
  source <(monitor completions zsh)                       in ~/.zshrc, after compinit
  monitor completions fish | source                       in ~/.config/fish/config.fish";

pub(super) const MAN_HELP: &str = "\
Examples:
  monitor man run | man -l -
  monitor man --out ~/.local/share/man/man1               then: man monitor-run";

pub(super) const ASK_HELP: &str = "\
The directory of a NAME is $XDG_RUNTIME_DIR/monitor/NAME, or for root without that variable
/run/monitor/NAME. Where a monitor has many units (`monitor up`), NAME alone means all of them. It
is refused where the command takes one unit.

Exit status:
  0  done; `status`: the command runs, or will run
  1  the monitor refused the request and did nothing, or cannot be reached
  2  the options are wrong
  3  no monitor runs there; `logs`: and there is no file to read
  4  the command is down; `stop --wait` and `signal`: it had no process
  5  `stop --wait`: the command is down, after a kill
  6  `stop --wait`: the command is down, and a process that it started runs on";

pub(super) const UP_HELP: &str = "\
Examples:
  monitor up ./fleet                 run ./fleet/*.toml
  monitor status fleet               all units, a line each
  monitor status fleet/web           one unit in full
  monitor logs fleet/web -f          the lines that it prints, if they are captured
  monitor restart fleet/web          likewise stop, start, reset, signal, set, events
  monitor stop fleet --wait          stop all units; the monitor stays

Signals to the monitor:
  HUP          read the files again: start new units and stop units that are gone. A changed unit
               gets its new policy at once, and its new command and streams with its next run. If
               there is an error in any file, nothing changes
  TERM, INT    stop all units (each as its policy says), then exit; so do QUIT, PWR and 37 (RTMIN+3)
  second INT   kill them at once
  Other signals do what they do to `monitor run`. If a signal kills the monitor, the next monitor
  goes on with the units.

Diagnostics:
  Lines about the units go to standard error, and never block the monitor; see `monitor run`.

Streams:
  A unit reads nothing, unless its file has the key stdin. It prints where the monitor prints,
  unless its file has the key log, stdout or stderr. No two units have the same log. The monitor
  does not read output that goes where it prints itself, so such lines do not name their unit.
  With stdout = 'log' and stderr = 'log' each line begins with the name of its unit, and `monitor
  logs` shows it. The name has a colour on a terminal, unless NO_COLOR is set.

State directory:
  If a file has gone while no monitor ran, the next monitor takes its unit over and stops it. A
  unit that a user has stopped stays down until `monitor start`, whatever the files say, even
  after a crash.

Exit status:
  0    all units were stopped
  2    there is an error in a file, or in the options; nothing was started
  125  the monitor itself failed, or another has the state directory";

pub(super) const AFTER_HELP: &str = "\
Examples:
  monitor run -- ./server --port 80           restart it when it fails, for ever
  monitor run --restart on-failure:3 -- job   at most 3 restarts in a row, then give up
  monitor run --restart always --backoff-initial 1s --backoff-max 5m -- worker
  monitor run --preset systemd --restart always -- daemon
  monitor run --stop-signal INT --stop-timeout 30s --record run.jsonl -- db
  monitor run --name web -- ./server          survive a kill of the monitor itself
  monitor run --config web.toml --restart no  options and command from a file, except one option
  monitor run --log web.log --log-rotate 10M:5 -- ./server
  monitor status web                          its state, the reason, and what comes next
  monitor logs web -f                         the lines that it prints, if they are captured

A preset has defaults of its own, which replace those shown above.

Times: 100ms, 10s, 1m30s, 2h.

State directory:
  With --name or --state the monitor stores its state before the command runs. If the monitor is
  killed, start it again in the same way. It finds the command by its identity, never by a number
  alone, and goes on: it finishes a stop that had begun, and used retries stay used. The command
  never runs twice. A second monitor for the same directory is refused.
  The directory of a name is $XDG_RUNTIME_DIR/monitor/NAME, or for root without that variable
  /run/monitor/NAME.
  If an earlier monitor started the command, its exit status is known from Linux 6.15 on, and
  unknown (255) before. A monitor that ends by itself removes the state, so that the next one
  begins afresh. Without either option nothing is stored.

Streams:
  Without options the command has the monitor's streams. A file (file:PATH) is written by the
  command itself. With log the monitor reads the output: it writes it to --log, keeps the last
  lines for `monitor logs`, and shows them when a run fails. --log-rotate renames web.log to
  web.log.1 and so on, between two lines. Nobody else may write that file.
  With a state directory no output is lost when the monitor is killed: the command can print
  64 KiB more, then it waits for the next monitor. Without one it gets a SIGPIPE.
  The user of the command cannot redirect its files and logs. A directory that others than root
  and this user may write is refused, unless it is like /tmp (mode 1777). A FIFO named by file: is
  opened in both directions: the command starts without a peer, and its peer may come and go.
  With --tty the command gets keys such as Ctrl-C; end the monitor by `kill`.

Control:
  A monitor with --name or --state serves requests: `monitor status NAME`, and stop, start,
  restart, reset, signal, set, logs, events; with `--state DIR` instead of NAME. It listens at a
  socket in its state directory, to its own user and to root.
  `monitor stop` ends the monitor too, with the exit status of the command. With --stay the
  monitor waits for `monitor start` instead, and ends by TERM, INT or HUP.

Signals to the monitor:
  TERM, INT, HUP,  stop the command (stop signal, grace, kill), then exit; 37 is RTMIN+3, by which
  QUIT, PWR, 37    systemd is halted. While the monitor starts, it ends 5s later with status 125
                   if a file that it opens hangs
  a second INT     kill the command at once
  USR1, USR2,      do nothing; the monitor reports the first of each. The same holds for STKFLT,
  ALRM             XCPU, XFSZ, VTALRM, PROF, IO and the other real-time signals
  TSTP, TTIN,      stop and continue the monitor, not the command. CHLD, URG, WINCH and PIPE do
  TTOU, STOP, CONT nothing
  KILL, and ILL,   kill the monitor; so does 32, where the C library does not use it. With a state
  TRAP, ABRT, BUS, directory the command runs on, and the next monitor goes on with it. Without one
  FPE, SEGV, SYS   the kernel kills the command too, but not the processes that it started. A
                   program that changed its user, group or capabilities runs on too: setpriv, su
                   and gosu do that, and set-user-ID programs. Give --user instead of setpriv
  With --forward-signals, and as the first process of a container (PID 1): HUP, QUIT, USR1, USR2,
  ALRM, CONT and WINCH go to the command. The monitor reaps zombies of others in any case.
  A signal that was ignored when the monitor was started stays ignored (nohup).
  Keys such as Ctrl-C reach the monitor only, because the command has a session of its own.

Diagnostics:
  Lines about the command, errors and MONITOR_LOG go to standard error. The monitor never waits
  for its reader: it keeps up to 512 KiB while nobody reads. It drops further lines, and writes
  `[monitor: N lines lost]` in their place; with --events json, an object with the event
  `lines-lost`. At its end the monitor waits for a reader that takes something at least once a
  second, at most 5s. If 512 KiB of a --record wait, the record ends there, and the monitor
  reports it.
  At the end of a run the monitor waits for the reader of the command's output: at most 5s, and at
  most 1s while the reader takes nothing. After a second INT it does not wait.

Exit status: that of the command's last run, also after a stop by a signal to the monitor:
  0-255  its exit code
  128+N  signal N ended it (143 for TERM, 137 for KILL)
  255    its exit status is unknown
  127    the command was not found
  126    it was found and cannot be run
  125    the monitor itself failed, or a limit of the machine was reached
  2      the options are wrong

Environment:
  NO_COLOR      no colours, which are used on a terminal only
  MONITOR_LOG   diagnostics on standard error, such as monitor_os=debug";
