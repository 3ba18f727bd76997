"""Job control at a terminal, of the shell that the command starts. CHECK=--modes: it leaves the terminal as it was."""
import os, pty, re, select, sys, termios, time

pid, terminal = pty.fork()
if pid == 0:
    os.environ["PS1"] = "ready> "
    os.execvp(sys.argv[1], sys.argv[1:])
before = termios.tcgetattr(terminal)
seen = b""


def expect(pattern):
    global seen
    while True:
        found = re.search(pattern.encode(), seen)
        if found:
            seen = seen[found.end():]
            return
        if not select.select([terminal], [], [], 50)[0]:
            sys.exit("waited for %r, have %r" % (pattern, seen))
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            sys.exit("waited for %r at the end, have %r" % (pattern, seen))


def send(text):
    os.write(terminal, text.encode())


expect("[$#>] ")
send("stty -echo; PS1='ready> '\n")
expect("ready> ")
send("echo $((6 * 7)); sleep 1000\n")
expect("42")
# A key before the program has the terminal is the shell's: once more, then.
while not re.search(b"[Ss]topped", seen):
    send("\x1a")
    if select.select([terminal], [], [], 0.5)[0]:
        seen += os.read(terminal, 4096)
seen = b""
send("jobs\n")
expect("[Ss]topped *sleep 1000")
send("bg; jobs; kill %1; wait; echo gone $?\n")
expect("gone 0|gone 143")
send("sh -c 'trap \"echo interrupted; exit 5\" INT; echo begun; while :; do :; done'; echo status $?\n")
expect("begun")
send("\x03")
expect("interrupted\\s+status 5")
send("sh -c 'echo g\"\"o; cat'; echo end $?\n")
expect("go")
send("line\n\x04")
expect("line\\s+end 0")
send("sh -c 'echo w\"\"ait; exec cat'; echo quit $?\n")
expect("wait")
send("\x1c")
expect("quit 131")
send("exit 7\n")
status = None
while True:
    try:
        if not os.read(terminal, 4096):
            break
    except OSError:
        break
after = None
try:
    after = termios.tcgetattr(terminal)
except termios.error:
    pass
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("status", status)
if os.environ.get("CHECK") == "--modes":
    # The machine's own status, not the shell's.
    sys.exit(status or ("the terminal's modes: before %r, after %r" % (before, after) if after != before else 0))
sys.exit(0 if status == 7 else 1)
