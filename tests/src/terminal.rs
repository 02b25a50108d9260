//! A terminal: a program that runs in one believes a person sits before it.
//!
//! The kernel's pseudo-terminal is one end of it, `setsid --ctty` makes the other end the program's own, so that Ctrl-C
//! typed here becomes the signal it is to people.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::wait::until;

/// A program in a terminal of its own. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program in a terminal with lines of so many characters. What it sees of the environment is what the command
    /// sets, and the kind of terminal.
    pub fn start(command: &Command, n_columns: u16) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).context("open a terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let other_end = ioctl_tiocgptpeer(&master, flags)?;
        let mut inside = Command::new("/usr/bin/setsid");
        inside
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
            .stdin(other_end.try_clone()?)
            .stdout(other_end.try_clone()?)
            .stderr(other_end);
        resize(&master, n_columns)?;
        let child = inside.spawn().context("start in a terminal")?;
        // The other end is the program's alone, so that the terminal ends with it.
        drop(inside);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let keyboard = File::from(master);
        let (mut output, shown) = (keyboard.try_clone()?, Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A terminal nobody writes to any more is an error to read from.
            while let Ok(n_bytes) = output.read(&mut bytes) {
                let Some(read) = bytes.get(..n_bytes).filter(|read| !read.is_empty()) else {
                    return;
                };
                shown
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(read);
            }
        });
        Ok(Self {
            child,
            keyboard,
            screen,
            reader: Some(reader),
        })
    }

    /// Returns the program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes the terminal wider or narrower.
    pub fn resize(&self, n_columns: u16) -> Result<()> {
        resize(&self.keyboard, n_columns)
    }

    /// Types Ctrl-C.
    pub fn interrupt(&mut self) -> Result<()> {
        Ok(self.keyboard.write_all(b"\x03")?)
    }

    /// Returns what was written so far, with plain line breaks.
    pub fn text(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen).replace("\r\n", "\n")
    }

    /// Waits until something was written.
    pub fn wait_for(&self, text: &str) -> Result<()> {
        let seen = until(&format!("the terminal shows {text:?}"), || {
            Ok(self.text().contains(text).then_some(()))
        });
        seen.with_context(|| self.text())
    }

    /// Waits until the program ends by itself, and returns how, and all that was written.
    pub fn finish(mut self) -> Result<(ExitStatus, String)> {
        let status = until("the program ends", || Ok(self.child.try_wait()?));
        let status = status.with_context(|| self.text())?;
        if let Some(reader) = self.reader.take() {
            reader.join().ok().context("reading the terminal")?;
        }
        Ok((status, self.text()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &impl AsFd, n_columns: u16) -> Result<()> {
    let size = Winsize {
        ws_row: 50,
        ws_col: n_columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}
