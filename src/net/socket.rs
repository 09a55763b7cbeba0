//! One UDP socket with batched system calls: several datagrams at a time in (`recvmmsg`, GRO) and out (GSO).

use crate::link::Datagram;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState, BATCH_SIZE};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;

/// More than any datagram on an ordinary path.
const LARGEST_DATAGRAM: usize = 1500;
/// What GRO may hand over in one buffer.
const RECEIVE_BUFFER: usize = 64 * LARGEST_DATAGRAM;
/// The kernel's limit on one GSO send.
const LARGEST_SEGMENTED_SEND: usize = 65_000;
/// Datagrams that wait for the kernel; past that they are dropped, as a network would.
const BACKLOG: usize = 4096;

thread_local! {
    static RECEIVED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Socket {
    io: std::net::UdpSocket,
    state: UdpSocketState,
    /// May be the wildcard address.
    bound: SocketAddr,
    backlog: Mutex<VecDeque<Waiting>>,
    /// There may be something in the backlog: sends look here first.
    backlogged: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
}

struct Waiting {
    to: SocketAddr,
    from: Option<IpAddr>,
    data: Vec<u8>,
    segment: Option<usize>,
}

impl Socket {
    pub fn bind(address: SocketAddr, buffer: usize) -> io::Result<Self> {
        use socket2::{Domain, Protocol, Type};
        let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let io = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        // As much as the system allows is what we want; the statistics show what it was.
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&io), buffer);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&io), buffer);
        let bound = io.local_addr()?;
        Ok(Self {
            io,
            state,
            bound,
            backlog: Mutex::default(),
            backlogged: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        })
    }

    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// What the kernel gave for receiving and for sending.
    pub fn buffers(&self) -> (usize, usize) {
        let socket = || UdpSockRef::from(&self.io);
        (self.state.recv_buffer_size(socket()).unwrap_or(0), self.state.send_buffer_size(socket()).unwrap_or(0))
    }

    pub fn counters(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    fn backlog(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source(&self, local: IpAddr) -> Option<IpAddr> {
        (self.bound.ip().is_unspecified() && !local.is_unspecified()).then_some(local)
    }

    /// Sends in order. Runs of equal-sized datagrams to one address go as one segmented send, if `segmented`. `true` when some of it has
    /// to wait for [`Self::flush`].
    pub fn send(&self, datagrams: &[Datagram], segmented: bool) -> bool {
        self.sent.fetch_add(datagrams.len() as u64, Ordering::Relaxed);
        let most = if segmented { self.state.max_gso_segments().min(64) } else { 1 };
        let mut waits = false;
        let mut rest = datagrams;
        while let Some(first) = rest.first() {
            let run = run_length(rest, most);
            let (together, after) = rest.split_at(run);
            rest = after;
            let from = self.source(first.local.ip());
            waits |= if run == 1 {
                self.send_one(first.remote, from, &first.data, None)
            } else {
                JOINED.with_borrow_mut(|joined| {
                    joined.clear();
                    together.iter().for_each(|datagram| joined.extend_from_slice(&datagram.data));
                    self.send_one(first.remote, from, joined, Some(first.data.len()))
                })
            };
        }
        waits
    }

    /// Whether it has to wait.
    fn send_one(&self, to: SocketAddr, from: Option<IpAddr>, data: &[u8], segment: Option<usize>) -> bool {
        if !self.backlogged.load(Ordering::Acquire) {
            match self.try_send(to, from, data, segment) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Unreachable, too large for the path, no buffers: lost, as datagrams are.
                _ => return false,
            }
        }
        let mut backlog = self.backlog();
        if backlog.len() < BACKLOG {
            backlog.push_back(Waiting { to, from, data: data.to_vec(), segment });
        }
        self.backlogged.store(true, Ordering::Release);
        true
    }

    fn try_send(&self, to: SocketAddr, from: Option<IpAddr>, data: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = Transmit { destination: to, ecn: None, contents: data, segment_size: segment, src_ip: from };
        self.state.try_send(UdpSockRef::from(&self.io), &transmit)
    }

    /// Something waits for [`Self::flush`].
    pub fn is_backlogged(&self) -> bool {
        self.backlogged.load(Ordering::Acquire)
    }

    /// Sends what waits; `false` when some of it still does.
    pub fn flush(&self, watch: &Watch) -> bool {
        if !self.is_backlogged() {
            return true;
        }
        let mut backlog = self.backlog();
        while let Some(waiting) = backlog.front() {
            let send = || self.try_send(waiting.to, waiting.from, &waiting.data, waiting.segment);
            let sent = watch.try_io(Interest::WRITABLE, send);
            if sent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return false;
            }
            backlog.pop_front();
        }
        self.backlogged.store(false, Ordering::Release);
        true
    }

    /// What `poll` waits for.
    #[cfg(unix)]
    pub fn descriptor(&self) -> i32 {
        self.io.as_raw_fd()
    }

    /// Takes one batch: `take` gets the local and the remote address and the bytes of each datagram. `false` when there
    /// was none. Through the runtime's watch, where it watches.
    pub fn receive(&self, watch: Option<&Watch>, mut take: impl FnMut(SocketAddr, SocketAddr, &[u8])) -> bool {
        RECEIVED.with_borrow_mut(|buffer| {
            if buffer.is_empty() {
                // Given zeroed by the system: what is never written to takes no memory.
                *buffer = vec![0; BATCH_SIZE * RECEIVE_BUFFER];
            }
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let received = {
                let mut parts = buffer.chunks_exact_mut(RECEIVE_BUFFER);
                let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                    std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
                let mut receive = || self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut metas);
                match watch {
                    Some(watch) => watch.try_io(Interest::READABLE, receive),
                    None => receive(),
                }
            };
            let count = match received {
                Ok(count) => count,
                // Errors of earlier sends (port unreachable) come out here; there may be datagrams behind them.
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            };
            for (meta, part) in metas[..count].iter().zip(buffer.chunks_exact(RECEIVE_BUFFER)) {
                let local = SocketAddr::new(meta.dst_ip.unwrap_or(self.bound.ip()), self.bound.port());
                for datagram in part[..meta.len].chunks(meta.stride.max(1)) {
                    self.received.fetch_add(1, Ordering::Relaxed);
                    take(local, meta.addr, datagram);
                }
            }
            true
        })
    }
}

/// The runtime's watch over a socket; made within the runtime. Where there is none, datagrams do not wake the runtime.
pub(crate) struct Watch {
    #[cfg(unix)]
    io: tokio::io::unix::AsyncFd<Arc<Socket>>,
    #[cfg(not(unix))]
    io: tokio::net::UdpSocket,
}

#[cfg(unix)]
impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> i32 {
        self.descriptor()
    }
}

impl Watch {
    #[cfg(unix)]
    pub fn over(socket: &Arc<Socket>) -> io::Result<Self> {
        // SAFETY: the socket owns its descriptor, which is neither replaced nor closed while the watch holds it.
        Ok(Self { io: unsafe { tokio::io::unix::AsyncFd::register(socket.clone())? } })
    }

    #[cfg(not(unix))]
    pub fn over(socket: &Arc<Socket>) -> io::Result<Self> {
        Ok(Self { io: tokio::net::UdpSocket::from_std(socket.io.try_clone()?)? })
    }

    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await.map(drop)
    }

    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await.map(drop)
    }

    /// Whoever meets `WouldBlock` in here waits for the next sign of the kernel.
    fn try_io<T>(&self, interest: Interest, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        #[cfg(unix)]
        return self.io.try_io(interest, |_| call());
        #[cfg(not(unix))]
        return self.io.try_io(interest, call);
    }
}

/// How many datagrams from the first on can go out as segments of one send: to one address, of one size but for a shorter last.
fn run_length(datagrams: &[Datagram], most: usize) -> usize {
    let Some(first) = datagrams.first() else { return 0 };
    let size = first.data.len();
    let (mut run, mut bytes) = (1, size);
    while let Some(next) = datagrams.get(run) {
        let length = next.data.len();
        let fits = run < most && length <= size && length > 0 && bytes + length < LARGEST_SEGMENTED_SEND;
        if !fits || next.remote != first.remote || next.local != first.local {
            break;
        }
        bytes += length;
        run += 1;
        if length < size {
            break;
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(port: u16, length: usize) -> Datagram {
        let local = "127.0.0.1:1".parse().unwrap();
        Datagram {
            local,
            remote: SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port),
            data: vec![0; length][..].into(),
        }
    }

    #[test]
    fn segments_are_of_one_size_to_one_address() {
        let run = |lengths: &[(u16, usize)]| {
            run_length(&lengths.iter().map(|(port, length)| datagram(*port, *length)).collect::<Vec<_>>(), 64)
        };
        assert_eq!(run(&[(1, 100), (1, 100), (1, 50), (1, 50)]), 3);
        assert_eq!(run(&[(1, 100), (2, 100)]), 1);
        assert_eq!(run(&[(1, 100), (1, 101)]), 1);
        assert_eq!(run(&[(1, 1200); 100]), 54);
    }
}
