//! Counting sockets exactly, by asking the kernel (`sock_diag(7)`) with the port as a filter.
//!
//! The kernel still walks its table of connections, so the cost grows with their number: this is for the start, the end
//! and a slow beat of a run, never for each tick (METHOD F13).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// Which end of a connection the watched port is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// This host listens on it.
    Local,
    /// This host connected to it.
    Remote,
}

/// Established connections with this port at this end, IPv4 and IPv6.
pub(crate) fn established(port: u16, end: End) -> io::Result<u64> {
    let mut count = 0;
    let (local, remote) = if end == End::Local { (port, 0) } else { (0, port) };
    dump(TCP_ESTABLISHED, local, remote, |_| count += 1)?;
    Ok(count)
}

/// Inodes of the sockets that listen on this port.
pub(crate) fn listening_inodes(port: u16) -> io::Result<Vec<u32>> {
    let mut inodes = Vec::new();
    dump(TCP_LISTEN, port, 0, |socket| {
        let inode = socket.get(INODE_AT..).and_then(|rest| rest.first_chunk());
        inodes.extend(inode.map(|bytes| u32::from_ne_bytes(*bytes)));
    })?;
    Ok(inodes)
}

/// Calls `visit` with each `inet_diag_msg` of sockets in this state; a port of 0 is any.
fn dump(state: u8, local_port: u16, remote_port: u16, mut visit: impl FnMut(&[u8])) -> io::Result<()> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
    bind(netlink.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        let request = request(family as u8, state, local_port, remote_port);
        send(netlink.as_raw_fd(), &request, MsgFlags::empty())?;
        receive(&netlink, &mut visit)?;
    }
    Ok(())
}

fn receive(netlink: &OwnedFd, visit: &mut impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let received = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..received];
        while let Some((kind, body, after)) = split_message(rest) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => return Err(netlink_error(body)),
                _ => visit(body),
            }
            rest = after;
        }
    }
}

/// `nlmsghdr` and `inet_diag_req_v2` (linux/inet_diag.h).
fn request(family: u8, state: u8, local_port: u16, remote_port: u16) -> [u8; REQUEST_LEN] {
    let mut bytes = [0; REQUEST_LEN];
    bytes[0..4].copy_from_slice(&(REQUEST_LEN as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    bytes[16] = family;
    bytes[17] = libc::IPPROTO_TCP as u8;
    bytes[20..24].copy_from_slice(&(1u32 << state).to_ne_bytes());
    bytes[24..26].copy_from_slice(&local_port.to_be_bytes());
    bytes[26..28].copy_from_slice(&remote_port.to_be_bytes());
    bytes
}

/// Type and body of the first netlink message, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER_LEN..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn netlink_error(body: &[u8]) -> io::Error {
    let errno = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    io::Error::from_raw_os_error(-errno)
}

const HEADER_LEN: usize = 16;
const REQUEST_LEN: usize = HEADER_LEN + 56;
/// Offset of `idiag_inode` in `inet_diag_msg`.
const INODE_AT: usize = 68;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const TCP_ESTABLISHED: u8 = 1;
const TCP_LISTEN: u8 = 10;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::linux::fs::MetadataExt;

    use super::*;

    #[test]
    fn counts_the_connections_of_one_port_at_one_end() {
        let listener = TcpListener::bind((OURS, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let clients: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect((OURS, port)).unwrap()).collect();
        let accepted: Vec<TcpStream> = clients.iter().map(|_| listener.accept().unwrap().0).collect();
        assert_eq!((with_our_address(port, 0), with_our_address(0, port)), (5, 5));
        // Strangers on this host may use the same port number for an end of theirs.
        assert!(established(port, End::Local).unwrap() >= 5 && established(port, End::Remote).unwrap() >= 5);
        drop(accepted);
        assert_eq!((with_our_address(port, 0), with_our_address(0, port)), (0, 0));
    }

    fn with_our_address(local_port: u16, remote_port: u16) -> u64 {
        let mut count = 0;
        // `idiag_src` and `idiag_dst` of `inet_diag_msg`.
        let ours = |socket: &[u8]| [8, 24].iter().any(|&at| socket[at..at + 4] == OURS.octets());
        let visit = |socket: &[u8]| count += u64::from(ours(socket));
        dump(TCP_ESTABLISHED, local_port, remote_port, visit).unwrap();
        count
    }

    /// An address of the loopback network that nobody else uses.
    const OURS: Ipv4Addr = Ipv4Addr::new(127, 93, 17, 4);

    #[test]
    fn finds_who_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = std::fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        assert_eq!(listening_inodes(port).unwrap(), [link.st_ino() as u32]);
        drop(listener);
        assert_eq!(listening_inodes(port).unwrap(), [0u32; 0]);
    }
}
