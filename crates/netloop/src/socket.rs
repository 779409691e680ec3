//! Non-blocking TCP sockets with the options that brokers and load tools want.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

/// A connection that has been started.
#[derive(Debug)]
pub enum Connect {
    /// Established already, as on loopback.
    Established(TcpStream),
    /// The handshake is under way: writable means that it is over, and [`finish_connect`] tells how.
    InProgress(TcpStream),
}

impl Connect {
    /// The socket, whatever its state.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        match self {
            Self::Established(stream) | Self::InProgress(stream) => stream,
        }
    }
}

/// Why a connection could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The source pair is used by another socket, or the same connection existed a moment ago: another port may do.
    #[error("source address and port are in use")]
    PairInUse,
    /// Anything else: another port would not help.
    #[error(transparent)]
    Other(#[from] io::Error),
}

/// Starts a connection from exactly `local` to `remote`, without Nagle's delay.
///
/// # Errors
/// [`ConnectError::PairInUse`] when `local` is taken.
pub fn connect_from(local: SocketAddr, remote: SocketAddr) -> Result<Connect, ConnectError> {
    let socket = new_socket(remote)?;
    socket.set_reuse_address(true)?;
    socket.bind(&local.into()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ConnectError::PairInUse,
        _ => error.into(),
    })?;
    start(socket, remote).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => ConnectError::PairInUse,
        _ => error.into(),
    })
}

/// Starts a connection to `remote` from wherever the kernel likes, without Nagle's delay. For a few connections; many
/// want a [`SourcePlan`](crate::source::SourcePlan).
///
/// # Errors
/// What `socket` or `connect` said.
pub fn connect(remote: SocketAddr) -> io::Result<Connect> {
    start(new_socket(remote)?, remote)
}

/// How a connection that was in progress ended, once its socket is writable.
///
/// # Errors
/// Why it was not established; `WouldBlock` when the handshake is still under way.
pub fn finish_connect(stream: &TcpStream) -> io::Result<()> {
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(stream.take_error()?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
        }
        Err(error) => Err(error),
    }
}

/// A listener that other listeners on the same address may share connections with (`SO_REUSEPORT`): the kernel divides
/// new connections among them. They come with `TCP_NODELAY`, which Linux lets them inherit: one system call less for
/// each.
///
/// # Errors
/// What `socket`, `bind` or `listen` said.
pub fn listen(addr: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog.min(i32::MAX as u32).cast_signed())?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Makes closing the socket reset the connection (RST) instead of ending it in order: no `TIME_WAIT`, unsent data is
/// thrown away, and the peer sees an abrupt end.
///
/// # Errors
/// What `setsockopt` said.
pub fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// Makes this end deaf and dumb, as if its host had lost power: the kernel throws away whatever arrives for the connection
/// before TCP sees it, so that nothing is acknowledged, answered or reset while the socket stays open. Needs no privilege.
///
/// # Errors
/// What `setsockopt` said.
pub fn go_silent(stream: &TcpStream) -> io::Result<()> {
    let nothing = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
    SockRef::from(stream).attach_filter(&[nothing])
}

/// Makes closing the socket send nothing at all: neither FIN nor RST (`TCP_REPAIR`). Whatever the peer sends after that is
/// answered by a RST, as by any host that does not know the connection.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN`; closing then sends a FIN.
pub fn forget_on_close(stream: &TcpStream) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::TcpRepair, &1)?)
}

fn new_socket(remote: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

fn start(socket: Socket, remote: SocketAddr) -> io::Result<Connect> {
    match socket.connect(&remote.into()) {
        Ok(()) => Ok(Connect::Established(TcpStream::from_std(socket.into()))),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            Ok(Connect::InProgress(TcpStream::from_std(socket.into())))
        }
        Err(error) => Err(error),
    }
}
