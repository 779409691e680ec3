//! Why a connection failed or ended, in words that can be counted.

use std::io;

use mqtt_wire::{ReasonCode, Version};
use nix::errno::Errno;

/// The peer closed the connection without a word.
pub(crate) const CLOSED: &str = "closed by peer";
/// No CONNACK (or no TCP handshake, or no SUBACK) in time.
pub(crate) const CONNECT_TIMEOUT: &str = "timeout before ready";
/// A PINGREQ was not answered within the keep alive interval.
pub(crate) const PING_TIMEOUT: &str = "no PINGRESP";

/// The errno name of an I/O error (`ECONNREFUSED`), or its text where it has none.
pub(crate) fn of_error(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => format!("{:?}", Errno::from_raw(code)),
        None if error.kind() == io::ErrorKind::AddrNotAvailable => "no free source port".to_owned(),
        None => error.to_string(),
    }
}

/// A CONNACK that refuses.
pub(crate) fn of_connack(version: Version, code: ReasonCode) -> String {
    let name = match (version, code.0) {
        (Version::V5, _) => code.name(),
        (_, 1) => "unacceptable protocol version",
        (_, 2) => "identifier rejected",
        (_, 3) => "server unavailable",
        (_, 4) => "bad user name or password",
        (_, 5) => "not authorized",
        _ => "unknown return code",
    };
    format!("CONNACK {} {name}", code.0)
}

/// A SUBACK that refuses.
pub(crate) fn of_suback(code: u8) -> String {
    format!("SUBACK {code} {}", ReasonCode(code).name())
}

/// A DISCONNECT from the server.
pub(crate) fn of_disconnect(code: ReasonCode) -> String {
    format!("DISCONNECT {} {}", code.0, code.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_errno_and_code() {
        assert_eq!(of_error(&io::Error::from_raw_os_error(111)), "ECONNREFUSED");
        assert_eq!(of_error(&io::ErrorKind::AddrNotAvailable.into()), "no free source port");
        assert_eq!(of_connack(Version::V311, ReasonCode(5)), "CONNACK 5 not authorized");
        assert_eq!(of_connack(Version::V5, ReasonCode(0x87)), "CONNACK 135 not authorized");
        assert_eq!(of_suback(0x80), "SUBACK 128 unspecified error");
    }
}
