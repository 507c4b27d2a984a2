//! A program in a real pseudo terminal, and somebody in front of it who reads and types.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::process::tie;
use crate::waiting::SOON;

/// Wide enough that nothing we type is wrapped.
const SIZE: PtySize = PtySize { rows: 50, cols: 400, pixel_width: 0, pixel_height: 0 };
/// How often somebody looks at the screen.
const GLANCE: Duration = Duration::from_millis(20);

const INTERRUPT: &str = "\u{3}";
const END_OF_INPUT: &str = "\u{4}";

/// A terminal with a program in it. Dropping it hangs up.
pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    shown: Arc<Mutex<Vec<u8>>>,
    /// What was waited for lies before this.
    seen: usize,
    /// Closed with us: the program then gets SIGHUP.
    _terminal: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// Starts a program with arguments, and variables beside those of this process.
    pub fn start(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
        let pair = native_pty_system().openpty(SIZE).expect("the system has terminals");
        let mut words: Vec<_> = tie().into_iter().map(ToOwned::to_owned).collect();
        words.push(program.into());
        words.extend(arguments.iter().map(Into::into));
        let mut command = CommandBuilder::from_argv(words);
        // One that can neither move its cursor nor colour: what is shown is what was written.
        for (name, value) in [("TERM", "dumb"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")] {
            command.env(name, value);
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).expect("the program runs");
        let mut screen = pair.master.try_clone_reader().expect("a terminal can be read");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&shown);
        // It ends when the program has, and everybody it started.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend(&bytes[..read]);
            }
        });
        let keyboard = pair.master.take_writer().expect("nobody has it yet");
        Terminal { child, keyboard, shown, seen: 0, _terminal: pair.master }
    }

    /// psql as people start it. `variables` say where to: `PGHOST`, `PGPORT` and so on.
    pub fn psql(arguments: &[&str], variables: &[(&str, &str)]) -> Terminal {
        let mut all = vec!["-X"];
        all.extend(arguments);
        let mut around = vec![("PSQL_PAGER", "cat"), ("PSQL_HISTORY", "/dev/null")];
        around.extend(variables);
        Terminal::start("psql", &all, &around)
    }

    /// Waits until `text` is shown after what was waited for before, and gives everything in
    /// between, `text` included. Cancel safe: nothing counts as seen until it was found.
    pub async fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_within(text, SOON).await
    }

    pub async fn wait_for_within(&mut self, text: &str, limit: Duration) -> String {
        let found = tokio::time::timeout(limit, async {
            loop {
                let new = self.unseen();
                if let Some(at) = new.find(text) {
                    return new[..at + text.len()].to_owned();
                }
                tokio::time::sleep(GLANCE).await;
            }
        });
        let Ok(found) = found.await else {
            panic!("waited {limit:?} in vain for {text:?} on this screen:\n{}", self.screen());
        };
        self.seen += found.len();
        found
    }

    /// Everything shown so far, in lines as a person sees them.
    pub fn screen(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).replace('\r', "")
    }

    /// What is shown after what was waited for last.
    pub fn unseen(&self) -> String {
        let screen = self.screen();
        screen.get(self.seen..).unwrap_or_default().to_owned()
    }

    /// Types a line and presses Return.
    pub fn type_line(&mut self, line: &str) {
        self.type_text(&format!("{line}\r"));
    }

    pub fn type_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("the program takes input");
        self.keyboard.flush().expect("the program takes input");
    }

    /// Ctrl-C.
    pub fn interrupt(&mut self) {
        self.type_text(INTERRUPT);
    }

    /// Ctrl-D.
    pub fn end_of_input(&mut self) {
        self.type_text(END_OF_INPUT);
    }

    pub fn is_up(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the program ends.
    pub async fn exit_code(&mut self) -> u32 {
        let ended = tokio::time::timeout(SOON, async {
            loop {
                if let Some(status) = self.child.try_wait().expect("it is our child") {
                    return status.exit_code();
                }
                tokio::time::sleep(GLANCE).await;
            }
        });
        match ended.await {
            Ok(code) => code,
            Err(_) => panic!("the program does not end. Its screen:\n{}", self.screen()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the screen ---\n{}", self.screen());
        }
    }
}
