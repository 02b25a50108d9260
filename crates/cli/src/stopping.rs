//! When to stop: SIGINT or SIGTERM asks for it, a second one insists.
//!
//! Signals that come at once with the first are one with it: `timeout` signals its child and then the group it is in.
//! Only a command that looks at [`Stopping`] catches the signals; all others end at the first one, as programs do.

use std::task::Poll;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::exit::{Exit, Stop};
use crate::terminal::note;

/// Tells whether the command was asked to end; cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    asked: watch::Receiver<Option<Exit>>,
}

impl Stopping {
    /// Starts to catch the signals: from now on the first one only asks, and a later one ends the process.
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
            let signals = stream::poll_fn(move |context| {
                if interrupt.poll_recv(context).is_ready() {
                    return Poll::Ready(Some(Exit::Interrupted));
                }
                let terminated = terminate.poll_recv(context);
                terminated.map(|_| Some(Exit::Terminated))
            });
            if let Some(exit) = insisted(ask, signals).await {
                std::process::exit(i32::from(exit.code()));
            }
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

    /// Returns once the end was asked for so long ago: what is still under way then is not waited for.
    pub(crate) async fn overdue(&mut self, grace: Duration) {
        self.asked().await;
        tokio::time::sleep(grace).await;
    }

    /// Returns the exit of a command that came to an end: the signal's if one asked for it.
    pub(crate) fn exit_or(&self, exit: Exit) -> Exit {
        self.asked.borrow().unwrap_or(exit)
    }
}

/// Asks for the end at the first signal. Returns at the next one that is not an echo of it.
async fn insisted(
    ask: watch::Sender<Option<Exit>>,
    mut signals: impl Stream<Item = Exit> + Unpin,
) -> Option<Exit> {
    ask.send_replace(signals.next().await);
    let echoes = async { while signals.next().await.is_some() {} };
    let _elapsed = timeout(ECHO, echoes).await;
    note("roentgen: stopping; a second signal stops at once");
    signals.next().await
}

/// Shorter than anybody presses a key twice.
const ECHO: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

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

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_has_some_time_from_the_signal_on() {
        let (ask, asked) = watch::channel(None);
        let mut stopping = Stopping { asked };
        assert!(timeout(9 * ECHO, stopping.overdue(ECHO)).await.is_err());
        ask.send_replace(Some(Exit::Interrupted));
        assert!(timeout(ECHO / 2, stopping.overdue(ECHO)).await.is_err());
        assert!(timeout(2 * ECHO, stopping.overdue(ECHO)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn signals_that_come_together_are_one() {
        let (signals, mut taken) = mpsc::unbounded_channel();
        let (ask, mut asked) = watch::channel(None);
        let taken = stream::poll_fn(move |context| taken.poll_recv(context));
        let mut insisted = tokio::spawn(insisted(ask, taken));
        for exit in [Exit::Interrupted, Exit::Terminated, Exit::Interrupted] {
            signals.send(exit).unwrap();
        }
        asked.wait_for(Option::is_some).await.unwrap();
        assert_eq!(*asked.borrow(), Some(Exit::Interrupted));
        assert!(timeout(2 * ECHO, &mut insisted).await.is_err());
        signals.send(Exit::Terminated).unwrap();
        assert_eq!(insisted.await.unwrap(), Some(Exit::Terminated));
    }
}
