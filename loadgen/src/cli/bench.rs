//! mqtt-bench's command line as typed. Its flags have one dash, as Go programs have them: [`with_two_dashes`] makes them
//! the long flags that they are here.

use std::path::Path;

use clap::{ArgAction, Args};

use super::milliseconds;

/// `loadgen bench`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct BenchArgs {
    /// Broker: tcp://HOST:PORT, ssl://, ws://HOST:PORT/PATH or wss://.
    #[arg(long)]
    pub(crate) broker: String,
    /// p or pub: each client publishes to its own topic; s or sub: each client receives what arrives there.
    #[arg(long)]
    pub(crate) action: String,
    /// QoS.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// Set the RETAIN flag.
    #[arg(long, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) retain: bool,
    /// Base topic; the clients' topics are TOPIC/0, TOPIC/1 ...
    #[arg(long, default_value = "/mqtt-bench/benchmark")]
    pub(crate) topic: String,
    /// User name.
    #[arg(long, visible_alias = "username", default_value = "")]
    pub(crate) broker_username: String,
    /// Password.
    #[arg(long, visible_alias = "password", default_value = "")]
    pub(crate) broker_password: String,
    /// TLS: server:CERTFILE, or client:ROOTCAFILE,CLIENTCERTFILE,CLIENTKEYFILE, which does not verify the server.
    #[arg(long, default_value = "")]
    pub(crate) tls: String,
    /// Number of clients.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub(crate) clients: u32,
    /// Messages per client.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Payload size in bytes.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(..=268_000_000))]
    pub(crate) size: u32,
    /// Milliseconds between the last connection and the first message.
    #[arg(long, default_value_t = 3000)]
    pub(crate) pretime: u64,
    /// Milliseconds between two messages of a client; 0: the next one as soon as the last one is done.
    #[arg(long, default_value_t = 0.0, value_parser = milliseconds)]
    pub(crate) intervaltime: f64,
    /// Clean session.
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) clean: bool,
    /// Show the whole summary at the end.
    #[arg(short = 'x', default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) x: bool,
    /// Without effect: messages that match no subscription are received anyway.
    #[arg(long, default_value_t = false, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) support_unknown_received: bool,
}

/// The arguments of this process, with the flags of `bench` in the form that the parser knows. A program that is called
/// `mqtt-bench` does not need to be told the command.
pub(crate) fn with_two_dashes(args: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut args: Vec<_> = args.into_iter().collect();
    if args.first().is_some_and(|program| Path::new(program).file_stem().is_some_and(|name| name == "mqtt-bench")) {
        args.insert(1, "bench".to_owned());
    }
    if args.get(1).is_some_and(|command| command == "bench") {
        for arg in &mut args[2..] {
            let is_long = arg.starts_with('-') && !arg.starts_with("--") && arg.split('=').next() != Some("-x");
            if is_long && arg.len() > 2 {
                arg.insert(0, '-');
            }
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_go_become_long_flags() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let line = "loadgen bench -broker=tcp://h:1 --action pub -x -x=true -retain=false -5";
        let wanted = "loadgen bench --broker=tcp://h:1 --action pub -x -x=true --retain=false -5";
        assert_eq!(with_two_dashes(words(line)), words(wanted));
        assert_eq!(with_two_dashes(words("loadgen pub -t a")), words("loadgen pub -t a"));
        assert_eq!(with_two_dashes(words("/opt/mqtt-bench.exe -qos=1")), words("/opt/mqtt-bench.exe bench --qos=1"));
    }
}
