//! Processes of the test's own, which do not outlive it.

use super::words::{Order, Said, Setup};
use super::MEMBER;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Of one process, by its number.
pub enum Word {
    Said(u32, Said),
    /// There will be no more.
    Ended(u32),
}

/// Killed when it is dropped, and when the test is killed.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        // SAFETY: prctl is async-signal-safe.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        Self(command.spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) on a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.id() as i32, signal) }, 0);
    }

    pub fn wait(&mut self, what: &str, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "{what} does not end in {patience:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Member {
    pub process: Process,
    pub number: u32,
    orders: ChildStdin,
}

impl Member {
    /// It joins the room at once.
    pub fn start(setup: &Setup, tell: Sender<Word>) -> Self {
        // This program, even if a build has put another in its place.
        let mut command = Command::new("/proc/self/exe");
        command.env(MEMBER, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let number = setup.process;
        let lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            // The last line of one that was killed may be cut off.
            for said in lines.map_while(|line| serde_json::from_str(&line.ok()?).ok()) {
                let _ = tell.send(Word::Said(number, said));
            }
            let _ = tell.send(Word::Ended(number));
        });
        let mut orders = process.child().stdin.take().unwrap();
        writeln!(orders, "{}", serde_json::to_string(setup).unwrap()).unwrap();
        Self { process, number, orders }
    }

    /// One that has died meanwhile is found by its end.
    pub fn order(&mut self, order: &Order) {
        let _ = writeln!(self.orders, "{}", serde_json::to_string(order).unwrap());
    }
}
