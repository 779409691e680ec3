//! How clients come and go, as typed.

use std::str::FromStr;

use clap::Args;

/// Churn and endings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Coming and going")]
pub(crate) struct StormArgs {
    /// Clients that end their connection and come back at once, chosen at random: a share of all (5%/s) or a number
    /// (100/s); from when all are ready.
    #[arg(long, value_name = "RATE")]
    pub(crate) churn: Option<Churn>,
    /// End connections by a TCP reset instead of DISCONNECT.
    #[arg(long, conflicts_with = "vanish")]
    pub(crate) crash: bool,
    /// End connections by falling silent: the server hears neither DISCONNECT nor FIN nor RST, and gets no answer. Each
    /// takes a file descriptor until the end of the run. After it, a server that still sends is answered by a RST; without
    /// CAP_NET_ADMIN, silent connections are closed in order then.
    #[arg(long)]
    pub(crate) vanish: bool,
}

/// How many clients leave in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Churn {
    /// A share of all.
    Share(f64),
    /// So many.
    Number(f64),
}

impl Churn {
    /// The part of it that one of so many processes has: a share is of each one's own clients.
    pub(crate) fn divided_by(self, parts: u64) -> Self {
        match self {
            Self::Share(share) => Self::Share(share),
            Self::Number(number) => Self::Number(number / parts as f64),
        }
    }

    /// Clients per second, of so many.
    pub(crate) fn per_s(self, clients: u32) -> f64 {
        match self {
            Self::Share(share) => share * f64::from(clients),
            Self::Number(number) => number,
        }
    }
}

impl FromStr for Churn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no churn: write it like 5%/s or 100/s");
        let number = text.strip_suffix("/s").unwrap_or(text);
        let (number, is_share) = number.strip_suffix('%').map_or((number, false), |number| (number, true));
        let value: f64 = number.parse().map_err(|_| bad())?;
        match (is_share, value) {
            (true, 0.001..=100.0) => Ok(Self::Share(value / 100.0)),
            (false, 0.001..=1e6) => Ok(Self::Number(value)),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn churn_is_a_share_or_a_number() {
        assert_eq!("5%/s".parse(), Ok(Churn::Share(0.05)));
        assert_eq!("100/s".parse(), Ok(Churn::Number(100.0)));
        assert_eq!("5%/s".parse::<Churn>().unwrap().per_s(200), 10.0);
        for bad in ["", "/s", "-1/s", "0/s", "500%/s", "5%/m", "nan/s", "inf"] {
            assert!(bad.parse::<Churn>().is_err(), "{bad}");
        }
    }
}
