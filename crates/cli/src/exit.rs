//! How a command ends.

use std::fmt;
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Done,
    /// It was not done.
    Failed,
    /// What was asked for makes no sense.
    Usage,
    /// What was asked for is not there.
    NotFound,
    /// No server answers.
    Unreachable,
    /// Only a part was done.
    Partly,
    /// The store is damaged, or what was measured is worse than before.
    Damaged,
    /// SIGINT asked for the end.
    Interrupted,
    /// SIGTERM asked for the end.
    Terminated,
}

impl Exit {
    /// Returns the number the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::Partly => 5,
            Self::Damaged => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Returns the exit of a command that wanted `n_wanted` things and did `n_done` of them.
    pub(crate) const fn of(n_done: usize, n_wanted: usize, none: Self) -> Self {
        match n_done {
            _ if n_done >= n_wanted => Self::Done,
            0 => none,
            _ => Self::Partly,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A command that ended before its end, and what to tell the user.
#[derive(Debug)]
pub struct Stop {
    /// How the program ends.
    pub exit: Exit,
    /// What people are told; nothing if empty.
    pub message: String,
}

impl Stop {
    /// Returns the end of a command with a message for people.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }

    /// Returns the end of a command that could not do what was asked.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Returns the end of a command that was asked for what makes no sense.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(n_done: usize, n_wanted: usize, exit: Exit) {
        assert_eq!(Exit::of(n_done, n_wanted, Exit::NotFound), exit);
    }

    #[test]
    fn what_was_done_decides_the_exit() {
        check(2, 2, Exit::Done);
        check(0, 0, Exit::Done);
        check(1, 2, Exit::Partly);
        check(0, 2, Exit::NotFound);
    }
}
