//! When to stop: SIGINT or SIGTERM asks for it, a second one insists.
//!
//! Only a command that looks at [`Stopping`] catches the signals; all others end at the first one, as programs do.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Exit, Stop};
use crate::terminal::note;

/// Tells whether the command was asked to end; cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    asked: watch::Receiver<Option<Exit>>,
}

impl Stopping {
    /// Starts to catch the signals: from now on the first one only asks, and the next one ends the process.
    ///
    /// # Errors
    /// Stops if signals cannot be caught here.
    pub(crate) fn catch() -> Result<Self, Stop> {
        let catch =
            |kind| signal(kind).map_err(|error| Stop::failed(format!("catching signals: {error}")));
        let mut interrupt = catch(SignalKind::interrupt())?;
        let mut terminate = catch(SignalKind::terminate())?;
        let (ask, asked) = watch::channel(None);
        // Nobody waits for this task: it ends with the process or ends the process.
        tokio::spawn(async move {
            let exit = next(&mut interrupt, &mut terminate).await;
            note("roentgen: stopping; a second signal stops at once");
            ask.send_replace(Some(exit));
            let insisted = next(&mut interrupt, &mut terminate).await;
            std::process::exit(i32::from(insisted.code()));
        });
        Ok(Self { asked })
    }

    /// Tells whether the end was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.borrow().is_some()
    }

    /// Returns once the end is asked for.
    pub(crate) async fn asked(&mut self) {
        if self.asked.wait_for(Option::is_some).await.is_err() {
            // Whoever asks is gone, so nobody will.
            std::future::pending::<()>().await;
        }
    }

    /// Returns the exit of a command that came to an end: the signal's if one asked for it.
    pub(crate) fn exit_or(&self, exit: Exit) -> Exit {
        self.asked.borrow().unwrap_or(exit)
    }
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> Exit {
    tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_decides_the_exit_once_it_came() {
        let (ask, asked) = watch::channel(None);
        let stopping = Stopping { asked };
        assert!(!stopping.is_asked());
        assert_eq!(stopping.exit_or(Exit::Partly), Exit::Partly);
        ask.send_replace(Some(Exit::Terminated));
        assert!(stopping.is_asked());
        assert_eq!(stopping.exit_or(Exit::Partly), Exit::Terminated);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_end_is_asked_for() {
        let (ask, asked) = watch::channel(None);
        let mut stopping = Stopping { asked };
        let waiting = tokio::spawn(async move { stopping.asked().await });
        ask.send_replace(Some(Exit::Interrupted));
        waiting.await.unwrap();
    }
}
