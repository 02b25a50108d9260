//! The socket: how it is opened, emptied and watched.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::fs::fstat;
use rustix::net::sockopt;
use tokio::net::UdpSocket;
use tracing::{debug, info, warn};

use super::figures::Figures;
use super::queue::Queue;

/// The socket of the door, open and not emptied yet.
pub(crate) struct Bound {
    socket: UdpSocket,
    local: SocketAddr,
    receive_buffer_bytes: usize,
}

impl Bound {
    /// Opens a socket with a receive buffer of the size asked for, or the largest the system gives.
    pub(super) async fn open(address: &str, receive_buffer: u64) -> io::Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let local = socket.local_addr()?;
        let asked_bytes = usize::try_from(receive_buffer).unwrap_or(usize::MAX);
        let receive_buffer_bytes = enlarge(&socket, asked_bytes)?;
        // Linux gives twice what is asked for, and counts its own overhead against it.
        if receive_buffer_bytes < asked_bytes {
            info!(
                asked_bytes,
                receive_buffer_bytes,
                "the system gives a smaller receive buffer than udp.receive_buffer; sysctl net.core.rmem_max bounds it"
            );
        }
        info!(address = %local, receive_buffer_bytes, "taking datagrams");
        Ok(Self {
            socket,
            local,
            receive_buffer_bytes,
        })
    }

    /// Returns where datagrams are taken.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Lets the figures show what the system says of the socket.
    pub(super) fn introduce(&self, figures: &Figures) {
        let inode = fstat(&self.socket).ok().map(|stat| stat.st_ino);
        figures.opened(self.receive_buffer_bytes, inode);
    }

    /// Puts datagrams into the queue until `stop` is done, then what the system still has of them.
    pub(super) async fn receive(self, queue: Queue, stop: impl Future<Output = ()>) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
        let mut stop = std::pin::pin!(stop);
        loop {
            let ready = tokio::select! {
                biased;
                () = &mut stop => break,
                ready = self.socket.readable() => ready,
            };
            let receive = |buffer: &mut [u8]| self.socket.try_recv_from(buffer);
            let received = ready.and_then(|()| burst(receive, &mut buffer, &queue));
            if let Err(error) = received {
                warn!(%error, "cannot receive datagrams at the moment");
                tokio::select! {
                    () = &mut stop => break,
                    () = tokio::time::sleep(RECEIVE_BACK_OFF) => {}
                }
            }
        }
        if let Err(error) = self.empty(&mut buffer, &queue).await {
            warn!(%error, "datagrams that had arrived may be lost");
        }
    }

    /// Takes what had arrived before the stop: no more than fits into the receive buffer.
    async fn empty(self, buffer: &mut [u8], queue: &Queue) -> io::Result<()> {
        // The runtime may not know yet that something is there: the system is asked itself.
        let socket = self.socket.into_std()?;
        let mut n_left = self.receive_buffer_bytes / KERNEL_BYTES_A_DATAGRAM;
        while n_left > 0 {
            let n_datagrams = burst(|buffer| socket.recv_from(buffer), buffer, queue)?;
            if n_datagrams < BURST_DATAGRAMS {
                break;
            }
            n_left = n_left.saturating_sub(n_datagrams);
            tokio::task::yield_now().await;
        }
        // The system forgets what it dropped with the socket.
        queue.refresh_figures();
        Ok(())
    }
}

/// Puts some datagrams into the queue and returns how many there were.
fn burst(
    receive: impl Fn(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    buffer: &mut [u8],
    queue: &Queue,
) -> io::Result<usize> {
    for n_datagrams in 0..BURST_DATAGRAMS {
        match receive(buffer) {
            Ok((n_bytes, peer)) => queue.push(buffer.get(..n_bytes).unwrap_or_default(), peer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(n_datagrams),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(BURST_DATAGRAMS)
}

/// Asks for a larger receive buffer, above the bound for everybody if this process may, and returns what is given.
fn enlarge(socket: &UdpSocket, n_bytes: usize) -> io::Result<usize> {
    if let Err(error) = sockopt::set_socket_recv_buffer_size_force(socket, n_bytes) {
        debug!(%error, "the receive buffer cannot exceed net.core.rmem_max");
        sockopt::set_socket_recv_buffer_size(socket, n_bytes)?;
    }
    Ok(sockopt::socket_recv_buffer_size(socket)?)
}

/// UDP carries less: what has more bytes was cut off.
pub(super) const DATAGRAM_BYTES_MAX: usize = 65_535;
/// About 100 microseconds of work between other tasks' turns.
const BURST_DATAGRAMS: usize = 64;
/// What the smallest datagram takes of the receive buffer, at least.
const KERNEL_BYTES_A_DATAGRAM: usize = 256;
const RECEIVE_BACK_OFF: Duration = Duration::from_millis(100);
