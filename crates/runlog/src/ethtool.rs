//! What a network interface's driver says of itself: offloads, rings, channels (`ethtool -k`, `-g`, `-l`, `-c`, `-i`).
//!
//! Asked by `ioctl(SIOCETHTOOL)` (linux/ethtool.h), which every kernel answers; the answers that a driver does not know
//! are absent.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The answers of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Each feature that the kernel knows: whether it is on.
    pub offloads: BTreeMap<String, bool>,
    /// Slots of the receive and the send ring.
    pub rings: Option<[u64; 2]>,
    /// Channels in use: receive, send, combined.
    pub channels: Option<[u64; 3]>,
    /// Microseconds that an interrupt may be held back: receive, send.
    pub coalesce_us: Option<[u64; 2]>,
    /// `driver`, `version`, `firmware`, `bus`, where not empty.
    pub driver_info: BTreeMap<String, String>,
}

/// Asks the driver of an interface of this network namespace.
pub fn ask(iface: &str) -> Answers {
    let flags = SockFlag::SOCK_CLOEXEC;
    let Ok(socket) = socket(AddressFamily::Inet, SockType::Datagram, flags, None) else { return Answers::default() };
    let device = Device { socket, iface };
    let driver_info = device.command(GDRVINFO, &[], DRVINFO_LEN).map(|answer| driver_info(&answer)).unwrap_or_default();
    // All three are arrays of u32 behind the command: maxima first, then what is in use.
    let numbers = |command, len: usize| device.command(command, &[], len).map(|answer| words(&answer));
    Answers {
        offloads: device.offloads().unwrap_or_default(),
        // rx_max, rx_mini_max, rx_jumbo_max, tx_max, rx, rx_mini, rx_jumbo, tx
        rings: numbers(GRINGPARAM, 36).map(|words| [words[5], words[8]]),
        // max_rx, max_tx, max_other, max_combined, rx, tx, other, combined
        channels: numbers(GCHANNELS, 36).map(|words| [words[5], words[6], words[8]]),
        // rx_usecs, rx_frames, rx_usecs_irq, rx_frames_irq, tx_usecs, ...
        coalesce_us: numbers(GCOALESCE, 92).map(|words| [words[1], words[5]]),
        driver_info,
    }
}

struct Device<'a> {
    socket: OwnedFd,
    iface: &'a str,
}

impl Device<'_> {
    /// Names of all features and which are active.
    fn offloads(&self) -> Option<BTreeMap<String, bool>> {
        // struct ethtool_sset_info: cmd, reserved, mask (u64), then one u32 per bit of the mask.
        let mut mask = [0; 12];
        mask[4..].copy_from_slice(&(1u64 << SS_FEATURES).to_ne_bytes());
        let count = *words(&self.command(GSSET_INFO, &mask, 20)?).get(4)? as usize;
        let count = count.min(FEATURES_MAX);
        // struct ethtool_gstrings: cmd, set, len, then 32 bytes a name.
        let mut head = [0; 8];
        head[..4].copy_from_slice(&SS_FEATURES.to_ne_bytes());
        head[4..].copy_from_slice(&(count as u32).to_ne_bytes());
        let names = self.command(GSTRINGS, &head, 12 + count * NAME_LEN)?;
        // struct ethtool_gfeatures: cmd, size in blocks, then per block: available, requested, active, never_changed.
        let blocks = count.div_ceil(32);
        let features = self.command(GFEATURES, &(blocks as u32).to_ne_bytes(), 8 + blocks * 16)?;
        let active = words(&features);
        let feature = |(index, name): (usize, &[u8])| {
            let name = c_text(name);
            let word = active.get(2 + index / 32 * 4 + 2)?;
            (!name.is_empty()).then(|| (name, word >> (index % 32) & 1 == 1))
        };
        Some(names[12..].chunks_exact(NAME_LEN).enumerate().filter_map(feature).collect())
    }

    /// Gives the driver a command with its arguments, in a buffer of this many bytes, and takes the answer from it.
    fn command(&self, command: u32, arguments: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut data = vec![0u8; len.max(4 + arguments.len())];
        data[..4].copy_from_slice(&command.to_ne_bytes());
        data[4..4 + arguments.len()].copy_from_slice(arguments);
        // SAFETY: `ifreq` is plain old data for which all zeros is a valid value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if self.iface.len() >= request.ifr_name.len() {
            return None;
        }
        for (cell, byte) in request.ifr_name.iter_mut().zip(self.iface.bytes()) {
            *cell = byte as libc::c_char;
        }
        request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
        // SAFETY: the socket is open; `request` is a whole `ifreq` whose name ends in a zero; its data points to `data`, which
        // lives until the call returns and is as long as the command's struct with the lengths that the arguments say.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        (result == 0).then_some(data)
    }
}

/// struct ethtool_drvinfo: cmd, then texts of 32 bytes: driver, version, firmware, bus.
fn driver_info(answer: &[u8]) -> BTreeMap<String, String> {
    let texts = answer[4..].chunks_exact(NAME_LEN).map(c_text);
    let pairs = ["driver", "version", "firmware", "bus"].map(str::to_owned).into_iter().zip(texts);
    pairs.filter(|(_, text)| !text.is_empty() && text != "N/A").collect()
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let (chunks, _) = bytes.as_chunks::<4>();
    chunks.iter().map(|chunk| u32::from_ne_bytes(*chunk).into()).collect()
}

fn c_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const GDRVINFO: u32 = 0x03;
const GCOALESCE: u32 = 0x0e;
const GRINGPARAM: u32 = 0x10;
const GSTRINGS: u32 = 0x1b;
const GSSET_INFO: u32 = 0x37;
const GFEATURES: u32 = 0x3a;
const GCHANNELS: u32 = 0x3c;
const SS_FEATURES: u32 = 4;
const DRVINFO_LEN: usize = 196;
const NAME_LEN: usize = 32;
/// No kernel has as many; a bound on what is allocated for an answer.
const FEATURES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_answers() {
        let lo = ask("lo");
        assert!(lo.offloads.len() > 30, "{lo:?}");
        assert_eq!(lo.offloads.get("rx-checksum").or_else(|| lo.offloads.get("rx-checksumming")), Some(&true));
        assert_eq!(lo.offloads.get("loopback"), Some(&true));
        assert_eq!((lo.rings, lo.channels), (None, None));
    }

    #[test]
    fn interfaces_that_are_not_there_answer_nothing() {
        assert_eq!(ask("no-such-if0"), Answers::default());
        assert_eq!(ask("a name that is far too long for an interface"), Answers::default());
    }
}
