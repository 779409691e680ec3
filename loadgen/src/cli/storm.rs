//! How clients come and go, as typed.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::duration;

/// Steps, churn, storms and endings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Coming and going")]
pub(crate) struct StormArgs {
    /// Numbers of connections, in rising order, such as 100k,500k,1M: connect so many, hold, go on to the next. Each step has
    /// its own line in the summary. For conn and sub; the last number stands for -c.
    #[arg(long, value_name = "LIST")]
    pub(crate) steps: Option<Steps>,
    /// How long each step of --steps is held once all its clients are ready or have failed; the last one too, where --duration
    /// says nothing else.
    #[arg(long, value_name = "TIME", requires = "steps", value_parser = duration)]
    pub(crate) hold: Option<Duration>,
    /// Spread the PINGREQs of the clients evenly over the keep alive interval (-k): clients that connected together would
    /// otherwise send them together.
    #[arg(long)]
    pub(crate) keepalive_spread: bool,
    /// Clients that end their connection and come back at once, chosen at random: a share of all (5%/s) or a number
    /// (100/s); from when all are ready. For conn and sub, as are --storm and --flap.
    #[arg(long, value_name = "RATE")]
    pub(crate) churn: Option<Churn>,
    /// Every TIME, all clients end their connections at once and come back: a reconnect storm. Each has its own line in the
    /// summary.
    #[arg(long, value_name = "TIME", conflicts_with = "churn", value_parser = duration)]
    pub(crate) storm: Option<Duration>,
    /// Connections per second at which the clients of a storm come back; default: all at once.
    #[arg(long, value_name = "N", requires = "storm", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) storm_rate: Option<u32>,
    /// Each client stays connected for the first time and away for the second, such as 5s,2s, again and again; the clients'
    /// turns are spread evenly.
    #[arg(long, value_name = "UP,DOWN", conflicts_with_all = ["churn", "storm"])]
    pub(crate) flap: Option<Flap>,
    /// End connections by a TCP reset instead of DISCONNECT.
    #[arg(long, conflicts_with = "vanish")]
    pub(crate) crash: bool,
    /// End connections by falling silent: the server hears neither DISCONNECT nor FIN nor RST, and gets no answer. Each
    /// takes a file descriptor until the end of the run. After it, a server that still sends is answered by a RST; without
    /// CAP_NET_ADMIN, silent connections are closed in order then.
    #[arg(long)]
    pub(crate) vanish: bool,
}

/// Numbers of connections, rising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Steps(pub(crate) Vec<u32>);

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| {
            let (digits, scale) = match word.strip_suffix(['k', 'K']) {
                Some(digits) => (digits, 1e3),
                None => word.strip_suffix(['m', 'M']).map_or((word, 1.0), |digits| (digits, 1e6)),
            };
            let value: f64 = digits.trim().parse().ok()?;
            let value = value * scale;
            (value.fract() == 0.0 && (1.0..=16e6).contains(&value)).then_some(value as u32)
        };
        let numbers: Option<Vec<u32>> = text.split(',').map(|word| number(word.trim())).collect();
        numbers
            .filter(|numbers| numbers.is_sorted_by(|before, after| before < after))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no list of rising numbers of connections: write it like 100k,500k,1M"))
    }
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

/// How long a client stays and how long it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flap {
    pub(crate) up: Duration,
    pub(crate) down: Duration,
}

impl FromStr for Flap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (up, down) = text
            .split_once(',')
            .ok_or_else(|| format!("`{text}`: give the time connected and the time away, such as 5s,2s"))?;
        Ok(Self { up: duration(up.trim())?, down: duration(down.trim())? })
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

    #[test]
    fn steps_rise() {
        assert_eq!("100k,500k, 1M".parse(), Ok(Steps(vec![100_000, 500_000, 1_000_000])));
        assert_eq!("1.5k".parse(), Ok(Steps(vec![1_500])));
        for bad in ["", "0", "5,5", "10,5", "1.5", "1k,,2k", "17M", "1x", "nan", "-1"] {
            assert!(bad.parse::<Steps>().is_err(), "{bad}");
        }
    }

    #[test]
    fn flapping_has_two_times() {
        let flap = Flap { up: Duration::from_secs(5), down: Duration::from_millis(200) };
        assert_eq!("5s,200ms".parse(), Ok(flap));
        for bad in ["", "5s", "5s,", "5s,0s", "x,1s"] {
            assert!(bad.parse::<Flap>().is_err(), "{bad}");
        }
    }
}
